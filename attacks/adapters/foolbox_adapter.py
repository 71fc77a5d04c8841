"""Attacks of foolbox (Rauber et al., JOSS 2020) under the hashing loss.

foolbox lets an attack's loss be replaced: its gradient descent asks ``get_loss_fn`` and goes up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from hashattack.attacks.adapters.base import FGSM, MIFGSM, Adapter, Steps, at_anchor
from hashattack.attacks.libraries import Library, extra
from hashattack.attacks.pgd import MADRY
from hashattack.targets.hasher import Hasher

FOOLBOX = extra("foolbox")


@dataclass(frozen=True, kw_only=True)
class Foolbox(Adapter):
    """An adapter of one of foolbox's gradient descents in the L-infinity norm."""

    requires: ClassVar[Library] = FOOLBOX

    def drive(self, images: Tensor, codes: Tensor, hasher: Hasher, epsilon: float) -> Tensor:
        """Let foolbox ascend the sum over images of the mean over bits of code times output."""
        foolbox = self.requires.load()

        def loss_of(model: Any, _: Any) -> Any:
            return lambda pixels: (model(pixels) * codes).mean(axis=1).sum()

        method = getattr(foolbox.attacks, self.method)(**self.settings)
        method.get_loss_fn = loss_of  # "can be overridden by users"
        model = foolbox.PyTorchModel(hasher, bounds=(0, 1), device=images.device)
        # There are no classes: this only says that the loss is to be ascended.
        ascend = foolbox.Misclassification(images.new_zeros(len(images), dtype=torch.int64))
        # run, not __call__, which would classify the result: a pass that the clock would count.
        crafted: Tensor = method.run(model, images, ascend, epsilon=epsilon)
        return crafted


@dataclass(frozen=True, kw_only=True)
class FoolboxFGSM(Foolbox):
    """One sign step of the whole budget."""

    method: ClassVar[str] = "LinfFastGradientAttack"


@dataclass(frozen=True, kw_only=True)
class FoolboxPGD(Foolbox, Steps):
    """Sign steps from the image itself, without random start."""

    method: ClassVar[str] = "LinfProjectedGradientDescentAttack"

    @property
    def settings(self) -> Mapping[str, Any]:
        """Steps and their size, in pixels."""
        return {"steps": self.steps, "abs_stepsize": self.step_size, "random_start": False}


@dataclass(frozen=True, kw_only=True)
class FoolboxMIFGSM(Foolbox, Steps):
    """Momentum that gathers signs, not gradients over their L1 norm.

    Attributes:
        momentum: the weight of the earlier signs.
    """

    method: ClassVar[str] = "LinfMomentumIterativeFastGradientMethod"
    momentum: float = 1.0

    @property
    def settings(self) -> Mapping[str, Any]:
        """Steps, their size in pixels and the momentum."""
        return {"steps": self.steps, "abs_stepsize": self.step_size, "momentum": self.momentum}


fgsm = at_anchor("foolbox-fgsm", "foolbox FGSM", FoolboxFGSM(), FGSM)
linf_pgd = at_anchor("foolbox-linf-pgd", "foolbox PGD", FoolboxPGD(), MADRY)
mi_fgsm = at_anchor("foolbox-mi-fgsm", "foolbox MI-FGSM", FoolboxMIFGSM(), MIFGSM)
