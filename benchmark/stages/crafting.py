"""Crafting: an attack perturbs the queries batch by batch, and only that is timed.

The timed call is the first time that the attack sees a query: it warms up on training images.
What it does before the first query is counted as preparation, see :class:`Preparation`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
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
        return Batch(
            images=pixels,
            codes=None if self.codes is None else self.codes[rows].to(pixels.device),
            targets=torch.from_numpy(self.targets[rows]).to(pixels.device),
            rows=rows,
            seed=self.seed,
        )


@dataclass
class Preparation:
    """The time an attack takes before the first query: target codes, loading, warming up.

    Attributes:
        device: whose work is waited for.
        seconds: so far.
    """

    device: torch.device
    seconds: float = field(default=0.0, init=False)

    def of(self, work: Callable[[], T]) -> T:
        """Return the result of a part of the preparation, and add its time."""
        result, seconds = timed(work, self.device)
        self.seconds += seconds
        return result

    @property
    def counted(self) -> float:
        """Seconds in the table, to a tenth, from half a second on.

        All attacks look codes up or load weights, which takes longer on a busy machine.
        """
        return round(self.seconds, 1) if self.seconds >= _LEAST else 0.0


def craft_images(
    perturb: Perturb,
    queries: Assignment,
    warm_up: Assignment | None,
    compute: Compute,
    context: Context,
    preparation: Preparation,
) -> tuple[npt.NDArray[Any], float]:
    """Perturb the queries batch by batch.

    Args:
        perturb: the attack.
        queries: what it crafts.
        warm_up: other images, a batch of which it crafts first, so that its networks are allocated
            and their kernels chosen; None for an optimiser, whose steps hide that of the first.
        compute: how networks are run.
        context: of the job.
        preparation: gets the time that warming up takes longer than the first batch of queries.

    Returns:
        The images ``[q, 3, S, S]`` and the seconds per image.

    Raises:
        InvalidAttackError: the attack returned no tensor.
    """
    warming = 0.0
    if warm_up is not None:
        pixels, rows, _ = first_batch(warm_up.images, compute, context)
        _, warming = timed(partial(perturb, warm_up.batch(pixels, rows)), context.device)
    crafted: list[Tensor] = []
    seconds, computed = 0.0, 0
    for pixels, rows, count in batches(queries.images, len(queries.targets), compute, context):
        batch = queries.batch(pixels, rows)
        answer, took = timed(partial(perturb, batch), context.device)
        if not crafted:
            preparation.seconds += max(0.0, warming - took)
        crafted.append(copied(answer)[:count].to(pixels.dtype).cpu())
        seconds += took
        computed += len(pixels)  # the padded rows took their time too
    return torch.cat(crafted).numpy(), seconds / computed


def timed(work: Callable[[], T], device: torch.device) -> tuple[T, float]:
    """Return the result of some work, and the seconds until the device has finished it."""
    synchronise(device)
    began = time.perf_counter()
    result = work()
    synchronise(device)
    return result, time.perf_counter() - began
