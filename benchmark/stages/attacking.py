"""Attacking: draw target labels, craft, and hash what was crafted with a victim.

Crafting and hashing never touch the queries' labels.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hashattack.attacks.base import Attack, Part
from hashattack.attacks.protocols import PoolName
from hashattack.benchmark import audit
from hashattack.benchmark.jobs import Context, Output
from hashattack.benchmark.networks import batches, encode_batch, first_batch, input_hasher
from hashattack.benchmark.stages.base import DataTask, NetworkTask
from hashattack.benchmark.stages.confinement import FITTED_ROLES, AttackerTask, WhiteBoxTask
from hashattack.benchmark.stages.crafting import Assignment, Preparation, craft_images
from hashattack.benchmark.store.journal import Stopwatch
from hashattack.datasets.base import RetrievalData, UInt8Array
from hashattack.datasets.draws import Policy, draw_targets, eligible_rows
from hashattack.targets.hasher import Hasher, TargetSpec


@dataclass(frozen=True, kw_only=True)
class DrawTargets(DataTask):
    """Draw each query's target label, once for all attacks."""

    stage: ClassVar[str] = "draw"
    policy: Policy
    pool: PoolName
    n_t: int
    n_queries: int
    seed: int

    @property
    def label(self) -> str:
        """What a person calls this job."""
        return f"draw {self.policy} targets, seed {self.seed}"

    def run(self, context: Context) -> Output:
        """Store uint8 target label rows ``[q, C]``."""
        return Output({"targets": self.drawn(self.data(context))})

    def drawn(self, data: RetrievalData) -> UInt8Array:
        """Return uint8 target label rows ``[q, C]``, a function of the data set and the fields."""
        rows = eligible_rows(
            self.policy, data.database.labels, data.split(self.pool).labels, self.n_t
        )
        own = data.query.labels[: self.n_queries]
        return draw_targets(self.policy, rows, own, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class Fit(WhiteBoxTask):
    """Let a part of an attack learn: PrototypeNet, a generator. Resumes at its last saved state."""

    stage: ClassVar[str] = "fit"
    version: ClassVar[int] = 2  # channels last
    part: Part
    epsilon: float | None
    seed: int

    @property
    def label(self) -> str:
        """What a person calls this job."""
        return f"fit {type(self.part).__name__} on {self.source.name}"

    @property
    def timed(self) -> bool:
        """The cost of training stands in the table."""
        return True

    @property
    def batch(self) -> int | None:
        """Images a step, where it learns from images."""
        return self.part.fit_batch

    @property
    def divisible(self) -> bool:
        """Its losses look at whole batches."""
        return False

    def run(self, context: Context) -> Output:
        """Store the learnt state, its loss curves and the seconds all attempts took."""
        watch = Stopwatch(context.journal)
        with self.shown(context) as (_, knowledge):
            fitted = self.part.fit(
                knowledge,
                epsilon=self.epsilon,
                seed=self.seed,
                journal=watch,
                progress=context.progress,
            )
        curves = {name: list(values) for name, values in fitted.curves.items()}
        return Output(dict(fitted.state), {"curves": curves, "seconds": watch.seconds})


@dataclass(frozen=True, kw_only=True)
class Craft(WhiteBoxTask):
    """Run an attack against its source: adversarial images, or codes for a code-only attack."""

    stage: ClassVar[str] = "craft"
    version: ClassVar[int] = 3  # warmed up on other images, timed at first sight
    attack: Attack
    n_queries: int
    seed: int

    @property
    def label(self) -> str:
        """What a person calls this job."""
        return f"craft {self.attack.title} on {self.source.name}"

    @property
    def timed(self) -> bool:
        """Seconds an image stand in the table."""
        return not self.attack.code_only

    def run(self, context: Context) -> Output:
        """Store ``images`` float ``[q, 3, S, S]`` or ``codes`` int8 ``[q, K]``."""
        attack, targets = self.attack, context.arrays("targets")["targets"]
        rows = np.arange(self.n_queries)
        fits = [role for role in FITTED_ROLES if role in context.inputs]
        learnt = sum(context.data(role)["seconds"] for role in fits)
        preparation = Preparation(context.device)
        with self.shown(context) as (data, knowledge):
            train, epsilon = knowledge.train, attack.epsilon
            other = Assignment(data.train.images, train.labels, train.codes, epsilon, self.seed + 1)
            # Pays for the device, kernels and compilation, before any clock of the attack's runs.
            _gradient(knowledge.hasher, first_batch(other.images, self.compute, context)[0])
            codes = preparation.of(lambda: attack.target_codes(knowledge, targets, rows, self.seed))
            if attack.code_only and codes is not None:
                facts = {"fit_seconds": learnt + preparation.counted}
                return Output({"codes": codes.numpy().copy()}, facts)
            learns = attack.crafting is not None and attack.crafting.learns
            images, seconds = craft_images(
                preparation.of(lambda: attack.ready(knowledge)),
                Assignment(data.query.images, targets, codes, epsilon, self.seed),
                other if codes is not None else replace(other, codes=None),
                self.compute,
                context,
                preparation,
                rehearse=learns,
            )
        facts = {"fit_seconds": learnt + preparation.counted, "seconds_per_image": seconds}
        return Output({"images": images}, facts)


@dataclass(frozen=True, kw_only=True)
class CraftBlind(AttackerTask):
    """Run an attack that sees no hasher, once for all targets."""

    stage: ClassVar[str] = "craft"
    version: ClassVar[int] = 2  # warmed up on other images, timed at first sight
    attack: Attack
    n_queries: int
    seed: int

    @property
    def label(self) -> str:
        """What a person calls this job."""
        return f"craft {self.attack.title}"

    @property
    def timed(self) -> bool:
        """Seconds an image stand in the table."""
        return True

    def run(self, context: Context) -> Output:
        """Store ``images`` float ``[q, 3, S, S]``."""
        preparation, epsilon = Preparation(context.device), self.attack.epsilon

        def nothing(count: int) -> UInt8Array:
            return np.zeros((count, len(data.classes)), dtype=np.uint8)

        with self.confined(context) as data:
            train, asked = data.train.images, nothing(self.n_queries)
            images, seconds = craft_images(
                preparation.of(self.attack.ready_blind),
                Assignment(data.query.images, asked, None, epsilon, self.seed),
                Assignment(train, nothing(len(train)), None, epsilon, self.seed + 1),
                self.compute,
                context,
                preparation,
                rehearse=True,
            )
        facts = {"fit_seconds": preparation.counted, "seconds_per_image": seconds}
        return Output({"images": images}, facts)


def _gradient(hasher: Hasher, images: Tensor) -> Tensor:
    pixels = images.detach().requires_grad_()
    return torch.autograd.grad(hasher(pixels).sum(), pixels)[0]


@dataclass(frozen=True, kw_only=True)
class Hash(NetworkTask):
    """Hash adversarial images with a victim, and measure what the attack did to them."""

    stage: ClassVar[str] = "hash"
    version: ClassVar[int] = 2  # channels last
    victim: TargetSpec
    n_queries: int
    epsilon: float | None
    of: str = field(metadata={"key": False})  # for people; the input's key says it already

    @property
    def label(self) -> str:
        """What a person calls this job."""
        return f"hash {self.of} with {self.victim.name}"

    def run(self, context: Context) -> Output:
        """Store ``codes`` and ``codes_8bit`` int8 ``[q, K]``, ``mse``, ``l2``, ``linf`` ``[q]``."""
        data = self.data(context)
        hasher = input_hasher(self.victim, data.side, self.compute, context)
        crafted = torch.from_numpy(context.arrays("images")["images"])
        audit.check_images(crafted, (self.n_queries, 3, data.side, data.side))
        parts: dict[str, list[Tensor]] = {}
        for clean, rows, count in batches(data.query.images, self.n_queries, self.compute, context):
            adversarial = crafted[rows].to(clean)
            measured = {
                "codes": encode_batch(hasher, adversarial, self.victim.name),
                "codes_8bit": encode_batch(hasher, audit.round_trip(adversarial), self.victim.name),
                **audit.distortions(clean, adversarial),
            }
            for name, values in measured.items():
                parts.setdefault(name, []).append(values[:count].cpu())
        whole = {name: torch.cat(values) for name, values in parts.items()}
        row = audit.summary(whole)
        audit.check_budget(row, self.epsilon)
        return Output({name: values.numpy() for name, values in whole.items()}, row)
