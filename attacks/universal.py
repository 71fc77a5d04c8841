"""Universal perturbations: one for each frequent label row, learnt beforehand, added to queries.

After Moosavi-Dezfooli et al., CVPR 2017, whose one perturbation of a classifier is for all images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hashattack.attacks.base import (
    Attack,
    AttackError,
    Batch,
    Crafting,
    Fitted,
    Journal,
    Knowledge,
    Perturb,
    Pool,
    attack,
)
from hashattack.attacks.declarations import Cited
from hashattack.attacks.gradient import hashing_loss
from hashattack.attacks.mainstay_code import mainstay_codes
from hashattack.attacks.protocols import EPSILON, PoolName, Protocol
from hashattack.attacks.target_codes import overlap
from hashattack.datasets.base import Images, IntArray, UInt8Array
from hashattack.datasets.draws import label_rows
from hashattack.datasets.seeds import generator
from hashattack.targets.hasher import Hasher
from hashattack.targets.training import Progress, to_pixels

AFTER_UAP = Cited(
    paper="after Moosavi-Dezfooli et al., CVPR 2017", url="https://arxiv.org/abs/1610.08401"
)


def frequent_rows(pool: Pool, most: int) -> UInt8Array:
    """Return label rows of a pool ``[r, C]``, the most frequent first.

    They are at most so many, and for each label that none of these has the most frequent with it.
    """
    rows, counts = label_rows(pool.labels)
    ordered = rows[np.argsort(-counts, kind="stable")]
    kept = ordered[:most]
    for row in ordered[most:]:
        if (row > kept.max(axis=0)).any():
            kept = np.concatenate([kept, row[None]])
    return kept


def nearest_rows(labels: UInt8Array, known: UInt8Array) -> IntArray:
    """Return for label rows ``[n, C]`` the number of the nearest known one, equal ones first.

    Near is by shared labels over all labels of both; of several, it is the first.

    Raises:
        AttackError: a row shares no label with any.
    """
    nearness = overlap(labels, known)
    if not nearness.any(axis=1).all():
        row = labels[np.flatnonzero(~nearness.any(axis=1))[0]]
        raise AttackError(
            "no image that the perturbations were learnt for has one of the target labels "
            f"{np.flatnonzero(row).tolist()}; choose another policy or a larger training set"
        )
    found: IntArray = nearness.argmax(axis=1)
    return found


@dataclass(frozen=True, kw_only=True)
class UniversalPerturbation(Crafting):
    """Adds the perturbation of the target label row, or of the nearest that has one.

    Each is learnt by sign steps on random training images towards the mainstay code of its row.

    Attributes:
        pool: the images whose label rows have one, and whose codes make the mainstay codes.
        most_rows: so many label rows have one, the most frequent.
        steps: sign steps for each.
        step_size: in pixels.
        images_per_step: training images whose gradients are added up.
    """

    learns: ClassVar[bool] = True
    needs_code: ClassVar[bool] = False  # the fit has its own
    pool: PoolName
    most_rows: int = 64
    steps: int = 40
    step_size: float = 1 / 255
    images_per_step: int = 16

    def __post_init__(self) -> None:
        if min(self.most_rows, self.steps, self.images_per_step) < 1 or self.step_size <= 0:
            raise AttackError(f"rows, steps, their size and images must be positive, got {self}")

    @property
    def passes(self) -> int:
        """It runs no hasher."""
        return 0

    @property
    def fit_batch(self) -> int:
        """The images of a step."""
        return self.images_per_step

    def fit_passes(self, n_train: int) -> int:
        """A forward and a backward pass for each image of each step, of as many rows as may be."""
        return 2 * min(self.most_rows, n_train) * self.steps * self.images_per_step

    def fit(
        self,
        knowledge: Knowledge,
        *,
        epsilon: float | None,
        seed: int,
        journal: Journal,
        progress: Progress,
    ) -> Fitted:
        """Learn the perturbations row by row; those done before a kill are kept.

        Raises:
            AttackError: there are no training images.
        """
        if knowledge.train_images is None:
            raise AttackError("a universal perturbation needs the training images")
        pool = knowledge.pool(self.pool)
        rows = frequent_rows(pool, self.most_rows)
        codes = mainstay_codes(pool, rows, "cosine")
        state = journal.load() or {}
        done = [*state.get("perturbations", ())]
        curves = [*state.get("losses", ())]
        for number in range(len(done), len(rows)):
            draws = generator(seed, f"universal/{knowledge.source}", number)
            images = knowledge.train_images
            found, losses = self._learn(knowledge.hasher, images, codes[number], epsilon, draws)
            done.append(found)
            curves.append(losses)
            journal.save({"perturbations": np.stack(done), "losses": np.stack(curves)})
            progress(number + 1, len(rows), "target label")
        learnt = {"labels": rows, "perturbations": np.stack(done)}
        return Fitted(learnt, {"hash": np.stack(curves).mean(axis=0).tolist()})

    def _learn(
        self,
        hasher: Hasher,
        images: Images,
        code: Tensor,
        epsilon: float | None,
        draws: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the perturbation of a row ``[3, S, S]`` and the mean loss of each step."""
        weight, losses = next(hasher.parameters()), []
        bound = 1.0 if epsilon is None else epsilon
        shape = images.read(np.zeros(1, dtype=np.int64)).shape[1:]
        delta = torch.zeros(shape).to(weight)
        for _ in range(self.steps):
            drawn = images.read(draws.integers(len(images), size=self.images_per_step))
            pixels = to_pixels(drawn, weight.device, weight.dtype)
            delta.requires_grad_()
            outputs = hasher((pixels + delta).clamp(0, 1))
            loss = hashing_loss(outputs, code.to(outputs))
            (gradient,) = torch.autograd.grad(loss.sum(), delta)
            delta = (delta.detach() - self.step_size * gradient.sign()).clamp(-bound, bound)
            losses.append(float(loss.detach().mean()))
        return delta.cpu().numpy(), np.array(losses)

    def ready(self, knowledge: Knowledge, epsilon: float | None) -> Perturb:  # noqa: ARG002
        """Load the perturbations once."""
        state, weight = knowledge.fitted["crafting"], next(knowledge.hasher.parameters())
        found = torch.from_numpy(state["perturbations"]).to(weight)

        def perturb(batch: Batch) -> Tensor:
            nearest = nearest_rows(batch.labels.cpu().numpy(), state["labels"])
            return (batch.images + found[torch.from_numpy(nearest)]).clamp(0, 1)

        return perturb


@attack
def universal(protocol: Protocol) -> Attack:
    """A perturbation for each frequent label row, learnt towards its mainstay code."""
    crafting = UniversalPerturbation(pool=protocol.label_rows)
    return Attack("universal", "Universal", None, crafting, EPSILON, **AFTER_UAP)
