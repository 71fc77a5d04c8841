"""Crafting: the queries perturbed batch by batch, timed, and copied before anybody can touch them.

The first sight that an attack gets of a query's pixels is the call that is timed: what warms up
before it sees training images, and the mirror images that tell who looks his answers up come after.
What an attack does before is not lost either, see :class:`Preparation`.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hashattack.attacks.base import Batch, Perturb
from hashattack.benchmark.audit import InvalidAttackError, check_fresh
from hashattack.benchmark.jobs import Compute, Context
from hashattack.benchmark.networks import batches, first_batch, synchronise
from hashattack.datasets.base import Images, UInt8Array

_PROBED = 2  # images
_NOTHING = 0.5  # seconds of preparation

T = TypeVar("T")


@dataclass(frozen=True)
class Assignment:
    """What is to be crafted: images, target label rows ``[q, C]``, target codes ``[q, K]``."""

    images: Images
    targets: UInt8Array
    codes: Tensor | None
    epsilon: float | None
    seed: int


@dataclass
class Preparation:
    """The clock of what an attack does before the first query: codes, loading, warming up.

    Attributes:
        device: what is waited for.
        seconds: so far.
    """

    device: torch.device
    seconds: float = field(default=0.0, init=False)

    def of(self, work: Callable[[], T]) -> T:
        """Do some of it."""
        done, seconds = _clocked(work, self.device)
        self.seconds += seconds
        return done

    @property
    def counted(self) -> float:
        """Seconds that stand in the table, to a tenth; less than half a second is none.

        All attacks look codes up or load weights, which a busy machine makes longer.
        """
        return round(self.seconds, 1) if self.seconds >= _NOTHING else 0.0


def craft_images(
    perturb: Perturb,
    asked: Assignment,
    rehearsed: Assignment,
    compute: Compute,
    context: Context,
    preparation: Preparation,
    *,
    rehearse: bool,
) -> tuple[npt.NDArray[Any], float]:
    """Perturb the queries batch by batch and time nothing else.

    Args:
        perturb: the attack.
        asked: the queries.
        rehearsed: other images.
        compute: how networks are run.
        context: of the job.
        preparation: where a rehearsal is counted, as far as it takes longer than the first batch.
        rehearse: the attack sees other images first, so that its own networks are allocated and
            their kernels chosen; an optimiser's loop is long enough to hide its first step.

    Returns:
        The images ``[q, 3, S, S]`` and the seconds an image.

    Raises:
        InvalidAttackError: no tensors, or images that do not depend on what was given.
    """
    rehearsal = 0.0
    if rehearse:
        pixels, rows, _ = first_batch(rehearsed.images, compute, context)
        other = _batch(rehearsed, pixels, rows)
        _, rehearsal = _clocked(functools.partial(perturb, other), context.device)
    crafted: list[Tensor] = []
    seconds, computed = 0.0, 0
    for pixels, rows, count in batches(asked.images, len(asked.targets), compute, context):
        batch = _batch(asked, pixels, rows)
        probe = None if crafted else _mirrored(batch)
        answer, took = _clocked(functools.partial(perturb, batch), context.device)
        seconds += took
        adversarial = handed_over(answer)
        if probe is not None:
            preparation.seconds += max(0.0, rehearsal - took)
            told = _probed(perturb, probe, compiled=compute.compiled)
            images = probe.images.flip(-1)
            check_fresh(images, adversarial[:_PROBED], told, asked.epsilon)
        crafted.append(adversarial[:count].to(pixels.dtype).cpu())
        computed += len(pixels)  # the padded rows took their time too
    return torch.cat(crafted).numpy(), seconds / computed


def _clocked(work: Callable[[], T], device: torch.device) -> tuple[T, float]:
    """Return what work returns, and the seconds until the device has done it."""
    synchronise(device)
    began = time.perf_counter()
    done = work()
    synchronise(device)
    return done, time.perf_counter() - began


def _batch(asked: Assignment, pixels: Tensor, rows: npt.NDArray[np.int64]) -> Batch:
    return Batch(
        images=pixels,
        codes=None if asked.codes is None else asked.codes[rows].to(pixels.device),
        targets=torch.from_numpy(asked.targets[rows]).to(pixels.device),
        rows=rows,
        seed=asked.seed,
    )


def _mirrored(batch: Batch) -> Batch:
    """Return the first images of a batch mirrored, laid out as they are, all else the same."""
    images = batch.images[:_PROBED]
    return replace(
        batch,
        images=torch.empty_like(images).copy_(images.flip(-1)),
        codes=None if batch.codes is None else batch.codes[:_PROBED].clone(),
        targets=batch.targets[:_PROBED].clone(),
        rows=batch.rows[:_PROBED].copy(),
    )


def _probed(perturb: Perturb, probe: Batch, *, compiled: bool) -> Tensor:
    """Return what the attack makes of mirror images, which it is given a copy of."""
    # A batch of another size would be compiled anew.
    eager = torch.compiler.set_stance("force_eager") if compiled else None
    with eager or contextlib.nullcontext():
        return handed_over(perturb(replace(probe, images=probe.images.clone())))


def handed_over(answer: Tensor) -> Tensor:
    """Return what an attack answered as a tensor that it has no hold of.

    Raises:
        InvalidAttackError: it is no tensor, or one with a mind of its own.
    """
    if type(answer) not in (Tensor, nn.Parameter):
        raise InvalidAttackError(
            f"the attack returned {type(answer).__qualname__}, expected a tensor"
        )
    return answer.detach().clone()
