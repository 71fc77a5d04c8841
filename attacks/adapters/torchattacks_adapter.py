"""Attacks of torchattacks (Kim, 2020) under the hashing loss.

torchattacks has cross entropy built in, so it is given the hasher as a classifier whose cross
entropy *is* the hashing loss. Let s be the mean over bits of target code times output, in [-1, 1].
The classifier gives class 0 ("has the target code") the probability p = exp(s - 2) and class 1 the
rest, and answers with the logarithms of both. They are normalised already, so that softmax changes
nothing, and the cross entropy of class 0 is -log p = 2 - s: its gradient is exactly that of -s. In
targeted mode the library descends its mean over the batch; the factor 1/n is lost in signs and in
the gradient's own norm.

Two logits (s, -s) would do for signs. But they scale the gradient by a factor that depends on s,
and SI-NI-FGSM adds gradients of several scalings of the image, which must weigh the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hashattack.attacks.adapters.base import FGSM, MIFGSM, NIFGSM, Adapter, Steps, at_anchor
from hashattack.attacks.base import AttackError
from hashattack.attacks.libraries import Library, extra
from hashattack.attacks.pgd import MADRY
from hashattack.targets.hasher import Hasher

TORCHATTACKS = extra("torchattacks")


class CodeClassifier(nn.Module):
    """A hasher as a classifier of "has its target code" for the images of one batch."""

    def __init__(self, hasher: Hasher, codes: Tensor) -> None:
        super().__init__()
        self.hasher = hasher
        self.training = hasher.training  # the library leaves the mode it found here
        self.codes = codes

    def forward(self, images: Tensor) -> Tensor:
        """Return log-probabilities ``[n, 2]`` of having the target code, and of not."""
        has = (self.hasher(images) * self.codes).mean(dim=1) - 2
        return torch.stack([has, torch.log1p(-has.exp())], dim=1)


@dataclass(frozen=True, kw_only=True)
class Torchattacks(Adapter):
    """An adapter of one of torchattacks' attacks in the L-infinity norm."""

    requires: ClassVar[Library] = TORCHATTACKS

    def drive(self, images: Tensor, codes: Tensor, hasher: Hasher, epsilon: float) -> Tensor:
        """Let torchattacks descend the cross entropy of having the target code.

        Where a gradient is zero in every pixel (tanh is saturated), methods that divide by its
        norm get NaN, the sign of which is 0 in torch: the image stays where it is from there on.
        """
        method = getattr(self.requires.load(), self.method)(
            CodeClassifier(hasher, codes), eps=epsilon, **self.settings
        )
        method.set_mode_targeted_by_label(quiet=True)
        crafted: Tensor = method(images, images.new_zeros(len(images), dtype=torch.int64))
        return crafted


@dataclass(frozen=True, kw_only=True)
class TorchattacksFGSM(Torchattacks):
    """One sign step of the whole budget."""

    method: ClassVar[str] = "FGSM"


@dataclass(frozen=True, kw_only=True)
class TorchattacksPGD(Torchattacks, Steps):
    """Sign steps from the image itself, without random start."""

    method: ClassVar[str] = "PGD"

    @property
    def settings(self) -> Mapping[str, Any]:
        """No random start: it would be drawn for the whole batch at once."""
        return {"steps": self.steps, "alpha": self.step_size, "random_start": False}


@dataclass(frozen=True, kw_only=True)
class TorchattacksMIFGSM(Torchattacks, Steps):
    """Momentum of gradients over their mean absolute value (Dong et al., CVPR 2018).

    Attributes:
        decay: the weight of the earlier gradients.
    """

    method: ClassVar[str] = "MIFGSM"
    decay: float = 1.0

    @property
    def settings(self) -> Mapping[str, Any]:
        """Steps, their size and the decay."""
        return {"steps": self.steps, "alpha": self.step_size, "decay": self.decay}


@dataclass(frozen=True, kw_only=True)
class TorchattacksNIFGSM(TorchattacksMIFGSM):
    """The gradient is taken ahead, along the momentum (Lin et al., ICLR 2020)."""

    method: ClassVar[str] = "NIFGSM"


@dataclass(frozen=True, kw_only=True)
class TorchattacksSINIFGSM(TorchattacksMIFGSM):
    """NI-FGSM with the gradients of scaled copies of the image (Lin et al., ICLR 2020).

    Attributes:
        copies: how many scalings; the i-th, from 0, divides the pixels by 2 to the i.
    """

    method: ClassVar[str] = "SINIFGSM"
    copies: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.copies < 1:
            raise AttackError(f"copies must be positive, got {self.copies}")

    @property
    def settings(self) -> Mapping[str, Any]:
        """Those of NI-FGSM, and the scalings."""
        return {**super().settings, "m": self.copies}

    @property
    def passes(self) -> int:
        """A gradient a copy."""
        return super().passes * self.copies


fgsm = at_anchor("torchattacks-fgsm", "torchattacks FGSM", TorchattacksFGSM(), FGSM)
pgd = at_anchor("torchattacks-pgd", "torchattacks PGD", TorchattacksPGD(), MADRY)
mifgsm = at_anchor("torchattacks-mifgsm", "torchattacks MI-FGSM", TorchattacksMIFGSM(), MIFGSM)
nifgsm = at_anchor("torchattacks-nifgsm", "torchattacks NI-FGSM", TorchattacksNIFGSM(), NIFGSM)
sinifgsm = at_anchor(
    "torchattacks-sinifgsm", "torchattacks SI-NI-FGSM", TorchattacksSINIFGSM(), NIFGSM
)
