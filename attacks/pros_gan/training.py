"""The training of generators: its data, its loop and its state, which is saved every epoch.

Every random draw of an epoch is a function of (seed, source, epoch), so the state saved after an
epoch needs no random state: a resumed training draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hashattack.attacks.base import Arrays, AttackError, Fitted, Journal, Knowledge
from hashattack.attacks.convergence import undertrained
from hashattack.attacks.pros_gan.prototype_net import restore
from hashattack.attacks.protocols import PoolName
from hashattack.datasets.base import Images, IntArray, UInt8Array
from hashattack.datasets.draws import label_rows
from hashattack.datasets.seeds import generator
from hashattack.targets.checkpoints import load_state, state_arrays
from hashattack.targets.hasher import sign_codes
from hashattack.targets.training import Progress, to_pixels

_SAMPLE = 96  # pairs of a training image and a target that training is measured on
_LONGEST = 100  # epochs, as published
_LEAST = 6  # epochs before a plateau can be seen: means of two are compared

TargetDraw = Literal["rows", "images"]


@dataclass(frozen=True)
class TrainingBatch:
    """A batch of training images, each with a target label drawn for it."""

    whole: bool  # whether all of the objective is trained, see Objective.begins
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

    def sample(self, batch: int) -> Iterator[TrainingBatch]:
        """Yield the pairs of image and target, in batches, that training is measured on.

        They have a draw of their own and are the same after every epoch. The images are training
        images: the published recipe learns from all of them, so none is kept from it.
        """
        draws = generator(self.seed, f"gan-sample/{self.source}")
        count = min(_SAMPLE, len(self.labels))
        rows = draws.choice(len(self.labels), size=count, replace=False)
        picks = draws.choice(len(self.rows), size=count, p=self.shares)
        for first in range(0, count, batch):
            yield self.draw(rows[first : first + batch], picks[first : first + batch])

    def draw(
        self, rows: IntArray, picks: IntArray, *, whole: bool = True, index: int = 0
    ) -> TrainingBatch:
        """Return training images ``rows``, each with the target row of ``picks``."""
        pick = torch.from_numpy(picks).to(self.rows.device)
        own = torch.from_numpy(self.labels[rows])
        return TrainingBatch(
            whole=whole,
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
        epochs: ``auto`` ends where the hash loss falls no more, after 100 at the latest; with
            rate_decay, that is where the second half begins.
        batch, learning_rate: of Adam with betas .5 and .999.
    """

    rate_decay: bool
    epochs: int | Literal["auto"] = _LONGEST
    batch: int = 24
    learning_rate: float = 1e-4

    @property
    def longest(self) -> int:
        """The most epochs it may take."""
        return _LONGEST if self.epochs == "auto" else self.epochs

    def plateau(self, losses: Sequence[float], begins: int, most: int) -> int:
        """Return after how many epochs a loss falls no more; ``most`` as long as it has not.

        Args:
            losses: before training and after each epoch.
            begins: the epoch from which they count.
            most: where training ends at the latest; always there unless ``auto``.
        """
        if self.epochs == "auto":
            for done in range(begins + _LEAST, min(len(losses), most)):
                if not undertrained(losses[begins : done + 1]):
                    return done
        return most

    def length(self, losses: Sequence[float], begins: int) -> int:
        """Return how many epochs it takes, as far as the losses of the past ones show.

        ``auto`` trains exactly as that number of epochs does.
        """
        halves = 2 if self.rate_decay and self.epochs == "auto" else 1
        return halves * self.plateau(losses, begins, self.longest // halves)

    def rate_at(self, epoch: int, length: int) -> float:
        """Return the learning rate of a 0-based epoch: released, 1 − (e − 49)/51 from 50 of 100."""
        half = length // 2
        if not self.rate_decay or epoch < half:
            return self.learning_rate
        return self.learning_rate * (1 - (epoch - half + 1) / (length - half + 1))


@dataclass(frozen=True)
class Step:
    """An update of one network: the loss it descends, and the terms that are plotted."""

    network: str
    loss: Tensor
    parts: Mapping[str, Tensor]


class Objective(ABC):
    """The losses of a training."""

    networks: Mapping[str, nn.Module]  # the generator under "G"; each gets an Adam of its own
    has_hash_loss: bool = True  # else its training is not measured

    def begins(self, curves: Mapping[str, Sequence[float]]) -> int:  # noqa: ARG002
        """Return the epoch from which all of it is trained, given the means of past epochs."""
        return 0

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
        self._losses: list[float] = []  # of the sample, before training and by epoch
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
            AttackError: a loss became NaN; the curves are kept.
        """
        saved = journal.load()
        epoch = 0 if saved is None else self._resume(saved)
        if saved is None:
            self._measure(data)
        while epoch < (length := self._length()):
            whole = epoch >= self.objective.begins(self._curves)
            for name, value in self._epoch(data, epoch, length, whole, progress).items():
                self._curves.setdefault(name, []).append(value)
            self._measure(data)
            self._check()
            journal.save(self._state())
            epoch += 1
        state = state_arrays(self.objective.networks["G"])
        return Fitted(state, self._curves, self._losses, ended_early=epoch < self.schedule.longest)

    def _length(self) -> int:
        return self.schedule.length(self._losses, self.objective.begins(self._curves))

    @torch.no_grad()
    def _measure(self, data: TrainingData) -> None:
        """Add the mean hash loss of the sample, where the objective has one."""
        if self.objective.has_hash_loss:
            batches = data.sample(self.schedule.batch)
            parts = [(len(one.images), float(self.objective.hash_loss(one))) for one in batches]
            total = sum(count * loss for count, loss in parts)
            self._losses.append(total / sum(count for count, _ in parts))

    def _epoch(
        self, data: TrainingData, epoch: int, length: int, whole: bool, progress: Progress
    ) -> dict[str, float]:
        """Train one epoch and return the mean of each term over the updates that had it."""
        order, picks = data.epoch(epoch)
        batches = -(-len(order) // self.schedule.batch)
        for optimiser in self._optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = self.schedule.rate_at(epoch, length)
        totals: dict[str, tuple[Tensor | int, int]] = {}
        for index in range(batches):
            part = slice(index * self.schedule.batch, (index + 1) * self.schedule.batch)
            batch = data.draw(order[part], picks[part], whole=whole, index=index)
            for step in self.objective.steps(batch):
                self._optimisers[step.network].zero_grad()
                step.loss.backward()  # type: ignore[no-untyped-call]
                self._optimisers[step.network].step()
                for name, value in step.parts.items():
                    total, count = totals.get(name, (0, 0))
                    totals[name] = total + value.detach(), count + 1
            progress(epoch * batches + index + 1, length * batches, "step")
        return {name: float(total) / count for name, (total, count) in totals.items()}

    def _check(self) -> None:
        last = {name: values[-1] for name, values in self._curves.items()}
        if self._losses:
            last["hash of the sample"] = self._losses[-1]
        if not all(math.isfinite(value) for value in last.values()):
            bad = ", ".join(name for name, value in last.items() if not math.isfinite(value))
            kept = {
                name: [v for v in values if math.isfinite(v)]
                for name, values in self._curves.items()
            }
            raise AttackError(
                f"the GAN diverged in epoch {len(self._curves['hash'])} ({bad} became NaN); lower "
                f"learning_rate ({self.schedule.learning_rate})",
                {"curves": kept},
            )

    def _state(self) -> Arrays:
        """Return the whole state: losses, curves, networks and Adam's moments."""
        state: Arrays = {"losses": np.array(self._losses)}
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
        self._losses = state["losses"].tolist()
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
