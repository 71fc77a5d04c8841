"""Pixels of another range than [0, 1], told by their range before anything is scored.

An attack that leaves [0, 1] by a little broke its promise and is an invalid row; values that are
far out were never meant as pixels in [0, 1], and whoever made them wants to know that at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hashattack.benchmark.external.errors import OutsideError

_FAR = 0.25  # outside [0, 1]: several times any budget that is invisible
_BYTES = 16.0  # what no standardised pixel reaches, and hardly an image of bytes does not


def refuse_other_ranges(images: npt.NDArray[Any], path: Path) -> None:
    """Look at the range of images ``[q, 3, S, S]``, floats or uint8.

    Raises:
        OutsideError: they look like 0 to 255, [-1, 1] or standardised, or like floats that were cut
            to bytes; the text says how to convert them.
    """
    if not images.size:
        return
    low, high = float(images.min()), float(images.max())
    if not np.isfinite((low, high)).all():
        return  # an invalid row
    remedy = _of_bytes(high) if images.dtype == np.uint8 else _of_floats(low, high)
    if remedy is not None:
        raise OutsideError(
            f"{path}: values from {low:.4g} to {high:.4g}, expected pixels in [0, 1], or uint8 in "
            f"0 to 255; {remedy}"
        )


def _of_bytes(high: float) -> str | None:
    if high > 1:
        return None
    return "this looks like floats cut to 0 and 1: convert them by (255 * images).round() first"


def _of_floats(low: float, high: float) -> str | None:
    if high > _BYTES:
        return "this looks like 0 to 255: divide by 255"
    if low >= -_FAR and high <= 1 + _FAR:
        return None
    if low >= -1 - _FAR and high <= 1 + _FAR:
        return "this looks like [-1, 1]: convert it by (images + 1) / 2"
    return "this looks standardised: multiply by the deviation and add the mean it was made with"
