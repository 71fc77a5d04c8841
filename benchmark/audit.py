"""What an attack did to its images, measured by the harness; it changes nothing.

An attack that hands over anything but finite pixels of the right shape in [0, 1], or exceeds the
budget it declared, is *invalid*: a row with the measured excess, never clipped into the ranking.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hashattack.datasets.errors import UserError

TOLERANCE = 1e-6  # of pixels in [0, 1]: what rounding may add to a budget
_UNLIKE = 0.1  # the least L-infinity between an image and its mirror image that tells something
_ALIKE = 0.5 / 255


class InvalidAttackError(UserError):
    """A broken promise of an attack, with what was measured."""


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


def check_budget(measured: dict[str, float], epsilon: float | None) -> None:
    """Raise :class:`InvalidAttackError` when the measured L-infinity exceeds the declared one."""
    if epsilon is not None and measured["linf"] > epsilon + TOLERANCE:
        raise InvalidAttackError(
            f"L-infinity {255 * measured['linf']:.4f}/255 exceeds the declared budget of "
            f"{255 * epsilon:.4f}/255 by {measured['linf'] - epsilon:.3g}",
            measured,
        )


def check_fresh(
    images: Tensor, adversarial: Tensor, answers: Tensor, epsilon: float | None
) -> None:
    """Raise :class:`InvalidAttackError` where an attack does not look at the images it is given.

    What is faulty in ``adversarial`` itself is left to the other checks.

    Args:
        images: ``[n, 3, S, S]``.
        adversarial: what the attack made of them.
        answers: what it made of their mirror images, all else the same.
        epsilon: its declared budget.
    """
    if not images.shape == adversarial.shape == answers.shape:
        return
    mirrored = images.flip(-1)

    def apart(one: Tensor, other: Tensor) -> Tensor:
        return (one.double() - other.double()).flatten(1).abs().amax(dim=1)

    telling = apart(images, mirrored) > _UNLIKE
    if bool((telling & (apart(adversarial, answers) < _ALIKE)).any()):
        raise InvalidAttackError(
            "the attack returns cached images: what it makes of a query and of its mirror image "
            "is the same"
        )
    if epsilon is not None:
        bound, far = epsilon + TOLERANCE, apart(answers, mirrored)
        lost = telling & (apart(adversarial, images) <= bound) & (far > bound)
        if bool(lost.any()):
            raise InvalidAttackError(
                "the attack returns cached images: what it makes of a query's mirror image is "
                f"{255 * float(far[lost].max()):.4f}/255 away from that, beyond the declared "
                f"budget of {255 * epsilon:.4f}/255"
            )


def round_trip(adversarial: Tensor) -> Tensor:
    """Return the images after storage as 8-bit pixels."""
    return (adversarial * 255).round() / 255
