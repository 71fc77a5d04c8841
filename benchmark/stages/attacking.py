"""The stages of an attack: draw target labels, fit its learning parts, craft.

No stage of an attack sees the queries' labels; only the draw and the scoring do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from hashattack.attacks.base import Attack, Part
from hashattack.attacks.protocols import PoolName
from hashattack.benchmark.jobs import Compute, Context, OnData, Output, Work, implements
from hashattack.benchmark.networks import first_batch
from hashattack.benchmark.pipeline import STAGES
from hashattack.benchmark.stages.attacker import FITTED_ROLES, attacker_view
from hashattack.benchmark.stages.crafting import Assignment, Clock, craft_images
from hashattack.datasets.base import RetrievalData, UInt8Array
from hashattack.datasets.draws import Policy, draw_targets, eligible_rows
from hashattack.targets.hasher import TargetSpec


@dataclass(frozen=True, kw_only=True)
class DrawTargets(OnData):
    """Draw the target label of each query, once for all attacks."""

    policy: Policy
    pool: PoolName
    n_t: int
    n_queries: int
    seed: int


@implements(
    STAGES["draw"],
    DrawTargets,
    label=lambda task: f"draw {task.policy} targets, seed {task.seed}",
)
def draw(task: DrawTargets, context: Context) -> Output:
    """Store uint8 target label rows ``[q, C]``."""
    return Output({"targets": target_labels(task, task.data(context))})


def target_labels(task: DrawTargets, data: RetrievalData) -> UInt8Array:
    """Return uint8 target label rows ``[q, C]``, a function of the data set and the parameters."""
    rows = eligible_rows(task.policy, data.database.labels, data.split(task.pool).labels, task.n_t)
    own = data.query.labels[: task.n_queries]
    return draw_targets(task.policy, rows, own, seed=task.seed)


@dataclass(frozen=True, kw_only=True)
class Fit(OnData):
    """Let a part of an attack learn: PrototypeNet, a generator. Resumes at its last saved state."""

    compute: Compute
    source: TargetSpec
    part: Part
    epsilon: float | None
    seed: int


@implements(
    STAGES["fit"],
    Fit,
    label=lambda task: f"fit {type(task.part).__name__} on {task.source.name}",
    # Its losses need whole batches, and the cost of training is in the table.
    resources=lambda task: replace(
        task.compute.resources(timed=True), batch=task.part.fit_batch, divisible=False
    ),
    work=lambda task, data: Work(
        task.part.fit_passes(len(data.train)), task.source.backbone, type(task.part).__name__
    ),
)
def fit(task: Fit, context: Context) -> Output:
    """Store the learnt state, its loss curves and the seconds that all attempts took."""
    with attacker_view(task.data(context), task.source, task.compute, context) as knowledge:
        fitted = task.part.fit(
            knowledge,
            epsilon=task.epsilon,
            seed=task.seed,
            journal=context.journal,
            progress=context.progress,
        )
    curves = {name: list(values) for name, values in fitted.curves.items()}
    return Output(dict(fitted.state), {"curves": curves, "seconds": context.journal.seconds})


@dataclass(frozen=True, kw_only=True)
class Craft(OnData):
    """Run an attack: adversarial images, or codes for a code-only attack.

    ``source`` is None for an attack that needs no source: one job serves all hashers.
    """

    compute: Compute
    source: TargetSpec | None = None
    attack: Attack
    n_queries: int
    seed: int


def attack_label(attack: Attack, source: TargetSpec | None) -> str:
    """Return what messages call an attack on a source, or one that needs none."""
    return attack.title if source is None else f"{attack.title} on {source.name}"


def _passes(task: Craft, _: RetrievalData) -> Work | None:
    if task.source is None:
        return None
    crafting = task.attack.crafting
    return Work(task.n_queries * (0 if crafting is None else crafting.passes), task.source.backbone)


@implements(
    STAGES["craft"],
    Craft,
    label=lambda task: f"craft {attack_label(task.attack, task.source)}",
    resources=lambda task: task.compute.resources(timed=not task.attack.code_only),
    work=_passes,
)
def craft(task: Craft, context: Context) -> Output:
    """Store ``images`` float ``[q, 3, S, S]`` or ``codes`` int8 ``[q, K]``."""
    attack, crafting, data = task.attack, task.attack.crafting, task.data(context)
    targets = np.zeros((task.n_queries, len(data.classes)), dtype=np.uint8)
    if "targets" in context.inputs:
        targets = context.arrays("targets")["targets"]
    learnt = sum(context.data(role)["seconds"] for role in FITTED_ROLES if role in context.inputs)
    rows, clock = np.arange(task.n_queries), Clock(context.device)
    with attacker_view(data, task.source, task.compute, context) as knowledge:
        if attack.needs_source:  # pays for the device and its kernels before any clock runs
            pixels = first_batch(data.train.images, task.compute, context)[0].requires_grad_()
            torch.autograd.grad(knowledge.hasher(pixels).sum(), pixels)
        codes = clock.prepare(lambda: attack.target_codes(knowledge, targets, rows, task.seed))
        if crafting is None and codes is not None:
            arrays, row = {"codes": codes.numpy().copy()}, {}
        else:
            train, known = knowledge.train, None if codes is None else knowledge.train.codes
            warm_up = Assignment(data.train.images, train.labels, known, task.seed + 1)
            steps = attack.needs_source and not (crafting and crafting.learns)
            images, seconds = craft_images(
                clock.prepare(lambda: attack.ready(knowledge)),
                Assignment(data.query.images, targets, codes, task.seed),
                None if steps else warm_up,
                task.compute,
                context,
                clock,
            )
            arrays, row = {"images": images}, {"seconds_per_image": seconds}
    return Output(arrays, {"fit_seconds": learnt + clock.fit_seconds, **row})
