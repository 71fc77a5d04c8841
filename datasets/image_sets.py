"""Data sets of image files with split lists: the paper's, and any folder of images."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import ClassVar

from hashattack.datasets.base import (
    SPLITS,
    DatasetError,
    DatasetSpec,
    Inspection,
    MissingDataError,
    RetrievalData,
    Sizes,
    Split,
    SplitName,
    fingerprint,
    first_few,
    listed_twice,
    same_content,
    seeded_splits,
)
from hashattack.datasets.image_files import (
    DECODING,
    DecodedImages,
    Framing,
    ImageFiles,
    content_hashes,
    decode,
    outside,
)
from hashattack.datasets.image_lists import ImageList, aligned, find_list, read_classes, read_list

logger = logging.getLogger(__name__)
Lists = dict[SplitName, ImageList]
_SHOWN_FAULTS = 10


@dataclass(frozen=True, kw_only=True)
class ListedData(DatasetSpec):
    """Image files and split lists below a root.

    Attributes:
        root: the folder of the lists (and of the images, unless ``images`` says otherwise).
        images: the folder that the lists' paths start from.
        classes: a file with the names of the label columns, a line each, for lists that name none;
            where it is empty, ``classes.txt`` beside the lists, if there is one.
        resize, side: resize the short side, crop the centre.
        decoded: keep the decoded images in the cache (150 kB each at 224 pixels).
        workers: threads that decode.
        allow_overlap: run even if query images are also in the database or the training set.
    """

    expected: ClassVar[Sizes] = {}  # the published sizes
    remedy: ClassVar[str] = "name the folder with --data-root or the parameter 'root'"

    root: str = field(default="", metadata={"path": True})
    images: str = field(default="", metadata={"path": True})
    classes: str = field(default="", metadata={"path": True})
    resize: int = 256
    side: int = 224
    decoded: bool = False
    workers: int = 4
    allow_overlap: bool = False

    @property
    def folder(self) -> Path:
        """The folder of the lists."""
        return Path(self.root or f"data/{self.name}")

    @property
    def image_folder(self) -> Path:
        """The folder that paths start from."""
        return Path(self.images or self.folder)

    @property
    def framing(self) -> Framing:
        """How an image becomes a square."""
        return Framing(self.resize, self.side)

    @property
    def title(self) -> str:
        """The data set's name in results."""
        return self.name

    def read_lists(self) -> tuple[Lists, list[str]]:
        """Return the lists that could be read, label columns aligned, and the faults of others."""
        lists: Lists = {}
        faults, absent = [], []
        for name in SPLITS:
            try:
                listed = find_list(self.folder, name)
            except DatasetError as error:
                faults.append(str(error))
                continue
            if listed is None:
                absent.append(f"{self.folder} has no {name} list")
            else:
                lists[name] = listed
        if len(absent) == len(SPLITS):
            absent = [
                f"no split lists in {self.folder.resolve()} (train_img.txt and train_label.txt, "
                "test_…, database_…; or train.txt … with lines 'path 0 1 0'; or train.csv …); "
                f"{self.remedy.format(name=self.name)}"
            ]
        try:
            lists = dict(zip(lists, aligned(list(lists.values())), strict=True))
        except DatasetError as error:
            faults.append(str(error))
        return lists, absent + faults

    def load(self, cache: Path) -> RetrievalData:
        """Return the data; images are decoded as they are read.

        Raises:
            DatasetError: faulty lists, or images that are not there.
        """
        lists, faults = self._lists()
        if faults:
            kind = DatasetError if lists else MissingDataError
            raise kind(f"{self.title}: {_first(faults, self.folder)}")
        hashes, linked = self._hashes(lists, cache)
        if linked:
            raise DatasetError(f"{self.title}: {first_few(linked)}")
        present = {path: found for path, found in hashes.items() if found is not None}
        missing = [path for path in hashes if path not in present]
        if missing:
            raise DatasetError(
                f"{self.title}: {len(missing)} of {len(hashes)} images are not in "
                f"{self.image_folder.resolve()} ({first_few(missing)}); name the "
                "folder their paths start from with the parameter 'images'"
            )
        queries, *others = (
            [(path, present[path]) for path in lists[name].paths]
            for name in ("query", "database", "train")
        )
        shared = same_content(queries, chain(*others))
        if shared and not self.allow_overlap:
            raise DatasetError(
                f"{self.title}: {len(shared)} query images are also in the database or the "
                f"training set: {first_few(shared)}; retrieval would find the query itself: "
                "remove them from the lists, or set allow_overlap"
            )
        splits: dict[str, Split] = {}
        digests = []
        for name in SPLITS:
            listed = lists[name]
            repeated = listed_twice(listed.paths)
            if repeated:
                text = "%s: the %s list has %d images more than once: %s"
                logger.warning(text, self.title, name, len(repeated), first_few(repeated))
            ids = "".join(str(hashes[path]) for path in listed.paths)
            key = hashlib.sha256(f"{ids} {self.framing} {DECODING}".encode()).hexdigest()
            files = ImageFiles(self.image_folder, listed.paths, self.framing, self.workers)
            kept = DecodedImages(files, cache / "decoded" / f"{key}.images")
            splits[name] = Split(kept if self.decoded else files, listed.labels)
            digests += [key, fingerprint(listed.labels)]
        return RetrievalData(
            name=self.title,
            classes=lists["train"].classes,
            side=self.side,
            fingerprint=hashlib.sha256(" ".join(digests).encode()).hexdigest(),
            **splits,
        )

    def inspect(self, cache: Path) -> Inspection:
        """Return the lists and the images' content hashes, with every fault at once.

        Raises:
            DatasetError: there is no list at all.
        """
        lists, faults = self._lists()
        if not lists:
            raise DatasetError("\n".join(faults))
        hashes, linked = self._hashes(lists, cache)
        return Inspection(
            name=self.title,
            classes=max((listed.classes for listed in lists.values()), key=len),
            labels={name: listed.labels for name, listed in lists.items()},
            contents={
                name: [hashes[path] for path in listed.paths] for name, listed in lists.items()
            },
            places={name: listed.paths for name, listed in lists.items()},
            faults=[*faults, *linked, *self._unreadable(hashes)],
            folder=str(self.image_folder.resolve()),
            overlap_allowed=self.allow_overlap,
            named=all(listed.named for listed in lists.values()),
            expected=self.expected,
        )

    def _lists(self) -> tuple[Lists, list[str]]:
        """Return the lists that could be read, and every fault of lists and of their lines."""
        lists, faults = self.read_lists()
        try:
            lists = self._named(lists)
        except DatasetError as error:
            faults.append(str(error))
        for name, listed in lists.items():
            faults += listed.faults
            if not len(listed) and not listed.faults:
                faults.append(f"the {name} list in {self.folder} is empty")
        return lists, faults

    def _named(self, lists: Lists) -> Lists:
        """Return the lists with the names of their label columns, where a file has them."""
        path = Path(self.classes or self.folder / "classes.txt")
        columns = {listed.labels.shape[1] for listed in lists.values() if len(listed)}
        if len(columns) != 1 or not (self.classes or path.is_file()):
            return lists
        if all(listed.named for listed in lists.values()):
            if self.classes:
                raise DatasetError(f"classes: {path}: the lists name their labels themselves")
            return lists
        names = read_classes(path, *columns)
        return {name: replace(one, classes=names, named=True) for name, one in lists.items()}

    def _hashes(self, lists: Lists, cache: Path) -> tuple[dict[str, str | None], list[str]]:
        """Return content hashes by path, and a fault for each link that leaves the root."""
        folder = self.image_folder
        paths = [path for listed in lists.values() for path in listed.paths]
        hashes = content_hashes(folder, paths, cache)
        leaving = {path for path, found in hashes.items() if not found and outside(folder, path)}
        return hashes, [
            f"{name} list line {number}: '{path}' is a link that leaves {folder}"
            for name, listed in lists.items()
            for number, path in enumerate(listed.paths, 1)
            if path in leaving
        ]

    def _unreadable(self, hashes: Mapping[str, str | None]) -> list[str]:
        """Decode every image found, and return the faults."""

        def fault(path: str) -> str | None:
            try:
                decode(self.image_folder / path, self.framing)
            except DatasetError as error:
                return str(error)
            return None

        there = [path for path, found in hashes.items() if found is not None]
        with ThreadPoolExecutor(self.workers) as pool:
            return [text for text in pool.map(fault, there) if text is not None]


def _first(faults: list[str], folder: Path) -> str:
    """Return one message for some faults: the only one, or their number and the first ones."""
    if len(faults) == 1:
        return faults[0]
    more = len(faults) - _SHOWN_FAULTS
    shown = [*faults[:_SHOWN_FAULTS], *([f"and {more} more"] if more > 0 else [])]
    return f"{len(faults)} faults in the lists in {folder}:\n  " + "\n  ".join(shown)


@dataclass(frozen=True, kw_only=True)
class PublishedData(ListedData):
    """A data set of the paper: lists as released, or made from the official files."""

    remedy: ClassVar[str] = (
        "name the folder with --data-root, or make the lists from the official files with "
        "'make-lists {name}'"
    )


@dataclass(frozen=True, kw_only=True)
class Flickr25K(PublishedData):
    """FLICKR-25K (MIRFLICKR): 25,000 photographs, 38 labels, some images without any."""

    name: ClassVar[str] = "FLICKR-25K"
    published: ClassVar[Mapping[str, float]] = {"alpha": 100.0}
    expected: ClassVar[Sizes] = {"train": 5_000, "query": 1_700, "database": 23_300}


@dataclass(frozen=True, kw_only=True)
class NusWide(PublishedData):
    """NUS-WIDE: the 195,834 photographs that carry one of its 21 most frequent concepts."""

    name: ClassVar[str] = "NUS-WIDE"
    expected: ClassVar[Sizes] = {"train": 10_500, "query": 2_100, "database": 193_734}


@dataclass(frozen=True, kw_only=True)
class MsCoco(PublishedData):
    """MS-COCO 2014: the 122,218 photographs of train and val that show one of its 80 objects."""

    name: ClassVar[str] = "MS-COCO"
    expected: ClassVar[Sizes] = {"train": 10_000, "query": 5_000, "database": 117_218}


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

    def read_lists(self) -> tuple[Lists, list[str]]:
        """Return the split lists, or the one list, split, and the faults."""
        if not self.list_file:
            return super().read_lists()
        try:
            listed = read_list(self.folder / self.list_file)
            if listed.faults:
                return {}, list(listed.faults)
            rows = seeded_splits(
                len(listed), n_query=self.n_query, n_train=self.n_train, seed=self.split_seed
            )
        except DatasetError as error:
            return {}, [str(error)]
        return {name: listed.take(rows[name].tolist()) for name in SPLITS}, []
