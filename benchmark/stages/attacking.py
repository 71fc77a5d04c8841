"""Attacking: draw target labels, craft, and hash what was crafted with a victim.

Crafting and hashing never touch the queries' labels.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from attacks.base import Attack, Batch, Knowledge, Pool
from attacks.protocols import PoolName
from benchmark import audit
from benchmark.jobs import Context, Output
from benchmark.networks import batches, encode_batch, input_hasher, synchronise
from benchmark.stages.base import DataTask, NetworkTask
from datasets.base import RetrievalData, SplitName
from datasets.draws import Policy, draw_targets, eligible_rows
from targets.hasher import Hasher, TargetSpec


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
        data = self.data(context)
        rows = eligible_rows(
            self.policy, data.database.labels, data.split(self.pool).labels, self.n_t
        )
        own = data.query.labels[: self.n_queries]
        return Output({"targets": draw_targets(self.policy, rows, own, seed=self.seed)})


@dataclass(frozen=True, kw_only=True)
class Craft(NetworkTask):
    """Run an attack against its source: adversarial images, or codes for a code-only attack."""

    stage: ClassVar[str] = "craft"
    attack: Attack
    source: TargetSpec
    n_queries: int
    seed: int

    @property
    def label(self) -> str:
        """What a person calls this job."""
        return f"craft {self.attack.title} on {self.source.name}"

    def run(self, context: Context) -> Output:
        """Store ``images`` float ``[q, 3, S, S]`` or ``codes`` int8 ``[q, K]``."""
        data = self.data(context)
        hasher = input_hasher(self.source, data.side, self.compute, context)
        knowledge = self._knowledge(data, hasher, context)
        targets = context.arrays("targets")["targets"]
        rows = np.arange(self.n_queries)
        codes = self.attack.target_codes(knowledge, targets, rows, self.seed)
        facts = {"fit_seconds": 0.0}
        if self.attack.code_only and codes is not None:
            return Output({"codes": codes.numpy()}, facts)
        crafted: list[Tensor] = []
        seconds = 0.0
        for pixels, chunk, count in batches(
            data.query.images, self.n_queries, self.compute, context
        ):
            batch = Batch(
                images=pixels,
                codes=None if codes is None else codes[chunk].to(context.device),
                targets=torch.from_numpy(targets[chunk]).to(context.device),
                rows=chunk,
                seed=self.seed,
            )
            if not crafted:
                hasher(pixels)  # warm: the first pass pays for allocation and kernel selection
            synchronise(context.device)
            began = time.perf_counter()
            adversarial = self.attack.perturb(batch, hasher)
            synchronise(context.device)
            seconds += time.perf_counter() - began
            crafted.append(adversarial.detach()[:count].cpu())
        computed = len(crafted) * self.compute.batch  # the padded rows took their time too
        images = torch.cat(crafted).numpy()
        return Output({"images": images}, {**facts, "seconds_per_image": seconds / computed})

    def _knowledge(self, data: RetrievalData, hasher: Hasher, context: Context) -> Knowledge:
        def pool(split: SplitName) -> Pool:
            codes = torch.from_numpy(context.arrays(split)["codes"])
            return Pool(np.asarray(data.split(split).labels), codes)

        return Knowledge(
            source=self.source.name,
            hasher=hasher,
            train=pool("train"),
            database=pool("database") if "database" in context.inputs else None,
        )


@dataclass(frozen=True, kw_only=True)
class Hash(NetworkTask):
    """Hash adversarial images with a victim, and measure what the attack did to them."""

    stage: ClassVar[str] = "hash"
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
