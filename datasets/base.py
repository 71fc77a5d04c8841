"""What a retrieval data set is: three splits of images with label rows.

Images are uint8 RGB, ``[n, 3, side, side]``, read by row number so that a data set larger than
memory can decode lazily; labels are {0, 1} uint8 matrices ``[n, C]``. The *fingerprint* is the
SHA-256 of what the splits contain: it, and never a path, stands in the keys of jobs.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from hashattack.datasets.errors import UserError

UInt8Array = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.int64]
SplitName = Literal["train", "query", "database"]
SPLITS: tuple[SplitName, ...] = ("train", "query", "database")


class DatasetError(UserError):
    """A data set that cannot be read or does not fit the request; the text says what to do."""


class Images(Protocol):
    """A row-addressed source of uint8 RGB images."""

    def __len__(self) -> int:
        """Return the number of images."""

    def read(self, rows: IntArray) -> UInt8Array:
        """Return the images of the given rows, uint8 ``[len(rows), 3, side, side]``."""


@dataclass(frozen=True)
class ArrayImages:
    """Images that already lie in one array (or memory map) ``[n, 3, side, side]``."""

    array: UInt8Array

    def __len__(self) -> int:
        return len(self.array)

    def read(self, rows: IntArray) -> UInt8Array:
        """Return a copy of the given rows."""
        return np.ascontiguousarray(self.array[rows])


@dataclass(frozen=True)
class Split:
    """Images and their label rows, uint8 {0, 1} ``[n, C]``, in the same order."""

    images: Images
    labels: UInt8Array

    def __post_init__(self) -> None:
        if self.labels.ndim != 2 or len(self.images) != len(self.labels):
            raise DatasetError(
                f"{len(self.images)} images but a label matrix of shape {self.labels.shape}: "
                "every image needs exactly one label row"
            )

    def __len__(self) -> int:
        return len(self.images)


class HiddenSplit(Split):
    """Images whose label rows are not there: asking for them raises, and is remembered."""

    asked: bool = False

    def __init__(self, images: Images, refusal: Callable[[], UserError]) -> None:
        object.__setattr__(self, "images", images)
        self._refusal = refusal

    @property
    def labels(self) -> UInt8Array:
        """Raise, because they are hidden."""
        self.asked = True
        raise self._refusal()


@dataclass(frozen=True)
class RetrievalData:
    """A data set as the protocol uses it: train the hasher, query it, search the database."""

    name: str
    classes: tuple[str, ...]
    side: int
    train: Split
    query: Split
    database: Split
    fingerprint: str

    def split(self, name: SplitName) -> Split:
        """Return the split of that name."""
        return {"train": self.train, "query": self.query, "database": self.database}[name]

    def without_labels(
        self, *names: SplitName, refusal: Callable[[SplitName], UserError]
    ) -> RetrievalData:
        """Return the data without the label rows of some splits, nor any way to them.

        ``refusal`` makes the error that asking for a split's label rows raises.
        """

        def part(name: SplitName) -> Split:
            split = self.split(name)
            if name in names:
                return HiddenSplit(split.images, partial(refusal, name))
            return Split(split.images, np.array(split.labels))  # a view has hidden rows behind it

        return replace(self, train=part("train"), query=part("query"), database=part("database"))


@dataclass(frozen=True)
class Inspection:
    """What an examiner of a data set needs, also of one that cannot be loaded."""

    name: str
    classes: tuple[str, ...]
    labels: Mapping[SplitName, UInt8Array]  # splits that could be read
    contents: Mapping[SplitName, Sequence[str | None]]  # an id an image; None: it is not there
    places: Mapping[SplitName, Sequence[str]]  # what a person calls each image
    faults: Sequence[str] = ()
    folder: str = ""  # where the images were looked for
    overlap_allowed: bool = False
    expected: Mapping[SplitName, int] = field(default_factory=dict)  # the published sizes


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(ABC):
    """How to obtain a data set: a frozen value whose fields are its parameters.

    Subclasses in this package are collected by ``name``; the first docstring line is their help.
    ``published`` holds hyper-parameters that the paper sets for this data set alone. A field that
    is a path says so by ``metadata={"path": True}``.
    """

    name: ClassVar[str]
    published: ClassVar[Mapping[str, float]] = {}

    @abstractmethod
    def load(self, cache: Path) -> RetrievalData:
        """Return the data, building it under ``cache`` when that has not been done before."""

    def inspect(self, cache: Path) -> Inspection:
        """Return what there is to examine, every fault at once."""
        data = self.load(cache)
        return Inspection(
            name=data.name,
            classes=data.classes,
            labels={name: data.split(name).labels for name in SPLITS},
            contents={name: image_ids(data.split(name).images) for name in SPLITS},
            places={
                name: [f"{name} image {row}" for row in range(len(data.split(name)))]
                for name in SPLITS
            },
        )


def image_ids(images: Images) -> list[str]:
    """Return the SHA-256 of every image's pixels."""
    return [
        hashlib.sha256(images.read(np.array([row])).tobytes()).hexdigest()
        for row in range(len(images))
    ]


def fingerprint(*arrays: npt.NDArray[np.generic]) -> str:
    """SHA-256 over the shapes, dtypes and bytes of ``arrays``."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
