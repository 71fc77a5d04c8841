"""Crafting: an attack perturbs the queries batch by batch, and only that is timed.

The timed call is the first time that the attack sees a query: it warms up on training images.
What it does before the first query is its preparation, which counts as time of its fit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy.typing as npt
import torch
from torch import Tensor

from hashattack.attacks.base import Batch, Perturb
from hashattack.benchmark.audit import copied
from hashattack.benchmark.jobs import Compute, Context
from hashattack.benchmark.networks import batches, first_batch, synchronise
from hashattack.datasets.base import Images, IntArray, UInt8Array

_LEAST = 0.5  # seconds of preparation that count
T = TypeVar("T")


@dataclass(frozen=True)
class Assignment:
    """What to craft: images, target label rows uint8 ``[q, C]``, target codes ``[q, K]``."""

    images: Images
    targets: UInt8Array
    codes: Tensor | None
    seed: int

    def batch(self, pixels: Tensor, rows: IntArray) -> Batch:
        """Return some rows as an attack is given them."""
        codes = None if self.codes is None else self.codes[rows].to(pixels.device)
        targets = torch.from_numpy(self.targets[rows]).to(pixels.device)
        return Batch(images=pixels, codes=codes, targets=targets, rows=rows, seed=self.seed)


class Clock:
    """Measures the seconds that an attack takes, until the device has finished its work."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.preparation = 0.0  # target codes, loading and warming up

    def timed(self, work: Callable[[], T]) -> tuple[T, float]:
        """Return the result of some work, and its seconds."""
        synchronise(self._device)
        began = time.perf_counter()
        result = work()
        synchronise(self._device)
        return result, time.perf_counter() - began

    def prepare(self, work: Callable[[], T]) -> T:
        """Return the result of some work that is part of the preparation."""
        result, seconds = self.timed(work)
        self.preparation += seconds
        return result

    @property
    def fit_seconds(self) -> float:
        """The preparation in the table: to a tenth of a second, from half a second on.

        All attacks look codes up or load weights, which takes longer on a busy machine.
        """
        return round(self.preparation, 1) if self.preparation >= _LEAST else 0.0


def craft_images(
    perturb: Perturb,
    queries: Assignment,
    warm_up: Assignment | None,
    compute: Compute,
    context: Context,
    clock: Clock,
) -> tuple[npt.NDArray[Any], float]:
    """Return images ``[q, 3, S, S]`` of an attack on the queries, and the seconds per image.

    With ``warm_up`` the attack first crafts a batch of that, so that its networks are allocated and
    their kernels chosen; what this takes longer than the first batch of queries is preparation. An
    optimiser needs none: it takes so many steps that the first one hardly counts.

    Raises:
        InvalidAttackError: the attack returned no tensor.
    """
    warming = 0.0
    if warm_up is not None:
        pixels, rows, _ = first_batch(warm_up.images, compute, context)
        _, warming = clock.timed(partial(perturb, warm_up.batch(pixels, rows)))
    crafted: list[Tensor] = []
    seconds, computed = 0.0, 0
    for pixels, rows, count in batches(queries.images, len(queries.targets), compute, context):
        answer, took = clock.timed(partial(perturb, queries.batch(pixels, rows)))
        if not crafted:
            clock.preparation += max(0.0, warming - took)
        crafted.append(copied(answer)[:count].to(pixels.dtype).cpu())
        seconds += took
        computed += len(pixels)  # the padded rows took their time too
    return torch.cat(crafted).numpy(), seconds / computed
