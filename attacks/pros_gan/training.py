"""The training of generators: its data, its loop and its state, which is saved every epoch.

Every random draw of an epoch is a function of (seed, source, epoch), so the state saved after an
epoch needs no random state: a resumed training draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hashattack.attacks.base import Arrays, AttackError, Fitted, Journal, Knowledge
from hashattack.attacks.pros_gan.prototype_net import restore
from hashattack.attacks.protocols import PoolName
from hashattack.datasets.base import Images, IntArray, UInt8Array
from hashattack.datasets.draws import label_rows
from hashattack.datasets.seeds import generator
from hashattack.targets.checkpoints import load_state, state_arrays
from hashattack.targets.hasher import sign_codes
from hashattack.targets.training import Progress, to_pixels

_HASH_MUST_FALL = 0.01  # below the untrained generator's, within at least three epochs
_SAMPLE = 96  # training images that stand for all

TargetDraw = Literal["rows", "images"]


@dataclass(frozen=True)
class TrainingBatch:
    """A batch of training images, each with a target label drawn for it."""

    epoch: int  # 0-based
    index: int  # of the batch in its epoch
    images: Tensor  # [n, 3, S, S] in [0, 1]
    labels: Tensor  # their own label rows, float [n, C]
    targets: Tensor  # target label rows, float [n, C]
    semantics: Tensor  # r of the targets, [n, 512]
    codes: Tensor  # prototype codes of the targets, float [n, K]


@dataclass(frozen=True)
class TrainingData:
    """Training images with labels, and the target label rows with their prototypes."""

    images: Images
    labels: UInt8Array  # [N, C]
    rows: Tensor  # target label rows, float [R, C]
    shares: npt.NDArray[np.float64]  # the probability of each row, [R]
    semantics: Tensor  # [R, 512]
    codes: Tensor  # float [R, K]
    source: str
    seed: int

    @classmethod
    def of(
        cls, knowledge: Knowledge, split: PoolName, drawn_by: TargetDraw, seed: int
    ) -> TrainingData:
        """Collect it from what an attacker sees.

        Targets are the unique label rows of ``split`` that are relevant to a training image, drawn
        uniformly over ``rows`` (published) or over the ``images`` that carry them.

        Raises:
            AttackError: training images that the attacker may not see, or an unfit PrototypeNet.
        """
        if knowledge.train_images is None:
            raise AttackError("a generator needs the training images")
        weight = next(knowledge.hasher.parameters())  # its device and dtype are used throughout
        rows, counts = label_rows(knowledge.pool(split).labels)
        known = (rows @ knowledge.train.labels.T > 0).any(axis=1)
        rows, counts = rows[known], counts[known]
        shares = counts if drawn_by == "images" else np.ones(len(rows))
        labels = torch.from_numpy(rows).float()
        semantics, outputs, _ = restore(knowledge, rows.shape[1])(labels)
        return cls(
            images=knowledge.train_images,
            labels=knowledge.train.labels,
            rows=labels.to(weight),
            shares=shares / shares.sum(),
            semantics=semantics.to(weight),
            codes=sign_codes(outputs).to(weight),
            source=knowledge.source,
            seed=seed,
        )

    @property
    def side(self) -> int:
        """The side of the images."""
        return int(self.images.read(np.zeros(1, dtype=np.int64)).shape[-1])

    def epoch(self, epoch: int) -> tuple[IntArray, IntArray]:
        """Return an epoch's order of the training images, and the target row of each place."""
        order = generator(self.seed, f"gan-order/{self.source}", epoch)
        targets = generator(self.seed, f"gan-targets/{self.source}", epoch)
        count = len(self.labels)
        return order.permutation(count), targets.choice(len(self.rows), size=count, p=self.shares)

    def sample(self, count: int) -> TrainingBatch:
        """Return the first training images with targets of a draw of their own, to measure on."""
        rows = np.arange(min(count, len(self.labels)))
        draws = generator(self.seed, f"gan-untrained/{self.source}")
        return self.draw(rows, draws.choice(len(self.rows), size=len(rows), p=self.shares))

    def draw(
        self, rows: IntArray, picks: IntArray, epoch: int = 0, index: int = 0
    ) -> TrainingBatch:
        """Return training images ``rows``, each with the target row of ``picks``."""
        pick = torch.from_numpy(picks).to(self.rows.device)
        own = torch.from_numpy(self.labels[rows])
        return TrainingBatch(
            epoch=epoch,
            index=index,
            images=to_pixels(self.images.read(rows), self.rows.device, self.rows.dtype),
            labels=own.to(self.rows),
            targets=self.rows[pick],
            semantics=self.semantics[pick],
            codes=self.codes[pick],
        )


@dataclass(frozen=True, kw_only=True)
class TrainingSchedule:
    """How long and how fast a generator learns.

    Attributes:
        rate_decay: learning rates fall to zero over the second half.
        epochs, batch, learning_rate: of Adam with betas .5 and .999.
    """

    rate_decay: bool
    epochs: int = 100
    batch: int = 24
    learning_rate: float = 1e-4

    def rate_at(self, epoch: int) -> float:
        """Return the learning rate of a 0-based epoch: released, 1 − (e − 49)/51 from 50 of 100."""
        half = self.epochs // 2
        if not self.rate_decay or epoch < half:
            return self.learning_rate
        return self.learning_rate * (1 - (epoch - half + 1) / (self.epochs - half + 1))


@dataclass(frozen=True)
class Step:
    """An update of one network: the loss it descends, and the terms that are plotted."""

    network: str
    loss: Tensor
    parts: Mapping[str, Tensor]


class Objective(ABC):
    """The losses of a training."""

    networks: Mapping[str, nn.Module]  # the generator under "G"; each gets an Adam of its own
    remedy: str | None  # what to change if the hash loss does not fall; None if it need not

    @abstractmethod
    def steps(self, batch: TrainingBatch) -> Iterator[Step]:
        """Yield the updates of a batch; the loop applies each before it takes the next."""

    @abstractmethod
    def hash_loss(self, batch: TrainingBatch) -> Tensor:
        """Return the generator's present mean hash loss, in [0, 2]."""


class Training:
    """Trains an objective with Adam and saves the state after every epoch."""

    def __init__(self, objective: Objective, schedule: TrainingSchedule) -> None:
        self.objective = objective
        self.schedule = schedule
        self._untrained = math.inf  # the hash loss before the first step
        self._curves: dict[str, list[float]] = {}
        self._optimisers = {
            name: torch.optim.Adam(
                network.parameters(), lr=schedule.learning_rate, betas=(0.5, 0.999)
            )
            for name, network in objective.networks.items()
        }

    def run(self, data: TrainingData, *, journal: Journal, progress: Progress) -> Fitted:
        """Train to the last epoch, starting from the saved state if there is one.

        Raises:
            AttackError: a loss became NaN, or the hash loss never fell; the curves are kept.
        """
        saved = journal.load()
        if saved is None:
            with torch.no_grad():
                self._untrained = float(self.objective.hash_loss(data.sample(_SAMPLE)))
        first = 0 if saved is None else self._resume(saved)
        for epoch in range(first, self.schedule.epochs):
            for name, value in self._epoch(data, epoch, progress).items():
                self._curves.setdefault(name, []).append(value)
            self._check()
            journal.save(self._state())
        return Fitted(state_arrays(self.objective.networks["G"]), self._curves)

    def _epoch(self, data: TrainingData, epoch: int, progress: Progress) -> dict[str, float]:
        """Train one epoch and return the mean of each term over the updates that had it."""
        order, picks = data.epoch(epoch)
        batches = -(-len(order) // self.schedule.batch)
        for optimiser in self._optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = self.schedule.rate_at(epoch)
        totals: dict[str, tuple[Tensor | int, int]] = {}
        for index in range(batches):
            part = slice(index * self.schedule.batch, (index + 1) * self.schedule.batch)
            for step in self.objective.steps(data.draw(order[part], picks[part], epoch, index)):
                self._optimisers[step.network].zero_grad()
                step.loss.backward()  # type: ignore[no-untyped-call]
                self._optimisers[step.network].step()
                for name, value in step.parts.items():
                    total, count = totals.get(name, (0, 0))
                    totals[name] = total + value.detach(), count + 1
            progress(epoch * batches + index + 1, self.schedule.epochs * batches, "step")
        return {name: float(total) / count for name, (total, count) in totals.items()}

    def _check(self) -> None:
        last = {name: values[-1] for name, values in self._curves.items()}
        epoch = len(self._curves["hash"])
        if not all(math.isfinite(value) for value in last.values()):
            bad = ", ".join(name for name, value in last.items() if not math.isfinite(value))
            kept = {
                name: [v for v in values if math.isfinite(v)]
                for name, values in self._curves.items()
            }
            raise AttackError(
                f"the GAN diverged in epoch {epoch} ({bad} became NaN); lower learning_rate "
                f"({self.schedule.learning_rate})",
                {"curves": kept},
            )
        best, ended = min(self._curves["hash"]), 3 <= epoch == self.schedule.epochs
        if self.objective.remedy and ended and best > self._untrained - _HASH_MUST_FALL:
            raise AttackError(
                f"the hash loss never fell in {epoch} epochs: it is {best:.3f} at best, and was "
                f"{self._untrained:.3f} untrained; {self.objective.remedy}",
                {"curves": dict(self._curves)},
            )

    def _state(self) -> Arrays:
        """Return the whole state: curves, networks and Adam's moments."""
        state: Arrays = {"untrained": np.array(self._untrained)}
        state |= {f"curve/{name}": np.array(values) for name, values in self._curves.items()}
        for name, network in self.objective.networks.items():
            state |= {f"{name}/{key}": array for key, array in state_arrays(network).items()}
            moments = self._optimisers[name].state_dict()["state"]
            state |= {
                f"adam-{name}/{index}/{key}": tensor.cpu().numpy()
                for index, values in moments.items()
                for key, tensor in values.items()
            }
        return {key: np.asarray(array, order="C") for key, array in state.items()}

    def _resume(self, state: Arrays) -> int:
        """Load a saved state and return the next epoch."""
        self._untrained = float(state["untrained"])
        self._curves = {name: array.tolist() for name, array in _below(state, "curve/").items()}
        for name, network in self.objective.networks.items():
            load_state(network, _below(state, f"{name}/"), "the saved training state")
            moments: dict[int, dict[str, Any]] = {}
            for key, array in _below(state, f"adam-{name}/").items():
                index, _, field = key.partition("/")
                moments.setdefault(int(index), {})[field] = torch.from_numpy(np.array(array))
            groups = self._optimisers[name].state_dict()["param_groups"]
            self._optimisers[name].load_state_dict({"state": moments, "param_groups": groups})
        return len(self._curves["hash"])


def _below(state: Arrays, prefix: str) -> Arrays:
    return {key.removeprefix(prefix): a for key, a in state.items() if key.startswith(prefix)}
