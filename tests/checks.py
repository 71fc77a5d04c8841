"""Checks run in the tests' own process, where a bug can be planted in what they craft with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hashattack.benchmark.jobs import Job
from hashattack.benchmark.pipeline import PREPARING
from hashattack.benchmark.plan.plan import Plan
from hashattack.benchmark.regression.baseline import read_baseline
from hashattack.benchmark.regression.checking import check
from hashattack.benchmark.regression.question import Question
from hashattack.benchmark.regression.verdict import Demands, Verdict
from hashattack.benchmark.results.manifest import write_manifest
from tests.conftest import InlineEngine, run_jobs

ONE = ["source=DPSH-Tiny-32"]
DEMANDS = Demands()


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
        demands: Demands = DEMANDS,
        **changes: Any,
    ) -> Verdict:
        """Return the verdict; ``changes`` are of the question."""
        question = replace(Question([attack], only=only), **changes)
        path = baseline or self.baseline
        held = read_baseline(path, question.metric, retrained=question.retrained)
        found = check(question, demands, held, out=self.out, cache=self.cache, run=self._run)
        assert len(found) == 1
        return found[0]

    def _run(self, whole: Plan, plan: Plan) -> None:
        write_manifest(whole, self.out)
        run_jobs(plan.jobs, self.out, InlineEngine(), None, self.cache, accepts=self._accepts)

    def _accepts(self, job: Job, _: object) -> bool:
        return self.trusted or job.ref.stage in PREPARING
