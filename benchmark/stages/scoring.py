"""Scoring: rank the victim's database for every query."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hashattack.benchmark.jobs import Context, Output
from hashattack.benchmark.metrics.average_precision import (
    chance_ap,
    curve_tops,
    expected_ap,
    expected_found,
    stable_ap,
)
from hashattack.benchmark.metrics.rank import Ranking, rank
from hashattack.benchmark.stages.base import DataTask


@dataclass(frozen=True, kw_only=True)
class Score(DataTask):
    """Rank the victim's database for every query: the metrics of a row."""

    stage: ClassVar[str] = "score"
    version: ClassVar[int] = 4  # stable sums added in another order
    n_queries: int
    of: str = field(metadata={"key": False})  # for people; the inputs' keys say it already

    @property
    def label(self) -> str:
        """What a person calls this job."""
        return f"score {self.of}"

    def run(self, context: Context) -> Output:
        """Store per-query average precisions against the target and the query's own labels.

        ``curve_top`` ``[t]`` are lengths of result lists, ``curve_precision`` and
        ``curve_recall`` their means over queries; a query without a relevant item has no recall.
        """
        data = self.data(context)
        database = context.arrays("database")["codes"]
        attacked = context.arrays("codes")
        targets = context.arrays("targets")["targets"]
        own = np.asarray(data.query.labels[: self.n_queries])
        labels = np.asarray(data.database.labels)
        ranked = functools.partial(rank, threads=self.cpu_threads, device=context.device)
        ranking = ranked(attacked["codes"], database, [targets, own], labels)
        hit, kept = (self._values(ranking, kind) for kind in (0, 1))
        arrays = {f"target_{name}": values for name, values in hit.items()}
        arrays |= {f"own_{name}": values for name, values in kept.items()}
        arrays |= _curves(ranking.items, ranking.hits[0])
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
            stored = ranked(attacked["codes_8bit"], database, [targets], labels, stable=False)
            arrays["target_8bit_expected"] = expected_ap(stored.items, stored.hits[0])
            row["t_map_8bit"] = arrays["target_8bit_expected"].mean()
        return Output(arrays, {name: np.asarray(value).item() for name, value in row.items()})

    def _values(self, ranking: Ranking, kind: int) -> dict[str, npt.NDArray[np.float64]]:
        """Return per-query metrics for one kind of relevance."""
        items, hits = ranking.items, ranking.hits[kind]
        n_items = int(items[0].sum())
        return {
            "expected": expected_ap(items, hits),
            "stable": stable_ap(ranking)[kind],
            "chance": chance_ap(items, hits),
            "precision_at_10": expected_found(np.array([10]), items, hits)[:, 0] / min(10, n_items),
            "n_relevant": hits.sum(axis=1).astype(np.float64),
        }


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
