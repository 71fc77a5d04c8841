"""The stages of the pipeline, each a task: what it needs, what it stores.

pretrain or import weights → train → encode · draw targets → craft → hash → score. Crafting and
hashing never touch the queries' labels; only scoring does.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from attacks.base import Attack, Batch, Knowledge, Pool
from attacks.protocols import PoolName
from benchmark import audit
from benchmark.jobs import Compute, Context, Output, Task
from benchmark.networks import batches, encode_batch, input_hasher, synchronise
from benchmark.ranking import average_precisions
from datasets.base import (
    DatasetError,
    DatasetSpec,
    RetrievalData,
    SplitName,
)
from datasets.draws import Policy, draw_targets, eligible_rows
from targets.backbones import Backbone, TargetError
from targets.checkpoints import load_state, read_trunk, state_arrays
from targets.hasher import Hasher, TargetSpec, build_hasher
from targets.recipe import Recipe
from targets.training import pretrain_trunk, train_hasher


@dataclass(frozen=True, kw_only=True)
class DataTask(Task):
    """A task that reads a data set."""

    # Where the data comes from is not what it is: the fingerprint stands in the key instead.
    dataset: DatasetSpec = field(metadata={"key": False})
    fingerprint: str

    def data(self, context: Context) -> RetrievalData:
        """Return the data set.

        Raises:
            DatasetError: it changed since the plan was made.
        """
        data = self.dataset.load(context.cache)
        if data.fingerprint != self.fingerprint:
            raise DatasetError(f"{data.name} changed since the plan was made; run again")
        return data


@dataclass(frozen=True, kw_only=True)
class NetworkTask(DataTask):
    """A task that runs a trained network over images."""

    compute: Compute

    @property
    def cpu_threads(self) -> int:
        """Threads the job runs on."""
        return self.compute.threads


@dataclass(frozen=True, kw_only=True)
class TrainingTask(DataTask):
    """A task that trains a network; its batch is the recipe's."""

    threads: int

    @property
    def cpu_threads(self) -> int:
        """Threads the job runs on."""
        return self.threads


@dataclass(frozen=True, kw_only=True)
class Pretrain(TrainingTask):
    """Train a trunk on the data set's labels; shared by all its targets."""

    stage: ClassVar[str] = "pretrain"
    backbone: Backbone
    recipe: Recipe

    @property
    def label(self) -> str:
        """What a person calls this job."""
        return f"pretrain {self.backbone.name} on {self.dataset.name}"

    def run(self, context: Context) -> Output:
        """Store the trunk's state. Its seed is fixed: it stands in for one published file."""
        data = self.data(context)
        trunk, curve = pretrain_trunk(
            self.backbone,
            data.train,
            data.side,
            self.recipe,
            seed=0,
            device=context.device,
            progress=context.progress,
        )
        return Output(state_arrays(trunk), {"curve": curve})


@dataclass(frozen=True, kw_only=True)
class ImportWeights(Task):
    """Read a trunk from a weight file; the file's hash stands in the key, not its path."""

    stage: ClassVar[str] = "weights"
    backbone: Backbone
    side: int
    sha256: str
    path: str = field(metadata={"key": False})

    @property
    def label(self) -> str:
        """What a person calls this job."""
        return f"read {Path(self.path).name}"

    def run(self, context: Context) -> Output:  # noqa: ARG002 - reads only its own file
        """Store the trunk's state."""
        return Output(state_arrays(read_trunk(self.backbone, self.side, Path(self.path))))


@dataclass(frozen=True, kw_only=True)
class Train(TrainingTask):
    """Train a target hasher."""

    stage: ClassVar[str] = "train"
    spec: TargetSpec
    seed: int

    @property
    def label(self) -> str:
        """What a person calls this job."""
        return f"train {self.spec.name}"

    def run(self, context: Context) -> Output:
        """Store the hasher's state."""
        data = self.data(context)
        hasher = build_hasher(self.spec, data.side, seed=self.seed)
        if "trunk" in context.inputs:
            load_state(hasher.trunk, context.arrays("trunk"), "the trunk's weights")
        curve = train_hasher(
            hasher.to(context.device),
            self.spec,
            data.train,
            seed=self.seed,
            device=context.device,
            progress=context.progress,
        )
        return Output(state_arrays(hasher), {"curve": curve})


@dataclass(frozen=True, kw_only=True)
class Encode(NetworkTask):
    """Compute a split's hash codes."""

    stage: ClassVar[str] = "encode"
    spec: TargetSpec
    split: SplitName

    @property
    def label(self) -> str:
        """What a person calls this job."""
        return f"encode {self.split} with {self.spec.name}"

    def run(self, context: Context) -> Output:
        """Store int8 codes ``[n, K]``; a hasher that says nothing is refused here."""
        data = self.data(context)
        hasher = input_hasher(self.spec, data.side, self.compute, context)
        images = data.split(self.split).images
        codes = torch.cat(
            [
                encode_batch(hasher, pixels, self.spec.name)[:count]
                for pixels, _, count in batches(images, len(images), self.compute, context)
            ]
        ).numpy()
        if len(codes) > 1 and (codes == codes[0]).all():
            raise TargetError(
                f"{self.spec.name} gives all {len(codes)} {self.split} images the same code: it "
                "has learnt nothing; train it longer or change its recipe"
            )
        return Output({"codes": codes})


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


@dataclass(frozen=True, kw_only=True)
class Score(DataTask):
    """Rank the victim's database for every query: the metrics of a row."""

    stage: ClassVar[str] = "score"
    n_queries: int
    of: str = field(metadata={"key": False})  # for people; the inputs' keys say it already

    @property
    def label(self) -> str:
        """What a person calls this job."""
        return f"score {self.of}"

    def run(self, context: Context) -> Output:
        """Store per-query average precisions against the target and the query's own labels."""
        data = self.data(context)
        database = context.arrays("database")["codes"]
        attacked = context.arrays("codes")
        targets = context.arrays("targets")["targets"]
        own = np.asarray(data.query.labels[: self.n_queries])
        labels = np.asarray(data.database.labels)
        hit = average_precisions(attacked["codes"], database, targets, labels)
        kept = average_precisions(attacked["codes"], database, own, labels)
        arrays = {f"target_{name}": values for name, values in hit.items()}
        arrays |= {f"own_{name}": values for name, values in kept.items()}
        row = {
            "n_no_relevant": int((hit["n_relevant"] == 0).sum()),
            "t_map": hit["expected"].mean(),
            "t_map_stable": hit["stable"].mean(),
            "map": kept["expected"].mean(),
            "map_stable": kept["stable"].mean(),
            "chance": hit["chance"].mean(),
            "chance_map": kept["chance"].mean(),
            "precision_at_10": hit["precision_at_10"].mean(),
        }
        if "codes_8bit" in attacked:
            stored = average_precisions(attacked["codes_8bit"], database, targets, labels)
            arrays["target_8bit_expected"] = stored["expected"]
            row["t_map_8bit"] = stored["expected"].mean()
        return Output(arrays, {name: np.asarray(value).item() for name, value in row.items()})
