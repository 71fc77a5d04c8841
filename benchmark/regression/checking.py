"""A check from a question to verdicts."""

from __future__ import annotations

import functools
from pathlib import Path

from benchmark.graph import Sizing
from benchmark.regression.baseline import Baseline
from benchmark.regression.candidate import (
    Question,
    Run,
    candidate_plan,
    pairs,
    prepare,
    references,
)
from benchmark.regression.comparison import adjusted, compare
from benchmark.regression.diagnosis import hints
from benchmark.regression.verdict import Demands, Verdict, judge


def check(
    question: Question,
    demands: Demands,
    baseline: Baseline,
    *,
    out: Path,
    cache: Path,
    sizing: Sizing | None,
    run: Run,
) -> list[Verdict]:
    """Craft the candidates on the baseline's trials and judge each.

    Args:
        question: who is compared with whom, where.
        demands: what a candidate is held to.
        baseline: the reference.
        out: the folder the candidates' results go to.
        cache: where data sets lie.
        sizing: finds batches for a suite that leaves them open.
        run: does what is missing of a plan, or of a part of it, in the folder.

    Raises:
        UserError: what is asked does not fit the baseline, or it is of other trials.
    """
    wanted = references(question, baseline)
    plan = candidate_plan(question, baseline, wanted, cache, sizing)
    prepare(question, baseline, wanted, plan, out, run)
    run(plan, plan)
    paired = pairs(question, wanted, out)
    family = sum(map(len, paired.values()))
    compared = [
        compare(
            attack,
            question.against or attack,
            listed,
            metric=question.metric,
            alpha=demands.alpha,
            family=family,
            retrained=question.retrained,
        )
        for attack, listed in paired.items()
    ]
    diagnose = functools.partial(hints, baseline=baseline, plan=plan, out=out, cache=cache)
    return [judge(one, demands, diagnose) for one in adjusted(compared)]
