"""Lists of images with labels, in the formats of the field, each fault with its line.

* a pair ``*_img.txt`` (one path per line) and ``*_label.txt`` (C zeros and ones per line);
* one file of lines ``path 0 1 0 …``;
* a CSV: ``path,label,label…`` with the names of an image's labels, or with a header row
  ``path,cat,dog`` and zeros and ones below it.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hashattack.datasets.base import DatasetError, SplitName, UInt8Array
from hashattack.datasets.files import read_bytes, replacing
from hashattack.datasets.image_files import path_fault
from hashattack.datasets.texts import one_line

_SPLIT_NAMES: dict[SplitName, tuple[str, ...]] = {
    "train": ("train",),
    "query": ("query", "test"),
    "database": ("database",),
}
_PATH_WORDS = ("path", "paths", "image", "images", "img", "file", "filename", "file_name", "name")
_LABEL_WORDS = ("label", "labels", "class", "classes", "tag", "tags")


@dataclass(frozen=True)
class ImageList:
    """Paths with their label rows, and the faults of the lines that were left out."""

    paths: tuple[str, ...]
    labels: UInt8Array  # [n, C]
    classes: tuple[str, ...]
    faults: tuple[str, ...] = ()
    named: bool = True  # False: classes are numbered by their column

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, rows: Sequence[int]) -> ImageList:
        """Return some of the lines."""
        index = np.asarray(rows, dtype=np.int64)
        paths = tuple(self.paths[row] for row in index)
        return ImageList(paths, self.labels[index], self.classes, named=self.named)


def find_list(folder: Path, split: SplitName) -> ImageList | None:
    """Return a split's list from a folder, in any of the formats, or None."""
    for name in _SPLIT_NAMES[split]:
        pair = folder / f"{name}_img.txt", folder / f"{name}_label.txt"
        if pair[0].is_file() or pair[1].is_file():
            return read_pair(*pair)
        for suffix in ("txt", "csv"):
            if (folder / f"{name}.{suffix}").is_file():
                return read_list(folder / f"{name}.{suffix}")
    return None


def read_list(path: Path) -> ImageList:
    """Return the list in one file: a CSV by its suffix, else lines ``path 0 1 0 …``."""
    return read_csv(path) if path.suffix == ".csv" else read_lines(path)


def read_pair(images: Path, labels: Path) -> ImageList:
    """Return the list of a pair of files, line by line.

    Raises:
        DatasetError: a file that cannot be read, or counts that differ.
    """
    paths, rows = _lines(images), _lines(labels)
    if len(paths) != len(rows):
        raise DatasetError(
            f"{images.name} has {len(paths)} lines, but {labels.name} has {len(rows)} (in "
            f"{images.parent}): every image needs exactly one label row"
        )
    pairs = zip(paths, rows, strict=True)
    return _matrix(
        ((number, path, row.split()) for number, (path, row) in enumerate(pairs, 1)),
        f"{images.name} / {labels.name}",
    )


def read_lines(path: Path) -> ImageList:
    """Return the list of a file of lines ``path 0 1 0 …``."""
    entries = (
        (number, line.split(maxsplit=1)[0] if line.strip() else "", line.split()[1:])
        for number, line in enumerate(_lines(path), 1)
    )
    return _matrix(entries, path.name)


def read_csv(path: Path) -> ImageList:
    """Return the list of a CSV, with label names or with a header over zeros and ones.

    If most cells are 0 or 1, the columns are read as such, and other cells are faults.
    """
    try:
        rows = list(csv.reader(_lines(path), strict=True))
    except csv.Error as error:
        raise DatasetError(f"{path} is not a CSV: {error}") from None
    if not rows:
        raise DatasetError(f"{path} is empty")
    title = [cell.strip() for cell in rows[0]]
    header = bool(title) and title[0].lower() in _PATH_WORDS
    entries = [
        (number, row[0].strip() if row else "", [cell.strip() for cell in row[1:]])
        for number, row in enumerate(rows, 1)
    ][header:]
    cells = [cell for _, _, row in entries for cell in row]
    binary = sum(cell in ("0", "1") for cell in cells)
    single = len(title) == 2 and title[-1].lower() in _LABEL_WORDS  # one column of names
    if header and not single and 2 * binary > len(cells):
        return _matrix(entries, path.name, tuple(title[1:]))
    names = tuple(sorted({*cells} - {""}))
    matrix = (
        (number, image, [str(int(name in row)) for name in names]) for number, image, row in entries
    )
    return _matrix(matrix, path.name, names)


def write_pair(listed: ImageList, folder: Path, name: str) -> None:
    """Write ``<name>_img.txt`` and ``<name>_label.txt``."""
    rows = (" ".join(map(str, row)) for row in listed.labels.tolist())
    for suffix, lines in (("img", listed.paths), ("label", rows)):
        text = "".join(f"{line}\n" for line in lines)
        with replacing(folder / f"{name}_{suffix}.txt") as file:
            file.write(text.encode())


def read_classes(path: Path, columns: int) -> tuple[str, ...]:
    """Return the names of label columns: one name per line, in the order of the columns.

    Raises:
        DatasetError: the file cannot be read, has another number of names, or one twice.
    """
    names = tuple(map(one_line, _lines(path)))
    if len(names) != columns:
        raise DatasetError(
            f"{path} has {len(names)} names, but the label rows have {columns} columns: it needs a "
            "line for each"
        )
    seen: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if not name or seen.setdefault(name, number) != number:
            fault = f"'{name}' is also in line {seen[name]}" if name else "no name"
            raise DatasetError(f"{path} line {number}: {fault}")
    return names


def aligned(lists: Sequence[ImageList]) -> list[ImageList]:
    """Return the lists with the same label columns: the union of their names.

    Raises:
        DatasetError: unnamed columns of different numbers.
    """
    if len({listed.classes for listed in lists if len(listed)}) <= 1:  # an empty one fits any
        return list(lists)
    if not all(listed.named for listed in lists):
        counts = ", ".join(str(listed.labels.shape[1]) for listed in lists)
        raise DatasetError(f"the splits have label rows of different lengths: {counts}")
    names = tuple(sorted({name for listed in lists for name in listed.classes}))
    found = []
    for listed in lists:
        labels = np.zeros((len(listed), len(names)), dtype=np.uint8)
        labels[:, [names.index(name) for name in listed.classes]] = listed.labels
        found.append(replace(listed, labels=labels, classes=names))
    return found


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        DatasetError: it cannot be read, or is not UTF-8.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text: {error}") from None


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in read_text(path).rstrip().splitlines()]


def _matrix(
    entries: Iterable[tuple[int, str, list[str]]], origin: str, classes: tuple[str, ...] = ()
) -> ImageList:
    """Check paths and label rows; the usual length of a row is the number of classes."""
    paths: list[str] = []
    rows: list[list[str]] = []
    faults: list[str] = []
    entries = list(entries)
    lengths = Counter(len(row) for _, _, row in entries if row)
    width = len(classes) or max(lengths, key=lengths.__getitem__, default=0)
    for number, path, row in entries:
        fault = path_fault(path)
        if fault is None and len(row) != width:
            fault = f"{len(row)} labels, expected {width}"
        if fault is None and not set(row) <= {"0", "1"}:
            fault = f"labels must be 0 or 1, got '{next(v for v in row if v not in ('0', '1'))}'"
        if fault is None and not row:
            fault = "no labels"
        if fault is not None:
            faults.append(f"{origin} line {number}: {fault}")
            continue
        paths.append(path)
        rows.append(row)
    labels = np.array(rows, dtype=np.uint8).reshape(len(rows), width)
    return ImageList(
        paths=tuple(paths),
        labels=labels,
        classes=classes or tuple(f"label {column}" for column in range(width)),
        faults=tuple(faults),
        named=bool(classes),
    )
