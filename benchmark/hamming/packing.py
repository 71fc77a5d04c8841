"""Codes and label rows as bits, 64 to a word, checked on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

Words = npt.NDArray[np.uint64]
Matrix = npt.NDArray[Any] | Tensor

_ROWS = 1 << 16  # packed at a time, so that temporaries stay small


def pack_codes(codes: Matrix, name: str) -> Words:
    """Pack codes {-1, +1} or booleans ``[n, K]`` into words ``[n, ceil(K / 64)]``.

    Raises:
        ValueError: another shape, or other values.
    """
    return _pack(_matrix(codes, name), (-1, 1), name)


def pack_labels(labels: Matrix, name: str) -> Words:
    """Pack label rows {0, 1} or booleans ``[n, C]`` into words ``[n, ceil(C / 64)]``.

    Raises:
        ValueError: another shape, or other values.
    """
    return _pack(_matrix(labels, name), (0, 1), name)


def _matrix(values: Matrix, name: str) -> npt.NDArray[Any]:
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"{name}: expected a matrix [n, bits], got shape {array.shape}")
    return array


def _pack(array: npt.NDArray[Any], values: tuple[int, int], name: str) -> Words:
    count, bits = array.shape
    low, high = values
    packed = np.zeros((count, -(-bits // 64) * 8), dtype=np.uint8)
    for start in range(0, count, _ROWS):
        part = array[start : start + _ROWS]
        if part.dtype != np.bool_ and not ((part == low) | (part == high)).all():
            raise ValueError(f"{name}: expected values {low} and {high}, or booleans")
        bytes_ = np.packbits(part > 0, axis=1, bitorder="little")
        packed[start : start + _ROWS, : bytes_.shape[1]] = bytes_
    return packed.view(np.uint64)
