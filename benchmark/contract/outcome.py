"""What an attack hands over: target codes, and images that are images, within its budget."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hashattack.benchmark import audit
from hashattack.benchmark.contract.checks import first_line
from hashattack.benchmark.contract.crafted import gap
from hashattack.benchmark.contract.subject import Subject
from hashattack.benchmark.contract.world import QUERIES
from hashattack.datasets.errors import UserError

_ROUNDING = 1e-9  # float64


def codes(subject: Subject) -> str | None:
    """A hash code for each query."""
    taught = subject.taught()
    named: Any = taught.codes
    wanted = (QUERIES, taught.seen.hasher.bits)
    if not isinstance(named, Tensor):
        return f"its target codes are a {type(named).__name__}, not a tensor"
    if tuple(named.shape) != wanted:
        return f"its target codes have the shape {tuple(named.shape)}, not {wanted}"
    others = sorted(set(named.double().flatten().tolist()) - {-1.0, 1.0})
    if others:
        return f"its target codes contain {others[0]:g}, not only -1 and +1"
    try:
        named.numpy()  # as a run stores them
    except RuntimeError as error:
        return f"its target codes cannot be stored: {first_line(error)}"
    return None


def shape(subject: Subject) -> str | None:
    """Images like the queries; the subject says so where they are not."""
    subject.run()
    return None


def dtype(subject: Subject) -> str | None:
    """Numbers like the queries'."""
    found, wanted = _images(subject).dtype, subject.clean().dtype
    return None if found == wanted else f"its images are {found} where the queries are {wanted}"


def finite(subject: Subject) -> str | None:
    """No NaN, no infinity."""
    return _not_finite(_images(subject))


def _not_finite(images: Tensor) -> str | None:
    bad = int((~torch.isfinite(images)).sum())
    return f"{bad} of its pixels are NaN or infinite" if bad else None


def in_range(subject: Subject) -> str | None:
    """Pixels of an image."""
    found = _images(subject)
    pixels = found[torch.isfinite(found)]
    low, high = (float(pixels.min()), float(pixels.max())) if len(pixels) else (0.0, 0.0)
    if low >= 0 and high <= 1:
        return None
    return f"its pixels leave [0, 1]: they go from {low:.4g} to {high:.4g}"


def budget(subject: Subject) -> str | None:
    """As measured in runs."""
    images, clean = _images(subject), subject.clean()
    found = audit.distortions(clean, torch.where(images.isfinite(), images, clean))
    try:
        audit.check_budget({"linf": float(found["linf"].max())}, subject.attack.epsilon)
    except UserError as error:
        return f"it breaks its budget: {error}"
    return None


def _images(subject: Subject) -> Tensor:
    images = subject.run().images
    assert images is not None  # these checks are of attacks that make some
    return images


def looks(subject: Subject) -> str | None:
    """An image is made from the query, not from memory."""
    plain, mirrored = subject.mirrored()
    same = sum(gap(*pair) <= _ROUNDING for pair in zip(plain, mirrored, strict=True))
    if not same:
        return None
    return f"it does not look at its images: {same} of {QUERIES} mirrored queries change nothing"


def at_zero(subject: Subject) -> str | None:
    """A budget of nothing leaves the query as it is, as exactly as budgets are measured."""
    images = subject.at_zero_budget()
    if found := _not_finite(images):
        return f"at a budget of zero {found}"
    most = gap(images, subject.clean())
    if most <= audit.TOLERANCE:
        return None
    return f"at a budget of zero its images differ from the queries by {most:.3g}"
