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

    @property
    def on_data(self) -> dict[str, Any]:
        """The parameters of every job that reads the data set."""
        return {"dataset": self.dataset, "fingerprint": self.data.fingerprint}

    def job(self, task: Any, /, **inputs: Job) -> Job:
        """Return the one job of these parameters and of these inputs by role."""
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
        spec, weights, data = target.spec, target.entry.weights, self.on_data
        side, backbone, threads = self.data.side, spec.backbone, self.suite.compute.threads
        if target.entry.checkpoint is not None:
            path = self._checkpoint(spec, target.entry.checkpoint, seed)
            sha256 = file_sha256(path)
            return self.job(ImportHasher(spec=spec, side=side, sha256=sha256, path=str(path)))
        trunk: Pretrain | ImportWeights | None = None
        if weights == "labels":
            recipe = target.entry.pretraining
            trunk = Pretrain(**data, threads=threads, backbone=backbone, recipe=recipe)
        elif weights != "none":
            path = weights_file(backbone, weights)
            sha256 = file_sha256(path)
            trunk = ImportWeights(backbone=backbone, side=side, sha256=sha256, path=str(path))
        inputs = {} if trunk is None else {"trunk": self.job(trunk)}
        return self.job(Train(**data, threads=threads, spec=spec, seed=seed), **inputs)

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
        task = Encode(**self.on_data, compute=compute, spec=target.spec, split=split)
        return self.job(task, target=self.train(target, seed))

    def draw(self, setting: Setting) -> Job:
        """Return the draw of target labels that all attacks share."""
        return self.job(
            DrawTargets(
                **self.on_data,
                policy=setting.policy,
                pool=setting.protocol.anchor_pool,
                n_t=self.suite.n_t,
                n_queries=self.n_queries,
                seed=setting.seed,
            )
        )

    def craft(self, setting: Setting, attack: Attack, source: Target) -> Job:
        """Return the crafting, after the fits of the attack's parts; equal parts share one.

        Its inputs hold exactly what the protocol lets an attacker see. An attack that needs no
        source has one crafting for all of them.
        """
        data, seed, trained = self.on_data, setting.attack_seed, setting.target_seed
        if not attack.needs_source:
            compute = self.compute()
            return self.job(
                Craft(**data, compute=compute, attack=attack, n_queries=self.n_queries, seed=seed)
            )
        compute, spec = self.compute(source.spec.backbone), source.spec
        inputs = {
            "target": self.train(source, trained),
            "train": self.encode(source, trained, "train"),
        }
        if setting.protocol.sees_database:
            inputs["database"] = self.encode(source, trained, "database")
        parts = (
            ("target_code", attack.target_code, None),
            ("crafting", attack.crafting, attack.epsilon),
        )
        for role, part, epsilon in parts:
            if part is not None and part.learns:
                fit = Fit(
                    **data, compute=compute, source=spec, part=part, epsilon=epsilon, seed=seed
                )
                inputs[role] = self.job(fit, **inputs)
        task = Craft(
            **data,
            compute=compute,
            source=spec,
            attack=attack,
            n_queries=self.n_queries,
            seed=seed,
        )
        return self.job(task, **inputs, targets=self.draw(setting))

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
        chain, data, seed = {"craft": craft}, self.on_data, setting.target_seed
        of = attack_label(attack, source.spec if attack.needs_source else None)
        targets, database = self.draw(setting), self.encode(victim, seed, "database")
        count = self.n_queries
        if not attack.code_only:
            hashing = Hash(
                **data,
                compute=self.compute(victim.spec.backbone),
                victim=victim.spec,
                n_queries=count,
                epsilon=attack.epsilon,
                of=of,
            )
            chain["hash"] = self.job(hashing, images=craft, target=self.train(victim, seed))
        codes = chain.get("hash", craft)
        if self.suite.gallery and victim is source and not attack.code_only:
            shown, of_draw = self.suite.gallery, setting.seed
            chain["gallery"] = self.job(
                Gallery(**data, n_queries=count, count=shown, seed=of_draw, of=of),
                images=craft,
                codes=codes,
                clean=self.encode(victim, seed, "query"),
                database=database,
                targets=targets,
            )
        score = Score(**data, n_queries=count, of=f"{of} against {victim.spec.name}")
        chain["score"] = self.job(score, codes=codes, database=database, targets=targets)
        return chain
