"""What the harness checks of what an attack returns. It measures, and changes nothing.

An attack that returns anything but finite pixels of the right shape in [0, 1], or exceeds its
declared budget, is *invalid*: its row has the measured excess, and its images are never clipped.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hashattack.attacks.base import AttackError
from hashattack.datasets.base import SplitName
from hashattack.datasets.errors import UserError
from hashattack.datasets.texts import one_line

TOLERANCE = 1e-6  # of pixels in [0, 1]: what rounding may add to a budget


class InvalidAttackError(UserError):
    """An attack broke a rule of the benchmark; the text says which, with what was measured."""


def hidden_labels(split: SplitName) -> InvalidAttackError:
    """Return the error of an attack that reads labels which it may not see."""
    whose = "the queries'" if split == "query" else f"the {split}'s"
    return InvalidAttackError(f"the attack reads {whose} labels, which the threat model hides")


def copied(answer: Any, shape: tuple[int, ...]) -> Tensor:
    """Return a copy of the tensor that an attack returned, which the attack cannot change.

    Raises:
        InvalidAttackError: it is no tensor of that shape, or of a subclass with methods of its own.
    """
    if type(answer) not in (Tensor, nn.Parameter):
        raise InvalidAttackError(
            f"the attack returned {one_line(type(answer).__qualname__)}, expected a tensor"
        )
    plain = Tensor.detach(answer)  # answer.detach could be an attribute of its own
    if plain.is_meta or plain.layout is not torch.strided:
        raise InvalidAttackError(
            f"the attack returned a {plain.layout} tensor on {plain.device}, expected a plain one"
        )
    check_shape(plain, shape)
    return plain.clone()


def check_shape(images: Tensor, shape: tuple[int, ...]) -> None:
    """Raise :class:`InvalidAttackError` unless the images are so many, and of that size."""
    if tuple(images.shape) != shape:
        raise InvalidAttackError(
            f"the attack returned images of shape {tuple(images.shape)}, expected {shape}"
        )


def check_seconds(seconds: float) -> float:
    """Return what an attack took.

    Raises:
        InvalidAttackError: it is no time.
    """
    if not 0 <= seconds < math.inf:
        raise InvalidAttackError(f"the clock does not run while the attack does: {seconds} s")
    return seconds


def loss_curves(curves: Any) -> dict[str, list[float]]:
    """Return the loss curves of a fit as plain numbers by name.

    Raises:
        AttackError: they are no finite numbers by name.
    """
    try:
        plain = {one_line(name)[:60]: list(map(float, values)) for name, values in curves.items()}
    except (AttributeError, TypeError, ValueError):
        plain = {"": [math.nan]}
    if not all(math.isfinite(value) for values in plain.values() for value in values):
        raise AttackError("the curves of a fit must be lists of finite numbers by name")
    return plain


def check_images(adversarial: Tensor, shape: tuple[int, ...]) -> None:
    """Raise :class:`InvalidAttackError` unless these are finite pixels in [0, 1] of that shape."""
    check_shape(adversarial, shape)
    if not bool(torch.isfinite(adversarial).all()):
        raise InvalidAttackError("the attack returned NaN or infinite pixels")
    low, high = float(adversarial.min()), float(adversarial.max())
    if low < 0 or high > 1:
        raise InvalidAttackError(
            f"the attack returned pixels outside [0, 1]: from {low:.6g} to {high:.6g}"
        )


def check_budget(measured: dict[str, float], epsilon: float | None) -> None:
    """Raise :class:`InvalidAttackError` when the measured L-infinity exceeds the declared one."""
    if epsilon is not None and measured["linf"] > epsilon + TOLERANCE:
        raise InvalidAttackError(
            f"L-infinity {255 * measured['linf']:.4f}/255 exceeds the declared budget of "
            f"{255 * epsilon:.4f}/255 by {measured['linf'] - epsilon:.3g}",
            measured,
        )


def distortions(images: Tensor, adversarial: Tensor) -> dict[str, Tensor]:
    """Return each image's mean squared error, L2 and L-infinity, float64 ``[n]``."""
    delta = (adversarial.double() - images.double()).flatten(1)
    return {
        "mse": delta.square().mean(dim=1),
        "l2": delta.norm(dim=1),
        "linf": delta.abs().amax(dim=1),
    }


def summary(per_image: dict[str, Tensor]) -> dict[str, float]:
    """Return the columns of a row from per-image distortions.

    ``perceptibility`` is the mean of per-image roots (the paper's formula), ``perceptibility_rms``
    the root of the data set's mean (as released); by Jensen the second is never smaller.
    ``linf`` is the largest, ``l2`` the mean.
    """
    mse = per_image["mse"].numpy()
    return {
        "perceptibility": float(np.sqrt(mse).mean()),
        "perceptibility_rms": float(np.sqrt(mse.mean())),
        "linf": float(per_image["linf"].max()),
        "l2": float(per_image["l2"].mean()),
    }


def round_trip(adversarial: Tensor) -> Tensor:
    """Return the images after storage as 8-bit pixels."""
    return (adversarial * 255).round() / 255
