"""What the harness checks of an attack's images. It measures, and changes nothing.

An attack that returns anything but finite pixels of the right shape in [0, 1], or exceeds its
declared budget, is *invalid*: its row has the measured excess, and its images are never clipped.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from hashattack.datasets.base import SplitName
from hashattack.datasets.errors import UserError

TOLERANCE = 1e-6  # of pixels in [0, 1]: what rounding may add to a budget


class InvalidAttackError(UserError):
    """An attack broke a rule of the benchmark; the text says which, with what was measured."""


def hidden_labels(split: SplitName) -> InvalidAttackError:
    """Return the error of an attack that reads labels which it may not see."""
    whose = "the queries'" if split == "query" else f"the {split}'s"
    return InvalidAttackError(f"the attack reads {whose} labels, which the threat model hides")


def copied(answer: Tensor) -> Tensor:
    """Return a copy of the tensor that an attack returned, which the attack cannot change.

    Raises:
        InvalidAttackError: it is no tensor, or of a subclass with methods of its own.
    """
    if type(answer) not in (Tensor, nn.Parameter):
        raise InvalidAttackError(
            f"the attack returned {type(answer).__qualname__}, expected a tensor"
        )
    return answer.detach().clone()


def check_images(adversarial: Tensor, shape: tuple[int, ...]) -> None:
    """Raise :class:`InvalidAttackError` unless these are finite pixels in [0, 1] of that shape."""
    if tuple(adversarial.shape) != shape:
        raise InvalidAttackError(
            f"the attack returned images of shape {tuple(adversarial.shape)}, expected {shape}"
        )
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
