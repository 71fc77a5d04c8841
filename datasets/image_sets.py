"""Data sets of image files: the paper's, by its released split lists, and any folder of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from hashattack.datasets.base import SPLITS, SplitName, seeded_splits
from hashattack.datasets.image_lists import ImageList, read_list, refuse_faults
from hashattack.datasets.listed import ListedData


@dataclass(frozen=True, kw_only=True)
class PublishedData(ListedData):
    """A data set of the paper: lists as released, or made from the official files."""

    def remedy(self) -> str:
        """Return what to do where there are no lists."""
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


@dataclass(frozen=True, kw_only=True)
class FolderData(ListedData):
    """Any folder of images with split lists, or with one list that is split by a seed.

    Attributes:
        label: the data set's name in results; the folder's name where it is empty.
        list_file: one list (lines ``path 0 1 0 …``, or a CSV) to be split.
        n_query, n_train: the sizes of its splits; the rest is the database.
        split_seed: of that split.
    """

    name: ClassVar[str] = "folder"
    label: str = ""
    list_file: str = ""
    n_query: int = 100
    n_train: int = 1000
    split_seed: int = 0

    @property
    def title(self) -> str:
        """The data set's name in results."""
        return self.label or self.folder.resolve().name

    def lists(self) -> dict[SplitName, ImageList]:
        """Return the split lists, or the one list, split."""
        if not self.list_file:
            return super().lists()
        listed = read_list(self.folder / self.list_file)
        refuse_faults(listed, self.folder / self.list_file)
        rows = seeded_splits(
            len(listed), n_query=self.n_query, n_train=self.n_train, seed=self.split_seed
        )
        return {name: listed.take(rows[name].tolist()) for name in SPLITS}
