"""What an attack makes of a batch, taken over as a run takes it, and how far images are apart."""

from __future__ import annotations

from torch import Tensor

from hashattack.attacks.base import Attack, Batch, Knowledge, Perturb
from hashattack.benchmark.audit import InvalidAttackError
from hashattack.benchmark.contract.checks import Broken
from hashattack.benchmark.stages.crafting import handed_over


def perturb_with(attack: Attack, seen: Knowledge) -> Perturb:
    """Return what a run would perturb batches with."""
    return attack.ready_blind() if attack.blind else attack.ready(seen)


def perturbed(perturb: Perturb, batch: Batch) -> Tensor:
    """Return images of the shape of those in the batch, copied as a run does at once.

    Raises:
        Broken: they are not.
    """
    try:
        images = handed_over(perturb(batch))
    except InvalidAttackError as refusal:
        raise Broken(str(refusal)) from None
    if images.shape != batch.images.shape:
        raise Broken(
            f"its images have the shape {tuple(images.shape)} for queries of the shape "
            f"{tuple(batch.images.shape)}"
        )
    return images


def gap(one: Tensor, other: Tensor) -> float:
    """Return the largest difference; NaN equals NaN and nothing else."""
    if one.shape != other.shape:
        return float("inf")
    one, other = one.detach(), other.detach()
    apart = (one.double() - other.double()).abs()
    apart[one.isnan() & other.isnan()] = 0
    return float(apart.nan_to_num(nan=float("inf")).max()) if apart.numel() else 0.0
