"""Whether a training has converged: what flags a fit, and what ends one of ``epochs: auto``.

The losses are of one fixed sample, before training and after each epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

_PART = 5  # the last fifth of the epochs is compared with the fifth before it
_FALLING = 0.05  # of the whole fall; one that is exponential has 4 % left then, slower ones more
_LEARNT = 0.05  # of the untrained loss: a smaller fall turns hardly a bit


def learnt(losses: Sequence[float]) -> bool:
    """Return whether the loss fell at all: by a twentieth of what it was before training."""
    return losses[0] - _ends(losses)[1] >= _LEARNT * abs(losses[0])


def falling(losses: Sequence[float]) -> bool:
    """Return whether the last fifth of the epochs still brought a twentieth of the whole fall."""
    before, last = _ends(losses)
    return before - last > _FALLING * (losses[0] - last)


def undertrained(losses: Sequence[float]) -> bool:
    """Return whether a training of at least one epoch brought too little, or ended too early."""
    return falling(losses) or not learnt(losses)


def _ends(losses: Sequence[float]) -> tuple[float, float]:
    """Return the mean loss over the last fifth but one of the epochs, and over the last."""
    part = -(-(len(losses) - 1) // _PART)
    return fmean(losses[-2 * part : -part]), fmean(losses[-part:])
