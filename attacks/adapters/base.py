"""The common part of adapters of attack libraries: the loss and the step settings.

A library attacks classifiers through a cross entropy. Here it descends the hashing
loss of DHTA (Eq. 4), the same as :class:`~hashattack.attacks.gradient.ProjectedGradient`: of each
image, minus the mean over bits of its target code times the hasher's output. Nothing else of the
attack is touched.

Only attacks without draws are adapted. The libraries draw from global random state, a whole batch
at once, so that an image's perturbation would depend on the other images of its batch.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from hashattack.attacks.base import Attack, AttackError, Batch, Crafting, Entry, Knowledge, Perturb
from hashattack.attacks.declarations import Cited
from hashattack.attacks.libraries import Library
from hashattack.attacks.protocols import EPSILON, Protocol
from hashattack.attacks.published import anchor_code
from hashattack.targets.hasher import Hasher

FGSM = Cited(paper="Goodfellow et al., ICLR 2015", url="https://arxiv.org/abs/1412.6572")
MIFGSM = Cited(paper="Dong et al., CVPR 2018", url="https://arxiv.org/abs/1710.06081")
NIFGSM = Cited(paper="Lin et al., ICLR 2020", url="https://arxiv.org/abs/1908.06281")


@dataclass(frozen=True, kw_only=True)
class Adapter(Crafting):
    """A crafting by a library's attack within an L-infinity budget."""

    requires: ClassVar[Library]
    method: ClassVar[str]  # the attack's class in the library

    @property
    def settings(self) -> Mapping[str, Any]:
        """The arguments of that class, beside model and budget."""
        return {}

    @property
    def passes(self) -> int:
        """One gradient."""
        return 2

    def ready(self, knowledge: Knowledge, epsilon: float | None) -> Perturb:
        """Import the library before the attack is timed."""
        self.requires.load()
        return super().ready(knowledge, epsilon)

    def perturb(self, batch: Batch, hasher: Hasher, epsilon: float | None) -> Tensor:
        """Return the library's adversarial images."""
        if batch.codes is None or epsilon is None:
            raise AttackError(f"{type(self).__name__} needs target codes and an epsilon")
        return self.drive(batch.images, batch.codes.to(batch.images), hasher, epsilon)

    @abstractmethod
    def drive(self, images: Tensor, codes: Tensor, hasher: Hasher, epsilon: float) -> Tensor:
        """Run the library's attack on images ``[n, 3, S, S]`` towards target codes ``[n, K]``.

        Images and ``epsilon`` are in pixels of [0, 1]; codes are -1 or +1, of the images' dtype.
        """


@dataclass(frozen=True, kw_only=True)
class Steps(Adapter):
    """An adapter of an iterative attack, with I-FGSM's defaults.

    Attributes:
        steps: number of gradient steps.
        step_size: of each sign step, in pixels of [0, 1].
    """

    steps: int = 100
    step_size: float = 1 / 255

    def __post_init__(self) -> None:
        if self.steps < 1 or self.step_size <= 0:
            raise AttackError(f"steps and step_size must be positive, got {self}")

    @property
    def passes(self) -> int:
        """A gradient per step."""
        return 2 * self.steps


def at_anchor(id_: str, title: str, crafting: Adapter, cited: Cited) -> Entry:
    """Return the registered attack that crafts towards DHTA's anchor code within 8/255.

    ``cited`` is the paper of the library's attack.
    """

    def build(protocol: Protocol) -> Attack:
        return Attack(id_, title, anchor_code(protocol), crafting, EPSILON, **cited)

    line = (type(crafting).__doc__ or "").split("\n")[0]
    return Entry(build, f"{title} towards the anchor code: {line}")
