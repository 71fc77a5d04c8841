"""The stages of an attack: draw target labels, fit its learning parts, craft.

No stage of an attack sees the queries' labels; the draw and the scoring do. A non-targeted attack
that declares to see them is given them as its draw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hashattack.attacks.base import PARTS, Attack, Batch, Part, Perturb
from hashattack.attacks.convergence import undertrained
from hashattack.benchmark.audit import check_seconds, copied, loss_curves
from hashattack.benchmark.columns import COLUMNS
from hashattack.benchmark.jobs import Compute, Context, OnData, Output, Place, Work, implements
from hashattack.benchmark.names import counted
from hashattack.benchmark.networks import batches, clock, first_batch
from hashattack.benchmark.pipeline import STAGES
from hashattack.benchmark.stages.attacker import attacker_view
from hashattack.datasets.base import Images, IntArray, RetrievalData, UInt8Array
from hashattack.datasets.draws import OWN, Own, Policy, draw_targets, eligible_rows
from hashattack.targets.ensemble import SourceSpec

_LEAST = 0.5  # seconds of preparation that count: less depends on how busy the machine is


@dataclass(frozen=True, kw_only=True)
class DrawTargets(OnData):
    """Draw the target label of each query, for all attacks or, as published, for one.

    The policy ``own`` draws nothing: it is the label row of the query itself.
    """

    policy: Policy | Own
    n_queries: int
    n_t: int = 0
    seed: int = 0
    drawn_for: str = ""  # the id of the only one


@implements(
    STAGES["draw"],
    DrawTargets,
    label=lambda task: (
        "collect the queries' own labels"
        if task.policy == OWN
        else f"draw {task.policy} target labels, seed {task.seed} {task.drawn_for}".strip()
    ),
)
def draw(task: DrawTargets, context: Context) -> Output:
    """Store uint8 label rows ``[q, C]`` as ``targets``."""
    targets, eligible = target_labels(task, task.data(context))
    return Output({"targets": targets}, {"eligible_rows": eligible})


def target_labels(task: DrawTargets, data: RetrievalData) -> tuple[UInt8Array, int]:
    """Return uint8 target label rows ``[q, C]`` and of how many rows they were drawn.

    They are a function of the data set and the parameters.
    """
    own = np.asarray(data.query.labels[: task.n_queries])
    if task.policy == OWN:
        return own, len(np.unique(own, axis=0))
    rows = eligible_rows(task.policy, data.database.labels, data.train.labels, task.n_t)
    drawn = draw_targets(task.policy, rows, own, seed=task.seed, attack=task.drawn_for)
    return drawn, len(rows)


@dataclass(frozen=True, kw_only=True)
class Fit(OnData):
    """Let a part of an attack learn: PrototypeNet, a generator. Resumes at its last saved state."""

    compute: Compute
    source: SourceSpec
    part: Part
    epsilon: float | None
    seed: int
    name: str = field(metadata={"key": False})  # of the part
    batch: int | None = field(metadata={"key": False})  # as the part declares it, like the passes
    passes: int = field(metadata={"key": False})


def _work(passes: int, source: SourceSpec, kind: str = "") -> Work:
    """Return the work of passes of a hasher, or of each of several."""
    first, *others = (one.backbone for one in source.members)
    return Work(passes, first, kind, tuple(others))


@implements(
    STAGES["fit"],
    Fit,
    label=lambda task: f"fit {task.name} on {task.source.name}",
    # Its losses need whole batches, and the cost of training is in the table.
    resources=lambda task: replace(
        task.compute.resources(timed=True), batch=task.batch, divisible=False
    ),
    work=lambda task, _: _work(task.passes, task.source, task.name),
)
def fit(task: Fit, context: Context) -> Output:
    """Store the learnt state, its losses and the seconds that all attempts took."""
    with attacker_view(task.data(context), task.source, task.compute, context) as (knowledge, _):
        began = clock(context.device)
        fitted = task.part.fit(
            knowledge,
            epsilon=task.epsilon,
            seed=task.seed,
            journal=context.journal,
            progress=context.progress,
        )
        # Plain copies, whose making counts.
        curves = loss_curves(fitted.curves)
        convergence = loss_curves({"convergence": fitted.convergence})["convergence"]
        state = {str(name): np.array(values) for name, values in fitted.state.items()}
        seconds = max(clock(context.device) - began, context.journal.seconds)
    numbers = {"curves": curves, "seconds": check_seconds(seconds)}
    early = bool(fitted.ended_early)
    return Output(state, {**numbers, "convergence": convergence, "ended_early": early})


@dataclass(frozen=True, kw_only=True)
class Craft(OnData):
    """Run an attack: adversarial images, or codes for a code-only attack.

    ``source`` is None for an attack that needs no source: one job serves all hashers.
    """

    compute: Compute
    source: SourceSpec | None = None
    attack: Attack
    n_queries: int
    seed: int


def attack_label(attack: Attack, source: SourceSpec | None) -> str:
    """Return what messages call an attack on a source, or one that needs none."""
    return attack.title if source is None else f"{attack.title} on {source.name}"


def _passes(task: Craft, _: RetrievalData) -> Work | None:
    if task.source is None:
        return None
    guess = 0 if task.attack.code_only else 1
    passes = guess if task.attack.passes is None else task.attack.passes
    return _work(task.n_queries * passes, task.source)


@implements(
    STAGES["craft"],
    Craft,
    label=lambda task: f"craft {attack_label(task.attack, task.source)}",
    resources=lambda task: task.compute.resources(timed=not task.attack.code_only),
    work=_passes,
)
def craft(task: Craft, context: Context) -> Output:
    """Store ``images`` float ``[q, 3, S, S]`` or ``codes`` int8 ``[q, K]``.

    ``passes_per_image`` are the forward and backward passes of the hasher that were counted while
    queries were crafted; rows that pad the last batch are in both numbers. ``fit_seconds`` is what
    the parts took to learn, and what the attack does before the first query (find codes, load
    weights, warm up) if that takes half a second or more. An attack with networks of its own warms
    up on training images, so that memory is allocated and kernels are chosen; an optimiser takes so
    many steps that the first one hardly counts.

    Raises:
        InvalidAttackError: the attack read hidden labels, changed the hasher, or returned something
            else than a tensor of images.
    """
    attack, data, seed = task.attack, task.data(context), task.seed
    labels = np.zeros((task.n_queries, len(data.classes)), dtype=np.uint8)
    if "targets" in context.inputs:
        labels = context.arrays("targets")["targets"]
    fits = [role for role in PARTS if role in context.inputs]
    learnt = sum(context.recorded(role)["seconds"] for role in fits)
    row: dict[str, Any] = trained([context.recorded(role) for role in fits])
    notes: list[str] = []
    with attacker_view(data, task.source, task.compute, context) as (knowledge, passes):
        pixels, rows, _ = first_batch(data.train.images, task.compute, context)
        if attack.needs_source:  # pays for the device and its kernels before any clock runs
            leaf = pixels.clone().requires_grad_()
            torch.autograd.grad(knowledge.hasher(leaf).sum(), leaf)
        warm_labels, warm_codes = knowledge.train.labels, knowledge.train.codes
        began = clock(context.device)
        codes = attack.target_codes(knowledge, labels, np.arange(task.n_queries), seed)
        perturb = None if attack.code_only else attack.ready(knowledge)
        preparation = check_seconds(clock(context.device) - began)
        if perturb is not None:
            warm_up = 0.0
            if not attack.needs_source or "crafting" in attack.learning:
                known = None if codes is None else warm_codes
                warm_up = _timed(perturb, _batch(pixels, rows, warm_labels, known, seed + 1))[1]
            before = passes.total
            images, seconds, made = perturbed(
                perturb, data.query.images, labels, codes, seed, task.compute, context
            )
            preparation += max(0.0, warm_up - seconds[0])
            row["seconds_per_image"] = sum(seconds) / made
            row["passes_per_image"] = taken = passes.since(before) / made
            hashers = 1 if task.source is None else len(task.source.members)
            notes = [*understated(attack, taken / hashers)]
    row["fit_seconds"] = learnt + (round(preparation, 1) if preparation >= _LEAST else 0.0)
    if perturb is not None:
        return Output({"images": images.numpy()}, row, notes)
    assert codes is not None  # an attack has a crafting or a target-code rule
    return Output({"codes": codes.numpy()}, row)


def understated(attack: Attack, taken: float) -> Iterator[str]:
    """Yield a sentence if an attack declares fewer passes than it takes, per image and hasher."""
    if attack.passes is not None and attack.passes < taken:
        yield (
            f"{attack.id} declares {counted(attack.passes, 'pass')} per image and takes "
            f"{COLUMNS['passes_per_image'].text(taken)}"
        )


def trained(fits: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the columns that say whether the fits of an attack's parts have converged.

    Where several have a loss of their own, the last one's is shown: the crafting's.
    """
    row: dict[str, Any] = {"shortened": True} if any(one["ended_early"] for one in fits) else {}
    for losses in (one["convergence"] for one in fits):
        if len(losses) > 1:
            weak = row.get("undertrained", False) or undertrained(losses)
            row |= {"fit_epochs": len(losses) - 1, "undertrained": weak}
            row |= {"fit_loss": losses[-1], "fit_loss_untrained": losses[0]}
    return row


def perturbed(
    perturb: Perturb,
    queries: Images,
    labels: UInt8Array,
    codes: Tensor | None,
    seed: int,
    compute: Compute,
    place: Place,
) -> tuple[Tensor, list[float], int]:
    """Return the adversarial images of the first queries, the seconds of each batch, and a number.

    Args:
        perturb: as ``Attack.ready`` returns it.
        queries: at least q images.
        labels: label rows ``[q, C]``, as the attack is given them.
        codes: target codes ``[q, K]``, None without a rule.
        seed: of the attack.
        compute: how networks run, with the size of a batch.
        place: where.

    Returns:
        Images ``[q, 3, S, S]`` on the CPU; the number counts the rows that pad the last batch,
        which took their time, too.

    Raises:
        InvalidAttackError: the attack returned something else than a tensor of images.
    """
    crafted, seconds, made = [], [], 0
    for pixels, rows, count in batches(queries, len(labels), compute, place):
        images, took = _timed(perturb, _batch(pixels, rows, labels, codes, seed))
        crafted.append(images[:count].cpu())
        seconds.append(took)
        made += len(images)
    return torch.cat(crafted), seconds, made


def _timed(perturb: Perturb, batch: Batch) -> tuple[Tensor, float]:
    """Return a copy of what an attack makes of a batch, and the seconds that it takes."""
    pixels = batch.images
    like, shape = pixels.dtype, tuple(pixels.shape)
    began = clock(pixels.device)
    answer = perturb(batch)
    took = clock(pixels.device) - began
    return copied(answer, shape).to(like), check_seconds(took)


def _batch(
    pixels: Tensor, rows: IntArray, labels: UInt8Array, codes: Tensor | None, seed: int
) -> Batch:
    """Return some rows as an attack is given them, of the labels and target codes of all rows."""
    return Batch(
        images=pixels,
        codes=None if codes is None else codes[rows].to(pixels.device),
        labels=torch.from_numpy(labels[rows]).to(pixels.device),
        rows=rows,
        seed=seed,
    )
