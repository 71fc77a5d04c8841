"""A check from a question to verdicts."""

from __future__ import annotations

import functools
from pathlib import Path

from benchmark.regression.baseline import Baseline, BaselineError
from benchmark.regression.candidate import (
    Question,
    Run,
    candidates,
    pairs,
    prepare,
    references,
)
from benchmark.regression.comparison import adjusted, compare
from benchmark.regression.diagnosis import hints
from benchmark.regression.sameness import refuse, trial_differences
from benchmark.regression.verdict import Demands, Verdict, judge


def check(
    question: Question,
    demands: Demands,
    baseline: Baseline,
    *,
    out: Path,
    cache: Path,
    run: Run,
) -> list[Verdict]:
    """Craft the candidates on the baseline's trials and judge each.

    Args:
        question: who is compared with whom, where.
        demands: what a candidate is held to.
        baseline: the reference.
        out: the folder the candidates' results go to.
        cache: where data sets lie.
        run: does what is missing of a plan, or of a part of it, in the folder.

    Raises:
        UserError: what is asked does not fit the baseline, or it is of other trials.
    """
    if baseline.folder == out.resolve():
        raise BaselineError(f"{out} is the baseline itself; name another folder with --out")
    wanted = references(question, baseline)
    asked = candidates(question, baseline, wanted, cache)
    prepare(question, baseline, asked, out, run)
    if not question.retrained:
        found = [pair for each in pairs(question, wanted, asked, out).values() for pair in each]
        refuse(baseline, [line for pair in found for line in trial_differences(pair)])
    run(asked.plan, asked.plan)
    paired = pairs(question, wanted, asked, out)
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
    diagnose = functools.partial(hints, baseline=baseline, plan=asked.plan, out=out, cache=cache)
    return [judge(one, demands, diagnose) for one in adjusted(compared)]
