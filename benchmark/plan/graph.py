"""The jobs behind a cell: craft once, hash and score on the victim; jobs of equal key are one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hashattack.attacks.base import Attack
from hashattack.attacks.protocols import Protocol
from hashattack.benchmark.jobs import Compute, Job
from hashattack.benchmark.stages.attacking import Craft, DrawTargets, Fit, attack_label
from hashattack.benchmark.stages.gallery import Gallery
from hashattack.benchmark.stages.hashers import Encode, ImportHasher, ImportWeights, Pretrain, Train
from hashattack.benchmark.stages.scoring import Hash, Score
from hashattack.benchmark.store.files import file_sha256
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.benchmark.suites.suite import Suite, TargetEntry
from hashattack.datasets.base import DatasetSpec, RetrievalData, SplitName
from hashattack.datasets.draws import Policy
from hashattack.targets.backbones import Backbone
from hashattack.targets.checkpoints import weights_file
from hashattack.targets.hasher import TargetSpec

Sizing = Callable[[Backbone, int, Compute], int]  # the batch for a network and images of a side


@dataclass(frozen=True)
class Target:
    """A target, with where its trunk's weights come from. No path is in the spec."""

    spec: TargetSpec
    entry: TargetEntry


@dataclass(frozen=True)
class Setting:
    """What all attacks of a comparison share."""

    protocol: Protocol
    policy: Policy
    target_seed: int
    seed: int  # of the draw
    attack_seed: int


@dataclass
class JobGraph:
    """Makes the jobs of one data set; jobs of equal key are one."""

    suite: Suite
    dataset: DatasetSpec
    data: RetrievalData
    jobs: dict[str, Job] = field(default_factory=dict)
    sizing: Sizing | None = None

    def job(self, parameters: type[Any], inputs: dict[str, Job], /, **values: Any) -> Job:
        """Return the one job of these parameters on the data set and of these inputs by role."""
        task = parameters(dataset=self.dataset, fingerprint=self.data.fingerprint, **values)
        return self.add(task, inputs)

    def add(self, task: Any, inputs: dict[str, Job]) -> Job:
        """Return the one job of a task and its inputs by role."""
        made = Job.of(task, inputs)
        return self.jobs.setdefault(made.key, made)

    def compute(self, backbone: Backbone | None = None) -> Compute:
        """Return how a network is run, or what has none.

        Raises:
            SuiteError: the batch is to be found, and there is no machine to try on.
        """
        requested = self.suite.compute.model_dump()
        if requested["batch"] != "auto":
            return Compute(**requested)
        compute = Compute(**{**requested, "batch": Compute.batch})
        if backbone is None:
            return compute
        if self.sizing is None:
            raise SuiteError(
                "compute.batch: auto is tried on the devices of this machine; give a number"
            )
        found = self.sizing(backbone, self.data.side, compute)
        enough = 1 << (self.n_queries - 1).bit_length()  # a larger one would be padded
        return replace(compute, batch=min(found, enough))

    @property
    def n_queries(self) -> int:
        """Return how many queries are attacked.

        Raises:
            SuiteError: the suite requests more than there are.
        """
        available, requested = len(self.data.query), self.suite.queries
        if requested is not None and requested > available:
            raise SuiteError(
                f"queries: {requested} requested, but {self.data.name} has {available}"
            )
        return requested or available

    def train(self, target: Target, seed: int) -> Job:
        """Return the training of a target, after that of its trunk, or the import of one."""
        spec, weights = target.spec, target.entry.weights
        if target.entry.checkpoint is not None:
            path = self._checkpoint(spec, target.entry.checkpoint, seed)
            return self.add(
                ImportHasher(
                    spec=spec, side=self.data.side, sha256=file_sha256(path), path=str(path)
                ),
                {},
            )
        threads, backbone = self.suite.compute.threads, spec.backbone
        inputs = {}
        if weights == "labels":
            recipe = target.entry.pretraining
            inputs["trunk"] = self.job(
                Pretrain, {}, threads=threads, backbone=backbone, recipe=recipe
            )
        elif weights != "none":
            path = weights_file(backbone, weights)
            task = ImportWeights(
                backbone=backbone, side=self.data.side, sha256=file_sha256(path), path=str(path)
            )
            inputs["trunk"] = self.add(task, {})
        return self.job(Train, inputs, threads=threads, spec=spec, seed=seed)

    def _checkpoint(self, spec: TargetSpec, pattern: str, seed: int) -> Path:
        names = {"method": spec.method.name, "backbone": spec.backbone.name}
        names |= {"bits": str(spec.bits), "seed": str(seed), "dataset": self.data.name}
        try:
            path = Path(pattern.format(**names)).expanduser()
        except (KeyError, IndexError, ValueError) as error:
            raise SuiteError(
                f"checkpoint: {pattern}: {error!r}; it may hold {set(names)}"
            ) from None
        if not path.is_file():
            raise SuiteError(
                f"checkpoint: no file {path} for {spec.name}; import-target makes one from a "
                "foreign checkpoint"
            )
        return path

    def encode(self, target: Target, seed: int, split: SplitName) -> Job:
        """Return the hashing of a split by a target."""
        compute = self.compute(target.spec.backbone)
        inputs = {"target": self.train(target, seed)}
        return self.job(Encode, inputs, compute=compute, spec=target.spec, split=split)

    def draw(self, protocol: Protocol, policy: Policy, seed: int) -> Job:
        """Return the draw of target labels that all attacks share."""
        return self.job(
            DrawTargets,
            {},
            policy=policy,
            pool=protocol.anchor_pool,
            n_t=self.suite.n_t,
            n_queries=self.n_queries,
            seed=seed,
        )

    def seen(self, setting: Setting, source: Target) -> dict[str, Job]:
        """Return the inputs that hold exactly what the protocol lets an attacker see."""
        inputs = {
            "target": self.train(source, setting.target_seed),
            "train": self.encode(source, setting.target_seed, "train"),
        }
        if setting.protocol.sees_database:
            inputs["database"] = self.encode(source, setting.target_seed, "database")
        return inputs

    def fits(self, setting: Setting, attack: Attack, source: Target) -> dict[str, Job]:
        """Return the jobs in which the attack's parts learn, by role; equal parts share one."""
        fits: dict[str, Job] = {}
        parts = {"target_code": attack.target_code, "crafting": attack.crafting}
        for role, part in parts.items():
            if part is not None and part.learns:
                fits[role] = self.job(
                    Fit,
                    {**self.seen(setting, source), **fits},
                    compute=self.compute(source.spec.backbone),
                    source=source.spec,
                    part=part,
                    epsilon=attack.epsilon if role == "crafting" else None,
                    seed=setting.attack_seed,
                )
        return fits

    def craft(self, setting: Setting, attack: Attack, source: Target) -> Job:
        """Return the crafting, after the fits of the attack's parts.

        An attack that needs no source has one for all sources and settings of a seed.
        """
        inputs: dict[str, Job] = {}
        spec = source.spec if attack.needs_source else None
        if attack.needs_source:
            inputs |= self.seen(setting, source)
            inputs |= self.fits(setting, attack, source)
            inputs["targets"] = self.draw(setting.protocol, setting.policy, setting.seed)
        return self.job(
            Craft,
            inputs,
            compute=self.compute(spec.backbone if spec else None),
            attack=attack,
            source=spec,
            n_queries=self.n_queries,
            seed=setting.attack_seed,
        )

    def chain(
        self, setting: Setting, craft: Job, attack: Attack, source: Target, victim: Target
    ) -> dict[str, Job]:
        """Return the jobs that fill one cell: they hash and score the images of an attack.

        Args:
            setting: what all attacks share.
            craft: stores the images, or the codes of a code-only attack.
            attack: the attack.
            source, victim: the hasher that was attacked, and the one that is queried.
        """
        chain = {"craft": craft}
        of = attack_label(attack, source.spec if attack.needs_source else None)
        code_only = attack.code_only
        draw = self.draw(setting.protocol, setting.policy, setting.seed)
        database = self.encode(victim, setting.target_seed, "database")
        if not code_only:
            chain["hash"] = self.job(
                Hash,
                {"images": craft, "target": self.train(victim, setting.target_seed)},
                compute=self.compute(victim.spec.backbone),
                victim=victim.spec,
                n_queries=self.n_queries,
                epsilon=attack.epsilon,
                of=of,
            )
        if self.suite.gallery and victim is source and not code_only:
            chain["gallery"] = self.job(
                Gallery,
                {
                    "images": craft,
                    "codes": chain["hash"],
                    "clean": self.encode(victim, setting.target_seed, "query"),
                    "database": database,
                    "targets": draw,
                },
                n_queries=self.n_queries,
                count=self.suite.gallery,
                seed=setting.seed,
                of=of,
            )
        chain["score"] = self.job(
            Score,
            {"codes": chain.get("hash", craft), "database": database, "targets": draw},
            n_queries=self.n_queries,
            of=f"{of} against {victim.spec.name}",
        )
        return chain
