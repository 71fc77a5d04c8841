"""What other code hands over, images or codes, with every fault of it at once."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from hashattack.benchmark.external.arrays import (
    CODE_FILES,
    FLOATS,
    IMAGE_FILES,
    read_array,
    reading,
)
from hashattack.benchmark.external.errors import OutsideError
from hashattack.benchmark.external.ranges import refuse_other_ranges
from hashattack.benchmark.store.files import file_sha256
from hashattack.benchmark.store.keys import digest
from hashattack.datasets.base import UInt8Array

_SHOWN = 3


@dataclass(frozen=True)
class Images:
    """Images of every query: a folder of PNG, or one file of an array.

    Attributes:
        path: the folder or the file.
        names: of the files in the folder, by row.
        side: of the images in pixels.
    """

    path: Path
    names: tuple[str, ...]
    side: int

    @property
    def in_8_bits(self) -> bool:
        """Whether they were rounded to 8 bits a channel."""
        return self.path.is_dir() or self._array.dtype == np.uint8

    @property
    def in_half_precision(self) -> bool:
        """Whether they were rounded to 16-bit floats, which costs up to 1/4096 a pixel."""
        return not self.path.is_dir() and self._array.dtype == np.float16

    @property
    def sha256(self) -> str:
        """Of their content."""
        if self.path.is_dir():
            return digest([file_sha256(self.path / name) for name in self.names])
        return file_sha256(self.path)

    def check(self) -> None:
        """Look at all of them.

        Raises:
            OutsideError: files that are missing, too many, unreadable or of another size; an
                array of another shape or type, or whose values have another scale.
        """
        if self.path.is_dir():
            faults = self._faults()
            if faults:
                raise OutsideError(f"{self.path}: {'; '.join(faults)}")
            return
        wanted = (len(self.names), 3, self.side, self.side)
        array = self._array
        if array.shape != wanted:
            raise OutsideError(f"{self.path}: shape {array.shape}, expected {wanted}")
        if array.dtype.name not in (*FLOATS, "uint8"):
            raise OutsideError(
                f"{self.path}: {array.dtype}, expected floats in [0, 1], or uint8 in 0 to 255"
            )
        refuse_other_ranges(array, self.path)

    def read(self) -> npt.NDArray[Any]:
        """Return them, uint8 or float32 or float64, ``[q, 3, S, S]``."""
        if self.path.is_dir():
            return np.stack([_decoded(self.path / name) for name in self.names])
        array = np.array(self._array)  # out of the file
        return array.astype(np.float32) if self.in_half_precision else array

    @functools.cached_property
    def _array(self) -> npt.NDArray[Any]:
        if self.path.suffix not in IMAGE_FILES:
            raise OutsideError(
                f"{self.path}: expected a folder of PNG, or a file that ends in "
                f"{', '.join(IMAGE_FILES)}"
            )
        return read_array(self.path, "images")

    def _faults(self) -> list[str]:
        there = {one.name for one in self.path.iterdir() if not one.name.startswith(".")}
        unreadable, sized = [], []
        for name in self.names:
            if name not in there:
                continue
            try:
                height, width = _decoded(self.path / name).shape[1:]
            except OutsideError as error:
                unreadable.append(f"{name}: {error}")
                continue
            if (height, width) != (self.side, self.side):
                sized.append(f"{name}: {width} x {height}")
        size = f"of another size than {self.side} x {self.side}"
        found = [
            ("missing", [name for name in self.names if name not in there]),
            ("of no query", sorted(there - set(self.names))),
            ("unreadable", unreadable),
            (size, sized),
        ]
        return [f"{len(names)} {what} ({_some(names)})" for what, names in found if names]


@dataclass(frozen=True)
class Codes:
    """A code of every query in one file."""

    path: Path
    n_queries: int
    bits: int

    @property
    def sha256(self) -> str:
        """Of the file."""
        return file_sha256(self.path)

    def read(self) -> tuple[npt.NDArray[np.int8], bool]:
        """Return codes int8 ``[q, K]`` in {−1, +1}, and whether they were written as 0 and 1.

        Raises:
            OutsideError: another shape, or anything but −1 and +1 (or 0 and 1).
        """
        if self.path.suffix not in CODE_FILES:
            raise OutsideError(f"{self.path}: expected a file that ends in {', '.join(CODE_FILES)}")
        array = read_array(self.path, "codes")
        wanted = (self.n_queries, self.bits)
        if array.shape != wanted:
            raise OutsideError(f"{self.path}: shape {array.shape}, expected {wanted} (query, bit)")
        numbers = array.astype(np.float64)
        if np.isin(numbers, (-1, 1)).all():
            return numbers.astype(np.int8), False
        if np.isin(numbers, (0, 1)).all():
            return (2 * numbers - 1).astype(np.int8), True
        odd = np.flatnonzero(~np.isin(numbers, (-1, 1)).all(axis=1)).tolist()
        raise OutsideError(
            f"{self.path}: codes are -1 and +1 (or 0 and 1 throughout), but {len(odd)} rows hold "
            f"something else ({_some([f'row {row}' for row in odd])}); take the sign first"
        )


def by_setting(
    path: Path, numbers: Sequence[int], told: Sequence[str], suffixes: Sequence[str]
) -> dict[int, Path]:
    """Return where each setting's images or codes are.

    Args:
        path: what was named: of the only setting, or a folder with ``0``, ``1`` … (or ``0.npy``,
            ``1.npy`` …) in it.
        numbers: the settings.
        told: what a person calls them.
        suffixes: of files.

    Raises:
        OutsideError: it is not there, or not of every setting.
    """
    if not path.exists():
        raise OutsideError(f"{path}: no such file or folder")
    if len(numbers) == 1:
        return {numbers[0]: path}
    found = {}
    for number in numbers:
        names = [str(number), *(f"{number}{suffix}" for suffix in suffixes)]
        there = [path / name for name in names if (path / name).exists()]
        if there:
            found[number] = there[0]
    if len(found) < len(numbers):
        missing = [line for number, line in zip(numbers, told, strict=True) if number not in found]
        listed = "\n".join(f"  {line}" for line in missing)
        raise OutsideError(
            f"{path}: the trials have {len(numbers)} settings; name one with --setting N, or give "
            f"a folder that holds, by its number, a folder or file of each. Missing here:\n{listed}"
        )
    return found


def _decoded(path: Path) -> UInt8Array:
    """Return a PNG's pixels, uint8 ``[3, height, width]``."""
    with reading("a damaged image"):
        try:
            opened = Image.open(path)
        except UnidentifiedImageError:
            raise OutsideError("no image") from None
        with opened as image:
            depth = _bit_depth(path) if image.format == "PNG" else 8
            if (image.format, image.mode, depth) != ("PNG", "RGB", 8):
                deep = "" if depth == 8 else f" of {depth} bits a channel"
                raise OutsideError(f"{image.format} {image.mode}{deep}, expected an 8-bit RGB PNG")
            return np.asarray(image).transpose(2, 0, 1)


def _bit_depth(path: Path) -> int:
    """Return the bits a channel by the header of a PNG: a reader shows 16 of them cut to 8."""
    with path.open("rb") as file:
        return file.read(25)[24]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
