"""The stages that evaluate an attack: hash its images with a victim, rank the victim's database."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hashattack.benchmark import audit
from hashattack.benchmark.columns import RANKED_BY, Goal
from hashattack.benchmark.jobs import Compute, Context, OnData, Output, Place, Work, implements
from hashattack.benchmark.metrics.average_precision import (
    chance_ap,
    curve_tops,
    expected_ap,
    expected_found,
    stable_ap,
)
from hashattack.benchmark.metrics.rank import rank
from hashattack.benchmark.networks import batches, encode_batch, input_hasher
from hashattack.benchmark.pipeline import STAGES
from hashattack.benchmark.store.store import Arrays
from hashattack.datasets.base import Images
from hashattack.targets.hasher import Hasher, TargetSpec


@dataclass(frozen=True, kw_only=True)
class Hash(OnData):
    """Hash adversarial images with a victim, and measure what the attack did to them."""

    compute: Compute
    victim: TargetSpec
    n_queries: int
    epsilon: float | None
    of: str = field(metadata={"key": False})  # for messages; the input's key says it already


@implements(
    STAGES["hash"],
    Hash,
    label=lambda task: f"hash {task.of} with {task.victim.name}",
    resources=lambda task: task.compute.resources(),
    work=lambda task, _: Work(2 * task.n_queries, task.victim.backbone),
)
def hash_images(task: Hash, context: Context) -> Output:
    """Store ``codes``, ``codes_8bit`` int8 ``[q, K]``, and distortions ``[q]``.

    The distortions are ``perceptibility``, ``l2`` and ``linf``.

    Raises:
        InvalidAttackError: the images are no images, or exceed the declared budget.
    """
    data = task.data(context)
    hasher = input_hasher(task.victim, data.side, task.compute, context)
    crafted = torch.from_numpy(context.arrays("images")["images"])
    audit.check_images(crafted, (task.n_queries, 3, data.side, data.side))
    return Output(*audited(hasher, data.query.images, crafted, task.epsilon, task.compute, context))


def audited(
    hasher: Hasher,
    clean: Images,
    crafted: Tensor,
    epsilon: float | None,
    compute: Compute,
    place: Place,
) -> tuple[Arrays, dict[str, float]]:
    """Return what :func:`hash_images` stores of images ``[q, 3, S, S]``, and the row's columns.

    Raises:
        InvalidAttackError: the images exceed the declared budget.
    """
    parts: dict[str, list[Tensor]] = {}
    for pixels, rows, count in batches(clean, len(crafted), compute, place):
        adversarial = crafted[rows].to(pixels)
        measured = {
            "codes": encode_batch(hasher, adversarial),
            "codes_8bit": encode_batch(hasher, audit.round_trip(adversarial)),
            **audit.distortions(pixels, adversarial),
        }
        for key, values in measured.items():
            parts.setdefault(key, []).append(values[:count].cpu())
    whole = {key: torch.cat(values) for key, values in parts.items()}
    row = audit.summary(whole)
    audit.check_budget(row, epsilon)
    whole["perceptibility"] = whole.pop("mse").sqrt()
    return {key: values.numpy() for key, values in whole.items()}, row


@dataclass(frozen=True, kw_only=True)
class Score(OnData):
    """Rank the victim's database for every query: the metrics of a row."""

    n_queries: int
    goal: Goal
    top: int | None
    of: str = field(metadata={"key": False})  # for messages; the inputs' keys say it already


@implements(
    STAGES["score"],
    Score,
    label=lambda task: f"score {task.of}",
    work=lambda task, data: Work(task.n_queries * len(data.database)),
)
def score(task: Score, context: Context) -> Output:
    """Store the retrieval metrics of each query ``[q]``, by column; the row has their means.

    Those of a targeted attack are for its target labels and for the queries' own, those of a
    non-targeted one for the queries' own alone; average precisions are at ``top``, where there is
    one. ``curve_top`` ``[t]`` are lengths of result lists, ``curve_precision`` and
    ``curve_recall`` their means over queries, for the first of these labels; a query without a
    relevant item has no recall.
    """
    data = task.data(context)
    database = context.arrays("database")["codes"]
    attacked = context.arrays("codes")
    targets = context.arrays("targets")["targets"]
    own = np.asarray(data.query.labels[: task.n_queries])
    labels = np.asarray(data.database.labels)
    ranked = functools.partial(rank, threads=1, device=context.device)
    sets = [targets, own] if task.goal == "targeted" else [own]
    ranking = ranked(attacked["codes"], database, sets, labels, top=task.top)
    items, hits, own_hits = ranking.items, ranking.hits[0], ranking.hits[-1]
    stable = stable_ap(ranking)
    measured = {
        "map": expected_ap(items, own_hits, task.top),
        "map_stable": stable[-1],
        "chance_map": chance_ap(items, own_hits, task.top),
    }
    if task.goal == "targeted":
        found = expected_found(np.array([10]), items, hits)[:, 0]
        measured |= {
            "t_map": expected_ap(items, hits, task.top),
            "t_map_stable": stable[0],
            "chance": chance_ap(items, hits, task.top),
            "precision_at_10": found / min(10, len(labels)),
        }
    if "codes_8bit" in attacked:
        stored = ranked(attacked["codes_8bit"], database, sets[:1], labels, stable=False)
        ranked_by, again = RANKED_BY[task.goal], (stored.items, stored.hits[0])
        measured[f"{ranked_by}_8bit"] = expected_ap(*again, task.top)
    row = {name: float(values.mean()) for name, values in measured.items()}
    n_no_relevant = int((hits.sum(axis=1) == 0).sum())
    return Output({**measured, **_curves(items, hits)}, {**row, "n_no_relevant": n_no_relevant})


def _curves(
    items: npt.NDArray[np.int64], hits: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[Any]]:
    """Return precision and recall over the length of the result list, means over queries."""
    tops = curve_tops(int(items[0].sum()))
    found, relevant = expected_found(tops, items, hits), hits.sum(axis=1)
    known = relevant > 0
    recall = found[known] / relevant[known, None]
    return {
        "curve_top": tops,
        "curve_precision": (found / tops).mean(axis=0),
        "curve_recall": recall.mean(axis=0) if known.any() else np.zeros(len(tops)),
    }
