"""The jobs behind a cell: craft once, hash and score on the victim; jobs of equal key are one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hashattack.attacks.base import Attack, Part
from hashattack.attacks.declarations import count
from hashattack.attacks.protocols import Protocol
from hashattack.benchmark.columns import Goal
from hashattack.benchmark.jobs import Compute, Job
from hashattack.benchmark.plugins import FOREIGN
from hashattack.benchmark.stages.attacking import Craft, DrawTargets, Fit, attack_label
from hashattack.benchmark.stages.ensembles import JoinCodes, JoinHashers
from hashattack.benchmark.stages.gallery import Gallery
from hashattack.benchmark.stages.hashers import Encode, ImportHasher, ImportWeights, Pretrain, Train
from hashattack.benchmark.stages.scoring import Hash, Score
from hashattack.benchmark.store.files import file_sha256
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.benchmark.suites.suite import Suite, TargetEntry
from hashattack.datasets.base import DatasetSpec, RetrievalData, SplitName
from hashattack.datasets.draws import OWN, Own, Policy, SuitePolicy
from hashattack.datasets.texts import error_line, one_line
from hashattack.targets.backbones import Backbone
from hashattack.targets.checkpoints import weights_file
from hashattack.targets.ensemble import EnsembleSpec
from hashattack.targets.hasher import TargetSpec
from hashattack.targets.state_dicts import code_length

Sizing = Callable[[Backbone, int, Compute], int]  # the batch for a network and images of a side


@dataclass(frozen=True)
class Target:
    """A target, with where its trunk's weights come from. No path is in the spec."""

    spec: TargetSpec
    entry: TargetEntry


@dataclass(frozen=True)
class Ensemble:
    """Targets that are attacked together."""

    members: tuple[Target, ...]

    @property
    def spec(self) -> EnsembleSpec:
        """The one hasher that they make."""
        return EnsembleSpec(members=tuple(one.spec for one in self.members))


Source = Target | Ensemble


@dataclass(frozen=True)
class Setting:
    """What all attacks of a comparison share."""

    protocol: Protocol
    policy: SuitePolicy | Own
    target_seed: int
    seed: int  # of the draw
    attack_seed: int

    @property
    def goal(self) -> Goal:
        """What its attacks are measured for."""
        return "non-targeted" if self.policy == OWN else "targeted"


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

    def compute_of(self, source: Source) -> Compute:
        """Return how a hasher is run, or several together: by the smallest batch."""
        found = [self.compute(one.backbone) for one in source.spec.members]
        return min(found, key=lambda compute: compute.batch)

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
        """Return the training of a target, after that of its trunk, or the import of one.

        Raises:
            SuiteError: there is no such hasher, or its file does not fit.
        """
        spec, weights = target.spec, target.entry.weights
        if spec.unavailable:
            raise SuiteError(spec.unavailable)
        side, backbone, threads = self.data.side, spec.backbone, self.suite.compute.threads
        if target.entry.checkpoint is not None:
            path = self._checkpoint(spec, target.entry.checkpoint, seed)
            sha256 = file_sha256(path)
            found = code_length(path, sha256)
            if found != spec.bits:
                raise SuiteError(
                    f"checkpoint: {path} has codes of {found} bits, not {spec.bits}: "
                    f"write bits: {found}, or name another file"
                )
            return self.job(ImportHasher(spec=spec, side=side, sha256=sha256, path=str(path)))
        inputs = {}
        if weights == "labels":
            trunk = Pretrain(
                **self.on_data,
                threads=threads,
                backbone=backbone,
                recipe=target.entry.pretraining,
                normalise=spec.normalise,
            )
            inputs["trunk"] = self.job(trunk)
        elif weights != "none":
            path = weights_file(backbone, weights)
            sha256 = file_sha256(path)
            inputs["trunk"] = self.job(
                ImportWeights(backbone=backbone, side=side, sha256=sha256, path=str(path))
            )
        return self.job(Train(**self.on_data, threads=threads, spec=spec, seed=seed), **inputs)

    def _checkpoint(self, spec: TargetSpec, pattern: str, seed: int) -> Path:
        names = {"method": spec.method.name, "backbone": spec.backbone.name}
        names |= {"bits": str(spec.bits), "seed": str(seed), "dataset": self.data.name}
        try:
            path = Path(pattern.format(**names))
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

    def hasher(self, source: Source, seed: int) -> Job:
        """Return what makes a source's hasher: the training of a target, the joining of several."""
        if isinstance(source, Target):
            return self.train(source, seed)
        members = {str(n): self.train(one, seed) for n, one in enumerate(source.members)}
        return self.job(JoinHashers(spec=source.spec, side=self.data.side), **members)

    def encode(self, target: Source, seed: int, split: SplitName) -> Job:
        """Return the hashing of a split by a target, or by several together."""
        if isinstance(target, Ensemble):
            members = {str(n): self.encode(m, seed, split) for n, m in enumerate(target.members)}
            return self.job(JoinCodes(spec=target.spec, split=split), **members)
        compute = self.compute(target.spec.backbone)
        task = Encode(**self.on_data, compute=compute, spec=target.spec, split=split)
        return self.job(task, target=self.train(target, seed))

    def draw(self, setting: Setting, attack: Attack | None = None) -> Job:
        """Return the draw of target labels that all attacks share; as published, an attack's.

        That of non-targeted attacks are the queries' own labels.
        """
        if setting.policy == OWN:
            return self.job(DrawTargets(**self.on_data, policy=OWN, n_queries=self.n_queries))
        policy: Policy
        if setting.policy == "as-published":
            assert attack is not None  # no other draw is asked for without one
            policy, own = attack.published_policy, attack.id
        else:
            policy, own = setting.policy, ""
        task = DrawTargets(
            **self.on_data,
            policy=policy,
            n_t=self.suite.n_t,
            n_queries=self.n_queries,
            seed=setting.seed,
            drawn_for=own,
        )
        return self.job(task)

    def craft(self, setting: Setting, attack: Attack, source: Source) -> Job:
        """Return the crafting, after the fits of the attack's parts; equal parts share one.

        Its inputs hold exactly what the protocol lets an attacker see. An attack that needs no
        source has one crafting for all of them.
        """
        seed, trained = setting.attack_seed, setting.target_seed
        spec = source.spec if attack.needs_source else None
        compute = self.compute_of(source) if attack.needs_source else self.compute()
        inputs: dict[str, Job] = {}
        if spec is not None:
            inputs["target"] = self.hasher(source, trained)
            inputs["train"] = self.encode(source, trained, "train")
            if setting.protocol.sees_database:
                inputs["database"] = self.encode(source, trained, "database")
            for role in attack.learning:
                part: Part = getattr(attack, role)
                batch, passes = self._fit_cost(attack.id, part)
                fit = Fit(
                    **self.on_data,
                    compute=compute,
                    source=spec,
                    part=part,
                    epsilon=attack.epsilon if role == "crafting" else None,
                    seed=seed,
                    name=one_line(type(part).__name__),
                    batch=batch,
                    passes=passes,
                )
                inputs[role] = self.job(fit, **inputs)
        if attack.sees_labels:
            inputs["targets"] = self.draw(setting, attack)
        craft = Craft(
            **self.on_data,
            compute=compute,
            source=spec,
            attack=attack,
            n_queries=self.n_queries,
            seed=seed,
        )
        return self.job(craft, **inputs)

    def costs(self, attack: Attack) -> list[int]:
        """Return an attack's passes an image and those of each of its fits, as it declares them."""
        fits = [self._fit_cost(attack.id, getattr(attack, role))[1] for role in attack.learning]
        return [attack.passes or 0, *fits]

    def _fit_cost(self, attack: str, part: Part) -> tuple[int | None, int]:
        """Return the batch of a part's fit, and its cost in passes, as it declares them.

        Raises:
            SuiteError: it declares no such numbers.
        """
        try:
            batch = part.fit_batch
            batch = None if batch is None else count(batch, "fit_batch")
            passes = count(part.fit_passes(len(self.data.train)), "fit_passes")
        except FOREIGN as error:
            raise SuiteError(f"{attack}: {type(part).__name__}: {error_line(error)}") from error
        return batch, passes

    def chain(
        self, setting: Setting, craft: Job, attack: Attack, source: Source, victim: Target
    ) -> dict[str, Job]:
        """Return the jobs, by stage, that hash and score what ``craft`` stores: one cell."""
        seed, spec = setting.target_seed, victim.spec
        sizes = {**self.on_data, "n_queries": self.n_queries}
        of = attack_label(attack, source.spec if attack.needs_source else None)
        ranked = {
            "database": self.encode(victim, seed, "database"),
            "targets": self.draw(setting, attack),
        }
        chain = {"draw": ranked["targets"], "craft": craft}
        if not attack.code_only:
            compute = self.compute(spec.backbone)
            hashing = Hash(**sizes, compute=compute, victim=spec, epsilon=attack.epsilon, of=of)
            chain["hash"] = self.job(hashing, images=craft, target=self.train(victim, seed))
        ranked["codes"] = chain.get("hash", craft)
        if self.suite.gallery and victim is source and not attack.code_only:
            gallery = Gallery(**sizes, count=self.suite.gallery, seed=setting.seed, of=of)
            clean = self.encode(victim, seed, "query")
            chain["gallery"] = self.job(gallery, images=craft, clean=clean, **ranked)
        score = Score(
            **sizes,
            goal=setting.goal,
            top=setting.protocol.top,
            of=f"{of} against {spec.name}",
        )
        chain["score"] = self.job(score, **ranked)
        return chain
