"""Data sets of image files with split lists of labels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from hashattack.datasets.base import (
    SPLITS,
    DatasetError,
    DatasetSpec,
    Inspection,
    RetrievalData,
    Split,
    SplitName,
    fingerprint,
)
from hashattack.datasets.image_files import (
    DecodedImages,
    Framing,
    ImageFiles,
    content_hashes,
    decode,
    outside,
)
from hashattack.datasets.image_lists import ImageList, aligned, find_list, refuse_faults

_SHOWN = 3
_OTHERS: tuple[SplitName, ...] = ("train", "database")


@dataclass(frozen=True, kw_only=True)
class ListedData(DatasetSpec):
    """Image files and split lists below a root.

    Attributes:
        root: the folder of the lists (and of the images, unless ``images`` says otherwise).
        images: the folder that the lists' paths start from.
        resize, side: resize the short side, crop the centre.
        decoded: keep the decoded images in the cache (150 kB each at 224 pixels).
        workers: threads that decode.
        allow_overlap: run even if query images are also in the database or the training set.
    """

    expected: ClassVar[Mapping[SplitName, int]] = {}

    root: str = field(default="", metadata={"path": True})
    images: str = field(default="", metadata={"path": True})
    resize: int = 256
    side: int = 224
    decoded: bool = False
    workers: int = 4
    allow_overlap: bool = False

    @property
    def folder(self) -> Path:
        """The folder of the lists."""
        return Path(self.root or f"data/{self.name}").expanduser()

    @property
    def image_folder(self) -> Path:
        """The folder that paths start from."""
        return Path(self.images).expanduser() if self.images else self.folder

    @property
    def title(self) -> str:
        """The data set's name in results."""
        return self.name

    def lists(self) -> dict[SplitName, ImageList]:
        """Return the list of every split found, label columns aligned.

        Raises:
            DatasetError: no list at all, or lists that do not fit together.
        """
        found = {name: find_list(self.folder, name) for name in SPLITS}
        return self._aligned({name: listed for name, listed in found.items() if listed is not None})

    def _aligned(self, lists: dict[SplitName, ImageList]) -> dict[SplitName, ImageList]:
        if not lists:
            raise DatasetError(
                f"{self.title}: no split lists in {self.folder.resolve()} (train_img.txt and "
                "train_label.txt, test_…, database_…; or train.txt … with lines 'path 0 1 0'; or "
                f"train.csv …){self.remedy()}"
            )
        return dict(zip(lists, aligned(list(lists.values())), strict=True))

    def _readable(self) -> tuple[dict[SplitName, ImageList], list[str]]:
        """Return the readable lists, and the faults of the others."""
        try:
            return self.lists(), []
        except DatasetError as error:
            faults = [str(error)]
        read: dict[SplitName, ImageList] = {}
        for name in SPLITS:
            try:
                listed = find_list(self.folder, name)
            except DatasetError as error:
                faults.append(str(error))
                continue
            if listed is not None:
                read[name] = listed
        return read, list(dict.fromkeys(faults))

    def remedy(self) -> str:
        """Return what to do where there are no lists."""
        return "; name the folder with --data-root or the parameter 'root'"

    def load(self, cache: Path) -> RetrievalData:
        """Return the data; images are decoded as they are read.

        Raises:
            DatasetError: faulty lists, or images that are not there.
        """
        lists = self.lists()
        for name in SPLITS:
            if name not in lists:
                raise DatasetError(f"{self.title}: {self.folder.resolve()} has no {name} list")
            refuse_faults(lists[name], self.folder)
            if not len(lists[name]):
                raise DatasetError(f"{self.title}: the {name} list in {self.folder} is empty")
        paths = [path for listed in lists.values() for path in listed.paths]
        hashes = content_hashes(self.image_folder, paths, cache)
        missing = [path for path, found in hashes.items() if found is None]
        linked = self._linked(lists, missing)
        if linked:
            raise DatasetError(f"{self.title}: " + "; ".join(linked[:_SHOWN]))
        if missing:
            raise DatasetError(
                f"{self.title}: {len(missing)} of {len(hashes)} images are not in "
                f"{self.image_folder.resolve()} ({', '.join(missing[:_SHOWN])}, …); name the "
                "folder their paths start from with the parameter 'images'"
            )
        self._refuse_overlap(lists, hashes)
        framing = Framing(self.resize, self.side)
        splits, digests = {}, []
        for name in SPLITS:
            listed = lists[name]
            ids = "".join(str(hashes[path]) for path in listed.paths)
            key = hashlib.sha256(f"{ids} {framing}".encode()).hexdigest()
            files = ImageFiles(self.image_folder, listed.paths, framing, self.workers)
            kept = DecodedImages(files, cache / "decoded" / f"{key}.npy")
            images = kept if self.decoded else files
            splits[name] = Split(images, listed.labels)
            digests += [key, fingerprint(listed.labels)]
        return RetrievalData(
            name=self.title,
            classes=lists["train"].classes,
            side=self.side,
            fingerprint=hashlib.sha256(" ".join(digests).encode()).hexdigest(),
            train=splits["train"],
            query=splits["query"],
            database=splits["database"],
        )

    def _refuse_overlap(
        self, lists: Mapping[SplitName, ImageList], hashes: Mapping[str, str | None]
    ) -> None:
        others = {hashes[path] for name in _OTHERS for path in lists[name].paths}
        shared = [path for path in lists["query"].paths if hashes[path] in others]
        if shared and not self.allow_overlap:
            raise DatasetError(
                f"{self.title}: {len(shared)} query images are also in the database or the "
                f"training set ({', '.join(shared[:_SHOWN])}, …), so "
                "retrieval finds the query itself; remove them from the lists, or set "
                "allow_overlap"
            )

    def inspect(self, cache: Path) -> Inspection:
        """Return the lists and the images' content hashes, with every fault at once.

        Raises:
            DatasetError: there is no list at all.
        """
        lists, faults = self._readable()
        if not lists:
            raise DatasetError("\n".join(faults))
        faults += [f"no {name} list in {self.folder}" for name in SPLITS if name not in lists]
        faults += [f"the {name} list is empty" for name, found in lists.items() if not len(found)]
        faults += [fault for listed in lists.values() for fault in listed.faults]
        paths = [path for listed in lists.values() for path in listed.paths]
        hashes = content_hashes(self.image_folder, paths, cache)
        faults += self._linked(lists, [path for path, found in hashes.items() if found is None])
        return Inspection(
            name=self.title,
            classes=max((listed.classes for listed in lists.values()), key=len),
            labels={name: listed.labels for name, listed in lists.items()},
            contents={
                name: [hashes[path] for path in listed.paths] for name, listed in lists.items()
            },
            places={name: listed.paths for name, listed in lists.items()},
            faults=faults + self._unreadable(hashes),
            folder=str(self.image_folder.resolve()),
            overlap_allowed=self.allow_overlap,
            expected=self.expected,
        )

    def _linked(self, lists: Mapping[SplitName, ImageList], missing: list[str]) -> list[str]:
        """Return a fault for each path that leaves the root through a link."""
        leaving = {path for path in missing if outside(self.image_folder, path)}
        return [
            f"{name} list line {number}: '{path}' is a link that leaves {self.image_folder}"
            for name, listed in lists.items()
            for number, path in enumerate(listed.paths, 1)
            if path in leaving
        ]

    def _unreadable(self, hashes: Mapping[str, str | None]) -> list[str]:
        """Decode every image found, and return the faults."""
        framing = Framing(self.resize, self.side)

        def fault(path: str) -> str | None:
            try:
                decode(self.image_folder / path, framing)
            except DatasetError as error:
                return str(error)
            return None

        there = [path for path, found in hashes.items() if found is not None]
        with ThreadPoolExecutor(self.workers) as pool:
            return [text for text in pool.map(fault, there) if text is not None]
