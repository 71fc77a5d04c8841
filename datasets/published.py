"""The data sets of the paper, by the split lists of its released code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from hashattack.datasets.base import SplitName
from hashattack.datasets.listed import ListedData


@dataclass(frozen=True, kw_only=True)
class PublishedData(ListedData):
    """A data set of the paper: lists as released, or made from the official files."""

    def remedy(self) -> str:
        """Return what else a person without lists can do."""
        return (
            f"; name the folder with --data-root, or make the lists from the official files with "
            f"'make-lists {self.name}'"
        )


@dataclass(frozen=True, kw_only=True)
class Flickr25K(PublishedData):
    """FLICKR-25K (MIRFLICKR): 25,000 photographs, 38 labels, some images without any."""

    name: ClassVar[str] = "FLICKR-25K"
    published: ClassVar[Mapping[str, float]] = {"alpha": 100.0}
    expected: ClassVar[Mapping[SplitName, int]] = {
        "train": 5_000,
        "query": 1_700,
        "database": 23_300,
    }


@dataclass(frozen=True, kw_only=True)
class NusWide(PublishedData):
    """NUS-WIDE: the 195,834 photographs that carry one of its 21 most frequent concepts."""

    name: ClassVar[str] = "NUS-WIDE"
    expected: ClassVar[Mapping[SplitName, int]] = {
        "train": 10_500,
        "query": 2_100,
        "database": 193_734,
    }


@dataclass(frozen=True, kw_only=True)
class MsCoco(PublishedData):
    """MS-COCO 2014: the 122,218 photographs of train and val that show one of its 80 objects."""

    name: ClassVar[str] = "MS-COCO"
    expected: ClassVar[Mapping[SplitName, int]] = {
        "train": 10_000,
        "query": 5_000,
        "database": 117_218,
    }
