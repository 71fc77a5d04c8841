"""A retrieval data set: three splits of images with label rows.

Images are uint8 RGB, ``[n, 3, side, side]``, read by row number so that a data set larger than
memory can decode lazily; labels are {0, 1} uint8 matrices ``[n, C]``. The *fingerprint* is the
SHA-256 of what the splits contain. Job keys hold the fingerprint, never a path.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from hashattack.datasets.errors import UserError
from hashattack.datasets.seeds import generator
from hashattack.datasets.texts import one_line

UInt8Array = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.int64]
SplitName = Literal["train", "query", "database"]
SPLITS: tuple[SplitName, ...] = ("train", "query", "database")
Sizes = Mapping[SplitName, int]  # numbers of images
_SHOWN = 3  # names in a message


class DatasetError(UserError):
    """A data set that cannot be read or does not fit the request; the text says what to do."""


class MissingDataError(DatasetError):
    """A data set that is not where it was looked for."""


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
    """Images without their label rows: reading the labels raises, and sets ``labels_read``."""

    labels_read: bool = False

    def __init__(self, images: Images, refusal: Callable[[], UserError]) -> None:
        object.__setattr__(self, "images", images)
        self._refusal = refusal

    @property
    def labels(self) -> UInt8Array:
        """Raise, because the labels are hidden."""
        self.labels_read = True
        raise self._refusal()


@dataclass(frozen=True)
class RetrievalData:
    """A data set: a split to train hashers, one of queries, and the database they search.

    ``classes`` names the label columns for people. No result depends on them, so they are not part
    of the fingerprint.
    """

    name: str
    classes: tuple[str, ...]
    side: int
    train: Split
    query: Split
    database: Split
    fingerprint: str

    @property
    def class_names(self) -> list[str]:
        """The names of the classes as lines that can be shown."""
        return [one_line(f"{name}") for name in self.classes]

    def split(self, name: SplitName) -> Split:
        """Return the split of that name."""
        return {"train": self.train, "query": self.query, "database": self.database}[name]

    def without_labels(
        self, *names: SplitName, refusal: Callable[[SplitName], UserError]
    ) -> RetrievalData:
        """Return a copy that holds no reference to the label rows of some splits.

        ``refusal`` makes the error that reading a split's label rows raises.
        """

        def part(name: SplitName) -> Split:
            split = self.split(name)
            if name in names:
                return HiddenSplit(split.images, partial(refusal, name))
            return Split(split.images, np.array(split.labels))  # a view would reference hidden rows

        return replace(self, train=part("train"), query=part("query"), database=part("database"))


@dataclass(frozen=True)
class Inspection:
    """What ``doctor`` reads of a data set, even of one that cannot be loaded."""

    name: str
    classes: tuple[str, ...]
    labels: Mapping[SplitName, UInt8Array]  # splits that could be read
    contents: Mapping[SplitName, Sequence[str | None]]  # an id per image; None: missing
    places: Mapping[SplitName, Sequence[str]]  # the display name of each image
    faults: Sequence[str] = ()
    folder: str = ""  # where the images are expected
    overlap_allowed: bool = False
    named: bool = True  # False: the classes are only numbered, by their column
    expected: Sizes = field(default_factory=dict)  # the published sizes


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(ABC):
    """How to obtain a data set. The fields are its parameters.

    The registry collects subclasses by ``name``; the first docstring line is the help text.
    ``published`` holds hyper-parameters that the paper sets for this data set only. A field that
    is a path has ``metadata={"path": True}``.
    """

    name: ClassVar[str]
    published: ClassVar[Mapping[str, float]] = {}

    @abstractmethod
    def load(self, cache: Path) -> RetrievalData:
        """Return the data; the first call builds it under ``cache`` where that is needed."""

    def inspect(self, cache: Path) -> Inspection:
        """Return what ``doctor`` examines, with every fault at once."""
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


def same_content(images: Iterable[tuple[str, str]], others: Iterable[tuple[str, str]]) -> list[str]:
    """Return the places of the images, given with contents, whose content is among the others.

    A twin of another name is named.
    """
    known = list(others)
    exact, places = set(known), {content: place for place, content in reversed(known)}
    return [
        place if (place, content) in exact else f"{place} (the same content as {places[content]})"
        for place, content in images
        if content in places
    ]


def listed_twice(places: Sequence[str]) -> list[str]:
    """Return the places that a list names more than once."""
    return [place for place, count in Counter(places).items() if count > 1]


def first_few(names: Sequence[str]) -> str:
    """Return the first few of some names, for a message."""
    return ", ".join([*names[:_SHOWN], *(["…"] if len(names) > _SHOWN else [])])


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


def seeded_splits(
    count: int, *, n_query: int, n_train: int, seed: int
) -> dict[SplitName, IntArray]:
    """Draw disjoint queries and database, and training images from the database.

    Returns the ascending rows of each split.

    Raises:
        DatasetError: the sizes exceed ``count``.
    """
    if not (1 <= n_query < count and 1 <= n_train <= count - n_query):
        raise DatasetError(
            f"cannot split {count} images into {n_query} queries and a database that holds "
            f"{n_train} training images; lower n_query or n_train"
        )
    order = generator(seed, "splits").permutation(count)
    query, database = order[:n_query], order[n_query:]
    return {
        "query": np.sort(query),
        "database": np.sort(database),
        "train": np.sort(database[:n_train]),
    }
