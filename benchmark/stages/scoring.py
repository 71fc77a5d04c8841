"""Scoring: rank the victim's database for every query; numpy alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from benchmark.jobs import Context, Output
from benchmark.ranking import average_precisions
from benchmark.stages.base import DataTask


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
