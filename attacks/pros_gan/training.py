"""The training loop of generators, resumable by epoch.

Every random draw of an epoch is a function of (seed, source, epoch), so the state saved after an
epoch needs no random state: a resumed training draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from hashattack.attacks.base import Arrays, AttackError, Fitted, Journal
from hashattack.attacks.pros_gan.training_data import TrainingBatch, TrainingData
from hashattack.targets.checkpoints import load_state, state_arrays
from hashattack.targets.training import Progress

_HASH_MUST_FALL = 0.01  # below the untrained generator's, within at least three epochs
_SAMPLE = 96  # training images that stand for all

Curves = dict[str, list[float]]


@dataclass(frozen=True)
class TrainingSchedule:
    """Epochs, batch size and learning rate."""

    epochs: int
    batch: int
    rate: float
    decay: bool  # to zero over the second half

    def rate_at(self, epoch: int) -> float:
        """Return the learning rate of a 0-based epoch: released, 1 − (e − 49)/51 from 50 of 100."""
        half = self.epochs // 2
        if not self.decay or epoch < half:
            return self.rate
        return self.rate * (1 - (epoch - half + 1) / (self.epochs - half + 1))


@dataclass(frozen=True)
class Step:
    """An update of one network: the loss it descends, and the terms that are plotted."""

    network: str
    loss: Tensor
    parts: Mapping[str, Tensor]


class Objective(Protocol):
    """The networks to train, the generator under ``G``, and their losses."""

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Return the networks; each gets an Adam of its own."""

    @property
    def remedy(self) -> str | None:
        """Return what to change if the hash loss does not fall; None if it need not fall."""

    def steps(self, batch: TrainingBatch) -> Iterator[Step]:
        """Yield the updates of a batch; the loop applies each before it takes the next."""

    def hash_loss(self, batch: TrainingBatch) -> Tensor:
        """Return the generator's present mean hash loss, in [0, 2]."""


class Training:
    """Trains an objective with Adam and saves the state after every epoch."""

    def __init__(self, objective: Objective, schedule: TrainingSchedule) -> None:
        self.objective = objective
        self.schedule = schedule
        self._untrained = math.inf  # the hash loss before the first step
        self._curves: Curves = {}
        self._optimisers = {
            name: torch.optim.Adam(network.parameters(), lr=schedule.rate, betas=(0.5, 0.999))
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
        totals: dict[str, Tensor] = {}
        updates: dict[str, int] = {}
        for index in range(batches):
            part = slice(index * self.schedule.batch, (index + 1) * self.schedule.batch)
            for step in self.objective.steps(data.draw(order[part], picks[part], epoch, index)):
                self._optimisers[step.network].zero_grad()
                step.loss.backward()  # type: ignore[no-untyped-call]
                self._optimisers[step.network].step()
                for name, value in step.parts.items():
                    totals[name] = (
                        totals[name] + value.detach() if name in totals else value.detach()
                    )
                    updates[name] = updates.get(name, 0) + 1
            progress(epoch * batches + index + 1, self.schedule.epochs * batches, "step")
        return {name: float(total) / updates[name] for name, total in totals.items()}

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
                f"({self.schedule.rate})",
                {"curves": kept},
            )
        best = min(self._curves["hash"])
        last_epoch = epoch == self.schedule.epochs and epoch >= 3
        remedy = self.objective.remedy
        if remedy and last_epoch and best > self._untrained - _HASH_MUST_FALL:
            raise AttackError(
                f"the hash loss never fell in {epoch} epochs: it is {best:.3f} at best, and was "
                f"{self._untrained:.3f} untrained; {remedy}",
                {"curves": dict(self._curves)},
            )

    # -- the whole state, saved after every epoch -------------------------------------------

    def _state(self) -> Arrays:
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
