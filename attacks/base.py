"""The attack template, and exactly what the threat model lets an attacker see.

An :class:`Attack` is a frozen value composed of a target-code rule and a crafting; its fields are
its hyper-parameters and its identity. It never sees the queries' labels or another hasher.
Projection into the budget is the crafting's business: the harness measures what comes out and
changes nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from attacks.protocols import PoolName, Protocol
from datasets.base import IntArray, UInt8Array
from datasets.errors import UserError
from datasets.seeds import generator
from targets.hasher import Hasher


class AttackError(UserError):
    """An attack that cannot run as asked; the text says why and what to do."""


@dataclass(frozen=True)
class Pool:
    """Images an attacker holds: label rows {0, 1} ``[m, C]`` and the source's codes ``[m, K]``."""

    labels: UInt8Array
    codes: Tensor


@dataclass(frozen=True)
class Knowledge:
    """What an attacker sees: the white-box source hasher, training data, maybe the database."""

    source: str
    hasher: Hasher
    train: Pool
    database: Pool | None = None

    def pool(self, name: PoolName) -> Pool:
        """Return the training or the database pool.

        Raises:
            AttackError: the protocol hides the database from the attacker.
        """
        if name == "train":
            return self.train
        if self.database is None:
            raise AttackError("this protocol does not show the database to an attacker")
        return self.database


@dataclass(frozen=True)
class Batch:
    """Queries to perturb together. Nothing an attack draws may depend on who shares the batch."""

    images: Tensor  # [n, 3, S, S] in [0, 1]
    codes: Tensor | None  # target codes, [n, K] in {-1, +1}, None without a target-code rule
    targets: Tensor  # target label rows, uint8 [n, C]
    rows: IntArray  # the queries' row numbers, [n]
    seed: int

    def uniform(self, purpose: str) -> Tensor:
        """Return U(0, 1) noise shaped like the images, drawn per row from (seed, purpose, row)."""
        shape = tuple(self.images.shape[1:])
        draws = [generator(self.seed, purpose, int(row)).random(shape) for row in self.rows]
        return torch.from_numpy(np.stack(draws)).to(self.images)


@dataclass(frozen=True, kw_only=True)
class TargetCode(ABC):
    """A rule that names the hash code a query shall move to."""

    @abstractmethod
    def codes(self, knowledge: Knowledge, targets: UInt8Array, rows: IntArray, seed: int) -> Tensor:
        """Return target codes int8 ``[n, K]`` in {-1, +1} for target label rows ``[n, C]``.

        ``rows`` are the queries' row numbers; draws are seeded by (seed, purpose, row).
        """


@dataclass(frozen=True, kw_only=True)
class Crafting(ABC):
    """A way to make the adversarial image."""

    needs_code: ClassVar[bool] = True

    @abstractmethod
    def perturb(self, batch: Batch, hasher: Hasher, epsilon: float | None) -> Tensor:
        """Return adversarial images ``[n, 3, S, S]`` in [0, 1], within ``epsilon`` if declared."""


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A row of the leaderboard.

    Attributes:
        id: its identifier in results and suites.
        title: its name in reports.
        target_code: the rule, or None where no code is aimed at.
        crafting: how the image is made; None where the code itself queries the database.
        epsilon: declared L-infinity budget in pixels of [0, 1]; None where none is declared.
    """

    id: str
    title: str
    target_code: TargetCode | None
    crafting: Crafting | None
    epsilon: float | None

    def __post_init__(self) -> None:
        needs_code = self.crafting is None or self.crafting.needs_code
        if needs_code and self.target_code is None:
            raise AttackError(f"{self.id}: needs a target-code rule")
        if self.epsilon is not None and self.epsilon < 0:
            raise AttackError(f"{self.id}: epsilon must not be negative, got {self.epsilon}")

    @property
    def code_only(self) -> bool:
        """Whether the target code itself queries the database: an upper bound, not an image."""
        return self.crafting is None

    @property
    def targeted(self) -> bool:
        """Whether the attack aims at a code at all (Original and Noise do not)."""
        return self.target_code is not None

    def target_codes(
        self, knowledge: Knowledge, targets: UInt8Array, rows: IntArray, seed: int
    ) -> Tensor | None:
        """Return the checked target codes int8 ``[n, K]``, or None without a rule."""
        if self.target_code is None:
            return None
        codes = self.target_code.codes(knowledge, targets, rows, seed)
        wanted = (len(targets), knowledge.hasher.bits)
        if tuple(codes.shape) != wanted or not bool((codes.abs() == 1).all()):
            raise AttackError(f"{self.id}: target codes must be {wanted} values of -1 or +1")
        return codes

    def perturb(self, batch: Batch, hasher: Hasher) -> Tensor:
        """Return the batch's adversarial images; what comes out is measured, never mended."""
        if self.crafting is None:
            raise AttackError(f"{self.id}: a code-only attack crafts no image")
        return self.crafting.perturb(batch, hasher, self.epsilon)


@dataclass(frozen=True)
class Entry:
    """A registered attack: a function from a protocol to the composed attack."""

    build: Callable[[Protocol], Attack]
    help: str


def attack(build: Callable[[Protocol], Attack]) -> Entry:
    """Register the decorated function; its docstring is the attack's help."""
    return Entry(build, (build.__doc__ or "").strip().split("\n")[0])
