"""Checks run in the tests' own process, where a bug can be planted in what they craft with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hashattack.benchmark.jobs import Job
from hashattack.benchmark.pipeline import PREPARING
from hashattack.benchmark.plan.plan import Plan
from hashattack.benchmark.regression.baseline import read_baseline
from hashattack.benchmark.regression.candidates import CheckRequest
from hashattack.benchmark.regression.check import check
from hashattack.benchmark.regression.comparison import Pair
from hashattack.benchmark.regression.result import CheckResult, Thresholds
from hashattack.benchmark.regression.trials import Trials
from hashattack.benchmark.results.manifest import Manifest, write_manifest
from tests.conftest import InlineEngine, run_jobs

ONE = ["source=DPSH-Tiny-32"]
THRESHOLDS = Thresholds()


@dataclass
class Checker:
    """Checks one attack, by default against the folder it was made for."""

    baseline: Path
    out: Path
    cache: Path
    trusted: bool = True  # what an earlier check in the folder crafted

    def __call__(
        self,
        attack: str,
        baseline: Path | None = None,
        only: Sequence[str] = ONE,
        thresholds: Thresholds = THRESHOLDS,
        **changes: Any,
    ) -> CheckResult:
        """Return the result; ``changes`` are of the request."""
        request = replace(CheckRequest([attack], only=only), **changes)
        path = baseline or self.baseline
        held = read_baseline(path, request.metric)
        (found,) = check(request, thresholds, held, out=self.out, cache=self.cache, run=self._run)
        return found

    def _run(self, plan: Plan, manifest: Manifest) -> None:
        write_manifest(manifest, self.out)
        run_jobs(plan.jobs, self.out, InlineEngine(), None, self.cache, accepts=self._accepts)

    def _accepts(self, job: Job, _: object) -> bool:
        return self.trusted or job.ref.stage in PREPARING


def made_up(
    scores: np.ndarray | None, labels: np.ndarray | None = None, attack: str = "a", **changes: Any
) -> Trials:
    """Return trials with scores of a test's own, of any range; None for a cell without a result."""
    row: dict[str, Any] = {
        **{"dataset": "digits", "dataset_fingerprint": "f", "attack": attack, "role": ""},
        **{"goal": "targeted", "budget_class": "8/255", "code_only": False, "source": "X-12"},
        **{"policy": "frequent", "target_seed": 0, "draw_seed": 0, "protocol": "released"},
        **{"n_queries": 40, "epsilon": 8 / 255, "status": "ok", "variant": "", "params": "{}"},
        **changes,
    }
    row = {"victim": row["source"], **{n: value for n, value in row.items() if value is not None}}
    host = row.pop("host", "here")
    weights = row.pop("weights", "w")
    values = {} if scores is None else {"t_map": scores.tolist()}
    numbers = np.arange(0 if scores is None else len(scores)) if labels is None else labels
    trials = Trials(row=row, source=weights, labels=numbers.tolist(), host=host)
    return trials.model_copy(update={"scores": values})


def pair(differences: np.ndarray | float, labels: np.ndarray | None = None, **columns: Any) -> Pair:
    """Return a pair of the attack and its baseline, which scores .5 on every query."""
    shift = np.full(40, differences) if isinstance(differences, float) else differences
    ours, theirs = (made_up(0.5 + each, labels, **columns) for each in (shift, 0 * shift))
    return Pair(ours, theirs)
