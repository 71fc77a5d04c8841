"""Codes and label rows as bits, 32 to a word, checked on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

Words = npt.NDArray[np.uint32]
Matrix = npt.NDArray[Any] | Tensor

_ROWS = 1 << 16  # packed at a time, so that temporaries stay small


def check_codes(codes: Matrix, name: str) -> npt.NDArray[Any]:
    """Return codes {-1, +1} or booleans ``[n, K]`` as an array.

    Raises:
        ValueError: another shape, or other values.
    """
    return _checked(codes, (-1, 1), name)


def check_labels(labels: Matrix, name: str) -> npt.NDArray[Any]:
    """Return label rows {0, 1} or booleans ``[n, C]`` as an array.

    Raises:
        ValueError: another shape, or other values.
    """
    return _checked(labels, (0, 1), name)


def pack(signs: npt.NDArray[Any]) -> Words:
    """Pack checked codes or label rows ``[n, bits]`` into words ``[n, ceil(bits / 32)]``."""
    count, bits = signs.shape
    packed = np.zeros((count, -(-bits // 32) * 4), dtype=np.uint8)
    for start in range(0, count, _ROWS):
        bytes_ = np.packbits(signs[start : start + _ROWS] > 0, axis=1, bitorder="little")
        packed[start : start + _ROWS, : bytes_.shape[1]] = bytes_
    return packed.view(np.uint32)


def _checked(values: Matrix, known: tuple[int, int], name: str) -> npt.NDArray[Any]:
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"{name}: expected a matrix [n, bits], got shape {array.shape}")
    if array.dtype != np.bool_:
        low, high = known
        for start in range(0, len(array), _ROWS):
            part = array[start : start + _ROWS]
            if not ((part == low) | (part == high)).all():
                raise ValueError(f"{name}: expected values {low} and {high}, or booleans")
    return array
