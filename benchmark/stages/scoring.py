"""Scoring: rank the victim's database for every query; numpy alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from benchmark.jobs import Context, Output
from benchmark.ranking import average_precisions, curve_tops
from benchmark.stages.base import DataTask


@dataclass(frozen=True, kw_only=True)
class Score(DataTask):
    """Rank the victim's database for every query: the metrics of a row."""

    stage: ClassVar[str] = "score"
    version: ClassVar[int] = 2  # with curves
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
        hit = average_precisions(attacked["codes"], database, targets, labels)
        kept = average_precisions(attacked["codes"], database, own, labels)
        found = hit.pop("found")
        del kept["found"]
        arrays = {f"target_{name}": values for name, values in hit.items()}
        arrays |= {f"own_{name}": values for name, values in kept.items()}
        arrays |= _curves(found, hit["n_relevant"], len(labels))
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


def _curves(
    found: npt.NDArray[np.float64], relevant: npt.NDArray[np.float64], n_items: int
) -> dict[str, npt.NDArray[Any]]:
    tops = curve_tops(n_items)
    known = relevant > 0
    recall = found[known] / relevant[known, None]
    return {
        "curve_top": tops,
        "curve_precision": (found / tops).mean(axis=0),
        "curve_recall": recall.mean(axis=0) if known.any() else np.zeros(len(tops)),
    }
