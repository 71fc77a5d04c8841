"""What a lost comparison looks like: the mistakes that are made most, tried on the trials."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from hashattack.benchmark.metrics.average_precision import expected_ap
from hashattack.benchmark.metrics.rank import rank
from hashattack.benchmark.plan.plan import Plan
from hashattack.benchmark.regression.baseline import Baseline
from hashattack.benchmark.regression.comparison import Comparison, Pair
from hashattack.benchmark.regression.trials import FloatArray
from hashattack.benchmark.store.store import Arrays, JobRef, Store

_CLEAR = 0.05  # t-MAP by which a suspicion must fit better than what was meant
_SHIFTS = (-1, 1)


Suspicion = Callable[[Pair], Iterable[str]]


def hints(comparison: Comparison, baseline: Baseline, shifted: Suspicion) -> list[str]:
    """Return what the worst cell of a comparison on t-MAP looks like, if it looks like anything.

    Args:
        comparison: what was found.
        baseline: has the clean queries' scores.
        shifted: suspects target codes of another query, where that can be tried.
    """
    if not comparison.cells or not comparison.metric.startswith("t_map"):
        return []
    worst = min(comparison.cells, key=lambda cell: cell.difference)
    return [
        *shifted(worst.pair),
        *_away(worst.pair, worst.candidate, baseline, comparison.metric),
    ]


def off_by_one(pair: Pair, *, plan: Plan, out: Path, cache: Path) -> Iterator[str]:
    """Suspect target codes of a neighbouring query, by what the crafted images retrieve."""
    store, jobs = Store(out / "store"), plan.jobs
    scoring = jobs[pair.candidate.jobs["score"]]
    arrays: dict[str, Arrays] = {
        role: store.arrays(JobRef(ref.stage, ref.key)) for role, ref in scoring.inputs.items()
    }
    data = plan.specs[pair.candidate.row["dataset_fingerprint"]].load(cache)  # a plan has no labels
    labels = np.asarray(data.database.labels)
    targets = arrays["targets"]["targets"]

    def t_map(wanted: np.ndarray) -> FloatArray:
        ranking = rank(
            arrays["codes"]["codes"], arrays["database"]["codes"], [wanted], labels, stable=False
        )
        return expected_ap(ranking.items, ranking.hits[0])

    meant = t_map(targets).mean()
    for shift in _SHIFTS:
        found = t_map(np.roll(targets, -shift, axis=0)).mean()
        if found > meant + _CLEAR:
            neighbour = "next" if shift > 0 else "previous"
            yield (
                f"its images retrieve the target label of the {neighbour} query (t-MAP "
                f"{found:.3f}, of their own {meant:.3f}): target codes are off by one row"
            )


def _away(pair: Pair, mean: float, baseline: Baseline, metric: str) -> Iterator[str]:
    """Suspect steps in the wrong direction, or none."""
    for one in baseline.trials:
        known = one.scores.get(metric)
        if one.row["attack"] != "original" or one.place != pair.reference.place or known is None:
            continue
        clean = float(known.mean())
        if mean < clean - _CLEAR:
            yield (
                f"it does worse than the query as it is (t-MAP {mean:.3f}, Original "
                f"{clean:.3f}): it moves away from the target code, as with a flipped sign"
            )
        elif abs(mean - clean) < _CLEAR / 10:
            yield f"it does no more than the query as it is (Original {clean:.3f})"
