"""A check from a question to verdicts."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from hashattack.benchmark.regression.baseline import Baseline, BaselineError
from hashattack.benchmark.regression.candidate import (
    CHECKS,
    Run,
    candidates,
    pairs,
    prepare,
)
from hashattack.benchmark.regression.comparison import Pair, adjusted, compare
from hashattack.benchmark.regression.diagnosis import Suspicion, hints, off_by_one
from hashattack.benchmark.regression.question import Question, references
from hashattack.benchmark.regression.sameness import refuse, trial_differences
from hashattack.benchmark.regression.stored import stored_pairs
from hashattack.benchmark.regression.verdict import Demands, Verdict, judge
from hashattack.benchmark.results.manifest import NoRunError, read_manifest


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
    _refuse_folder(baseline, out)
    wanted = references(question, baseline)
    asked = candidates(question, baseline, wanted, cache)
    prepare(question, baseline, asked, out, run)
    if not question.retrained:
        found = [pair for each in pairs(question, wanted, asked, out).values() for pair in each]
        refuse(baseline, [line for pair in found for line in trial_differences(pair)])
    run(asked.plan, asked.plan)
    paired = pairs(question, wanted, asked, out)
    shifted = functools.partial(off_by_one, plan=asked.plan, out=out, cache=cache)
    return _verdicts(question, demands, baseline, paired, shifted)


def check_stored(
    question: Question, demands: Demands, baseline: Baseline, folder: Path
) -> list[Verdict]:
    """Judge candidates that a folder holds already; nothing is crafted.

    Raises:
        UserError: the folder does not hold what is asked for, or is of other trials.
    """
    paired = stored_pairs(question, baseline, folder)
    return _verdicts(question, demands, baseline, paired, lambda _: [])


def _verdicts(
    question: Question,
    demands: Demands,
    baseline: Baseline,
    paired: Mapping[str, Sequence[Pair]],
    shifted: Suspicion,
) -> list[Verdict]:
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
    diagnose = functools.partial(hints, baseline=baseline, shifted=shifted)
    return [judge(one, demands, diagnose) for one in adjusted(compared)]


def _refuse_folder(baseline: Baseline, out: Path) -> None:
    """Refuse a folder whose results a check would take the place of."""
    if baseline.folder == out.resolve():
        raise BaselineError(f"{out} is the baseline itself; name another folder with --out")
    try:
        name = read_manifest(out)["suite"]["name"]
    except NoRunError:
        return
    if not name.startswith(CHECKS):
        raise BaselineError(
            f"{out} holds a run of '{name}', whose rows a check would take the place of; name "
            "another folder with --out, or compare what it holds with --candidate"
        )
