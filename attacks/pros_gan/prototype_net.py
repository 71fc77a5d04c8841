"""PrototypeNet: from a target label row to its semantic vector and its prototype code.

Paper, Section 3.2 and Equation 3. Labels ``[n, C]`` pass C → 4096 (ReLU) → 512, which is the
semantic representation r; from r come a code of K tanh outputs and C class probabilities. The paper
prints "4096 → 512 → r", which may mean one layer more; the released code has these.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, softplus

from hashattack.attacks.base import AttackError, Fitted, Journal, Knowledge, TargetCode
from hashattack.attacks.protocols import PoolName, Reduction
from hashattack.datasets.base import IntArray, UInt8Array
from hashattack.datasets.draws import label_rows
from hashattack.datasets.seeds import generator
from hashattack.targets.checkpoints import load_state, state_arrays
from hashattack.targets.hasher import sign_codes
from hashattack.targets.seeding import seeded
from hashattack.targets.training import Progress

SEMANTIC_WIDTH = 512
_QUANTISATION = 1e-4
_EPOCHS = 100
_STEPS_PER_EPOCH = 300  # of the released loop; the unit of the loss curve


class PrototypeNet(nn.Module):
    """The network of Equation 3, for C classes and K bits."""

    def __init__(self, classes: int, bits: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(classes, 4096), nn.ReLU(), nn.Linear(4096, SEMANTIC_WIDTH)
        )
        self.code = nn.Linear(SEMANTIC_WIDTH, bits)
        self.label = nn.Linear(SEMANTIC_WIDTH, classes)

    def forward(self, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return r ``[n, 512]``, a code ``[n, K]`` in [-1, 1] and classes ``[n, C]`` in [0, 1]."""
        semantic = self.body(labels)
        return semantic, torch.tanh(self.code(semantic)), torch.sigmoid(self.label(semantic))


def restore(knowledge: Knowledge, classes: int) -> PrototypeNet:
    """Return the network that the attack's target-code rule learnt, frozen.

    Raises:
        AttackError: it was trained for another number of classes or another code length.
    """
    arrays, bits = knowledge.fitted["target_code"], knowledge.hasher.bits
    found = arrays["body.0.weight"].shape[1], arrays["code.weight"].shape[0]
    if found != (classes, bits):
        raise AttackError(
            f"PrototypeNet was fitted for C = {found[0]} classes and K = {found[1]} bits, but the "
            f"data set has C = {classes} and the source K = {bits}"
        )
    with torch.device("meta"):
        network = PrototypeNet(classes, bits)
    load_state(network, arrays, "PrototypeNet's state", assign=True)
    return network.eval().requires_grad_(False)


def quantisation(h: Tensor) -> Tensor:
    """Return 1e-4 Σ (sign h − h)², of outputs ``[n, K]``."""
    return _QUANTISATION * (torch.where(h >= 0, 1.0, -1.0) - h).square().sum()


@dataclass(frozen=True, kw_only=True)
class LearntCode(TargetCode):
    """The sign of PrototypeNet's code output for the target label; a subclass gives the loss.

    Attributes:
        prototype_rows: the split whose unique label rows it is trained on.
        prototype_steps: optimiser steps, each on label rows drawn uniformly (released: 100 epochs
            of 300); None for 100 shuffled passes over the label rows (paper, which prints these
            epochs for the generator).
        prototype_batch: label rows per step.
        prototype_decay: the rate falls to a tenth at one half and at three quarters of the steps.
        prototype_rate: of Adam; its betas, .5 and .999, are the released code's.
    """

    learns: ClassVar[bool] = True
    prototype_rows: PoolName
    prototype_steps: int | None = 30_000
    prototype_batch: int = 64
    prototype_decay: bool = True
    prototype_rate: float = 1e-4

    def __post_init__(self) -> None:
        least = 1 if self.prototype_steps is None else self.prototype_steps
        if min(least, self.prototype_batch) < 1 or self.prototype_rate <= 0:
            raise AttackError(f"PrototypeNet needs positive steps, batch and rate, got {self}")

    def codes(
        self,
        knowledge: Knowledge,
        labels: UInt8Array,
        rows: IntArray,  # noqa: ARG002 - a prototype belongs to the label row
        seed: int,  # noqa: ARG002 - the fit had it
    ) -> Tensor:
        """Return the prototype code of each target label row, int8 ``[n, K]``.

        Raises:
            AttackError: a target label no training image shares a label with.
        """
        relevant = (labels @ knowledge.train.labels.T > 0).any(axis=1)
        if not relevant.all():
            row = int(np.flatnonzero(~relevant)[0])
            raise AttackError(
                f"no training image is relevant to the target labels "
                f"{np.flatnonzero(labels[row]).tolist()} of query {row}: PrototypeNet cannot know "
                "them; choose another policy or a larger training set"
            )
        network = restore(knowledge, labels.shape[1])
        return sign_codes(network(torch.from_numpy(labels).float())[1])

    def fit(
        self,
        knowledge: Knowledge,
        *,
        epsilon: float | None,
        seed: int,
        journal: Journal,
        progress: Progress,
    ) -> Fitted:
        """Train PrototypeNet against the codes and labels of the training images."""
        del epsilon, journal  # a code has no budget; a fit of minutes starts over
        device = next(knowledge.hasher.parameters()).device
        unique, _ = label_rows(knowledge.pool(self.prototype_rows).labels)
        rows = torch.from_numpy(unique).float().to(device)
        labels = torch.from_numpy(knowledge.train.labels).float().to(device)
        codes = knowledge.train.codes.float().to(device)
        similar = (rows @ labels.T > 0).float()  # [rows, N]
        with seeded(seed, f"prototype/{knowledge.source}"):
            network = PrototypeNet(rows.shape[1], codes.shape[1]).to(device)
        optimiser = torch.optim.Adam(
            network.parameters(), lr=self.prototype_rate, betas=(0.5, 0.999)
        )
        steps, draws = self._steps(len(rows)), f"prototype-rows/{knowledge.source}"
        falls = [math.ceil(steps * part) for part in (0.5, 0.75) if self.prototype_decay]
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, falls, gamma=0.1)
        curve: list[float] = []
        total = torch.zeros((), device=device)
        for step, drawn in enumerate(self._draws(len(rows), generator(seed, draws))):
            pick = torch.from_numpy(drawn).to(device)
            loss = self.loss(network(rows[pick]), rows[pick], codes, similar[pick])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            total += loss.detach()
            progress(step + 1, steps, "step")
            if (step + 1) % _STEPS_PER_EPOCH == 0 or step + 1 == steps:
                curve.append(total.item() / (step % _STEPS_PER_EPOCH + 1))
                total.zero_()
                if not math.isfinite(curve[-1]):
                    raise AttackError(
                        f"PrototypeNet's loss became {curve[-1]} by step {step + 1}; lower "
                        f"prototype_rate ({self.prototype_rate})",
                        {"curves": {"prototype": curve[:-1]}},
                    )
        return Fitted(state_arrays(network), {"prototype": curve})

    def fit_passes(self, n_train: int) -> int:
        """Return the cost of a fit: a step takes as long as some seven passes of a ResNet18.

        There are at most as many label rows as images.
        """
        return 7 * self._steps(n_train)

    def _steps(self, count: int) -> int:
        """Return the number of steps for so many label rows."""
        return self.prototype_steps or _EPOCHS * math.ceil(count / self.prototype_batch)

    def _draws(self, count: int, draws: np.random.Generator) -> Iterator[IntArray]:
        """Yield the numbers of the label rows of each step, of ``count``."""
        for _ in range(self.prototype_steps or 0):
            yield draws.integers(count, size=self.prototype_batch)
        for _ in range(_EPOCHS if self.prototype_steps is None else 0):
            order = draws.permutation(count)
            for first in range(0, count, self.prototype_batch):
                yield order[first : first + self.prototype_batch]

    @abstractmethod
    def loss(
        self, outputs: tuple[Tensor, Tensor, Tensor], labels: Tensor, codes: Tensor, similar: Tensor
    ) -> Tensor:
        """Return the loss of a step's outputs for label rows ``[n, C]`` against codes ``[N, K]``.

        ``similar`` ``[n, N]`` is 1 where they share a label, else 0.
        """


@dataclass(frozen=True, kw_only=True)
class PrototypeCode(LearntCode):
    """ProS-GAN's prototype code.

    It is trained before the generator and frozen, as released; the paper's Algorithm 1 prints one
    loop for both.

    Attributes:
        prototype_loss: ``mean`` as released, ``sum`` for the paper's printed weights 1, 1e-4, 1.
    """

    prototype_loss: Reduction

    def loss(
        self, outputs: tuple[Tensor, Tensor, Tensor], labels: Tensor, codes: Tensor, similar: Tensor
    ) -> Tensor:
        """Return Equation 3's objective for label rows ``[n, C]`` against codes ``[N, K]``.

        Likelihood of the pairs, quantisation, classification; θ = ½ h·Bᵀ.
        """
        _, h, classes = outputs
        count, pairs = len(labels), len(labels) * len(codes)
        theta = 0.5 * h @ codes.T
        likelihood = -(similar * theta - softplus(theta)).sum() / pairs
        if self.prototype_loss == "mean":
            return likelihood + quantisation(h) / count + mse_loss(classes, labels)
        # The printed sums, all divided by the number of pairs: Adam does not see the factor.
        error = (classes - labels).square().sum()
        return likelihood + (quantisation(h) + error) / pairs
