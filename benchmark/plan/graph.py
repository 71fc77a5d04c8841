"""The jobs behind a cell: craft once, hash and score on the victim; jobs of equal key are one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hashattack.attacks.base import Attack
from hashattack.attacks.protocols import Protocol
from hashattack.benchmark.jobs import Compute, Job, Task
from hashattack.benchmark.stages.attacking import Craft, CraftBlind, DrawTargets, Fit, Hash
from hashattack.benchmark.stages.gallery import Gallery
from hashattack.benchmark.stages.hashers import Encode, ImportHasher, ImportWeights, Pretrain, Train
from hashattack.benchmark.stages.scoring import Score
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
    """A target, with where its trunk's weights come from. No path stands in the spec."""

    spec: TargetSpec
    entry: TargetEntry


@dataclass(frozen=True)
class Setting:
    """What all attacks of a comparison share."""

    protocol: Protocol
    policy: Policy
    target_seed: int
    seed: int  # the draw's
    attack_seed: int


@dataclass
class JobGraph:
    """Makes the jobs of one data set; jobs of equal key are one."""

    suite: Suite
    dataset: DatasetSpec
    data: RetrievalData
    jobs: dict[str, Job] = field(default_factory=dict)
    sizing: Sizing | None = None

    def job(self, task: Task, **inputs: Job) -> Job:
        """Return the one job of this task and these inputs."""
        made = Job.of(task, inputs)
        return self.jobs.setdefault(made.key, made)

    @property
    def source_data(self) -> dict[str, Any]:
        """Return the fields by which a task finds its data set."""
        return {"dataset": self.dataset, "fingerprint": self.data.fingerprint}

    def compute(self, backbone: Backbone | None = None) -> Compute:
        """Return how a network is run, or what has none.

        Raises:
            SuiteError: the batch is to be found, and there is no machine to try on.
        """
        asked = self.suite.compute.model_dump()
        if asked["batch"] != "auto":
            return Compute(**asked)
        compute = Compute(**{**asked, "batch": Compute.batch})
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
            SuiteError: the suite asks for more than there are.
        """
        there, wanted = len(self.data.query), self.suite.queries
        if wanted is not None and wanted > there:
            raise SuiteError(f"queries: {wanted} asked, but {self.data.name} has {there}")
        return wanted or there

    def train(self, target: Target, seed: int) -> Job:
        """Return the training of a target, behind that of its trunk."""
        spec, weights = target.spec, target.entry.weights
        if target.entry.checkpoint is not None:
            return self._imported(spec, target.entry.checkpoint, seed)
        threads = self.suite.compute.threads
        inputs = {}
        if weights == "labels":
            inputs["trunk"] = self.job(
                Pretrain(
                    **self.source_data,
                    threads=threads,
                    backbone=spec.backbone,
                    recipe=target.entry.pretraining,
                )
            )
        elif weights != "none":
            path = weights_file(spec.backbone, weights)
            task = ImportWeights(
                backbone=spec.backbone,
                side=self.data.side,
                sha256=file_sha256(path),
                path=str(path),
            )
            inputs["trunk"] = self.job(task)
        return self.job(Train(**self.source_data, threads=threads, spec=spec, seed=seed), **inputs)

    def _imported(self, spec: TargetSpec, pattern: str, seed: int) -> Job:
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
        return self.job(
            ImportHasher(spec=spec, side=self.data.side, sha256=file_sha256(path), path=str(path))
        )

    def encode(self, target: Target, seed: int, split: SplitName) -> Job:
        """Return the hashing of a split by a target."""
        compute = self.compute(target.spec.backbone)
        task = Encode(**self.source_data, compute=compute, spec=target.spec, split=split)
        return self.job(task, target=self.train(target, seed))

    def draw(self, protocol: Protocol, policy: Policy, seed: int) -> Job:
        """Return the draw of target labels that all attacks share."""
        return self.job(
            DrawTargets(
                **self.source_data,
                policy=policy,
                pool=protocol.anchor_pool,
                n_t=self.suite.n_t,
                n_queries=self.n_queries,
                seed=seed,
            )
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
                task = Fit(
                    **self.source_data,
                    compute=self.compute(source.spec.backbone),
                    source=source.spec,
                    part=part,
                    epsilon=attack.epsilon if role == "crafting" else None,
                    seed=setting.attack_seed,
                )
                fits[role] = self.job(task, **self.seen(setting, source), **fits)
        return fits

    def craft(self, setting: Setting, attack: Attack, source: Target) -> Job:
        """Return the crafting, behind what its attack must learn first."""
        if attack.blind:
            blind = CraftBlind(
                **self.source_data,
                compute=self.compute(),
                attack=attack,
                n_queries=self.n_queries,
                seed=setting.attack_seed,
            )
            return self.job(blind)
        inputs = {
            **self.seen(setting, source),
            **self.fits(setting, attack, source),
            "targets": self.draw(setting.protocol, setting.policy, setting.seed),
        }
        task = Craft(
            **self.source_data,
            compute=self.compute(source.spec.backbone),
            attack=attack,
            source=source.spec,
            n_queries=self.n_queries,
            seed=setting.attack_seed,
        )
        return self.job(task, **inputs)

    def chain(
        self, setting: Setting, craft: Job, attack: Attack, source: Target, victim: Target
    ) -> dict[str, Job]:
        """Return the jobs that fill one cell: those that hash and score what was crafted.

        Args:
            setting: what all attacks share.
            craft: stores the images, or the codes of a code-only attack.
            attack: what was crafted by.
            source, victim: what it was crafted on, and what is queried.
        """
        chain = {"craft": craft}
        of = attack.title if attack.blind else f"{attack.title} on {source.spec.name}"
        code_only = attack.code_only
        draw = self.draw(setting.protocol, setting.policy, setting.seed)
        database = self.encode(victim, setting.target_seed, "database")
        if not code_only:
            hashing = Hash(
                **self.source_data,
                compute=self.compute(victim.spec.backbone),
                victim=victim.spec,
                n_queries=self.n_queries,
                epsilon=attack.epsilon,
                of=of,
            )
            chain["hash"] = self.job(
                hashing, images=craft, target=self.train(victim, setting.target_seed)
            )
        if self.suite.gallery and victim is source and not code_only:
            pictures = Gallery(
                **self.source_data,
                n_queries=self.n_queries,
                count=self.suite.gallery,
                seed=setting.seed,
                of=of,
            )
            chain["gallery"] = self.job(
                pictures,
                images=craft,
                codes=chain["hash"],
                clean=self.encode(victim, setting.target_seed, "query"),
                database=database,
                targets=draw,
            )
        scoring = Score(
            **self.source_data,
            n_queries=self.n_queries,
            of=f"{of} against {victim.spec.name}",
        )
        codes = craft if code_only else chain["hash"]
        chain["score"] = self.job(scoring, codes=codes, database=database, targets=draw)
        return chain
