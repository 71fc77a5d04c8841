"""A check from a request to its results, with hints of known mistakes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from hashattack.benchmark.columns import COLUMNS, RANKED_BY
from hashattack.benchmark.metrics import mean_average_precision
from hashattack.benchmark.pipeline import PREPARING
from hashattack.benchmark.plan.plan import Plan
from hashattack.benchmark.regression.baseline import Baseline, BaselineError
from hashattack.benchmark.regression.candidates import (
    PREFIX,
    CheckRequest,
    pairs_of,
    plan_candidates,
    refuse_differences,
)
from hashattack.benchmark.regression.comparison import CellResult, Pair, compare
from hashattack.benchmark.regression.result import CheckResult, Outcome, Thresholds, judge
from hashattack.benchmark.regression.trials import read_trials
from hashattack.benchmark.results.manifest import Manifest, NoRunError, manifest_of, read_manifest
from hashattack.benchmark.store.store import Store

Run = Callable[[Plan, Manifest], object]  # of the jobs to do, and of all cells of the folder
_CLEAR = 0.05  # a fraction, by which a suspected mistake must fit better than what was intended


def check(
    request: CheckRequest,
    thresholds: Thresholds,
    baseline: Baseline,
    *,
    out: Path,
    cache: Path,
    run: Run,
) -> list[CheckResult]:
    """Craft the candidates on the baseline's trials and compare each with its reference.

    Args:
        request: what is compared with what.
        thresholds: what decides about a candidate.
        baseline: the references.
        out: the folder the candidates' results go to.
        cache: where data sets are built.
        run: does what is missing of a plan in the folder.

    Raises:
        UserError: the request does not fit the baseline, or the baseline is of other trials.
    """
    _refuse_folder(baseline, out)
    plan = plan_candidates(request, baseline, out, cache)
    manifest = manifest_of(plan)
    if baseline.folder is not None and not request.retrained:
        ours, theirs = Store(out / "store"), Store(baseline.folder / "store")
        for job in plan.jobs.values():
            if job.stage in PREPARING:
                ours.adopt(job.ref, theirs)

    def pairs() -> list[Pair]:
        there = list(read_trials(out, request.metrics, manifest))
        found = pairs_of(request, baseline, there, out)
        refuse_differences(request, baseline, found, manifest)
        return found

    pairs()  # data and settings must be the baseline's
    prepared = {key: job for key, job in plan.jobs.items() if job.stage in PREPARING}
    run(replace(plan, jobs=prepared), manifest)
    pairs()  # targets and draws, too, before anything is crafted
    run(plan, manifest)
    neighbours = partial(_neighbours, plan=plan, out=out, cache=cache)
    return _results(request, thresholds, baseline, pairs(), neighbours)


def check_stored(
    request: CheckRequest, thresholds: Thresholds, baseline: Baseline, folder: Path
) -> list[CheckResult]:
    """Compare candidates that a folder holds already; nothing is crafted.

    Raises:
        UserError: the folder does not hold what is requested, or is of other trials.
    """
    manifest = read_manifest(folder)
    there = list(read_trials(folder, request.metrics, manifest))
    pairs = pairs_of(request, baseline, there, folder)
    refuse_differences(request, baseline, pairs, manifest)
    return _results(request, thresholds, baseline, pairs, lambda _: ())


def _refuse_folder(baseline: Baseline, out: Path) -> None:
    """Refuse an output folder whose results a check would replace."""
    if baseline.folder == out.resolve():
        raise BaselineError(f"{out} is the baseline itself; name another folder with --out")
    try:
        name = read_manifest(out)["suite"]["name"]
    except NoRunError:
        return
    if not name.startswith(PREFIX):
        raise BaselineError(
            f"{out} holds a run of '{name}', which a check would replace; name another folder "
            "with --out, or compare its results with --candidate"
        )


def _results(
    request: CheckRequest,
    thresholds: Thresholds,
    baseline: Baseline,
    pairs: Sequence[Pair],
    neighbours: Callable[[Pair], Iterable[str]],
) -> list[CheckResult]:
    """Return a result per candidate, with hints about the worst cell of one that lost.

    They are about the metric that ranks its goal and those like it.
    """
    results = []
    for one in compare(
        pairs, metric=request.metric, alpha=thresholds.alpha, retrained=request.retrained
    ):
        result = judge(one, thresholds)
        ranks = one.metric.startswith(RANKED_BY[one.goal])
        if result.outcome is not Outcome.HELD and one.cells and ranks:
            worst = min(one.cells, key=lambda cell: cell.difference)
            hints = [*neighbours(worst.pair), *_direction(worst, baseline, one.metric)]
            result = replace(result, hints=[*hints, *result.hints])
        results.append(result)
    return results


def _neighbours(pair: Pair, *, plan: Plan, out: Path, cache: Path) -> Iterator[str]:
    """Yield a hint if the crafted images retrieve the target labels of neighbouring queries.

    Those of a non-targeted attack are no sign: any image retrieves few of other queries' labels.
    """
    if pair.candidate.goal != "targeted":
        return
    store, inputs = Store(out / "store"), plan.jobs[pair.candidate.jobs["score"]].inputs
    arrays = {role: store.arrays(ref) for role, ref in inputs.items()}
    # The plan's own data has no labels.
    data = plan.specs[pair.candidate.row["dataset_fingerprint"]].load(cache)
    labels, targets = np.asarray(data.database.labels), arrays["targets"]["targets"]
    codes = (arrays["codes"]["codes"], arrays["database"]["codes"])
    top = pair.candidate.row.get("top")  # None for all results
    intended = mean_average_precision(*codes, targets, labels, top=top)
    for shift, neighbour in ((-1, "previous"), (1, "next")):
        found = mean_average_precision(*codes, np.roll(targets, -shift, axis=0), labels, top=top)
        if found > intended + _CLEAR:
            yield (
                f"its images retrieve the target label of the {neighbour} query (t-MAP "
                f"{found:.3f}, of their own {intended:.3f}): target codes are off by one row"
            )


def _direction(cell: CellResult, baseline: Baseline, metric: str) -> Iterator[str]:
    """Yield a hint if the images are no nearer to the attack's goal than the clean queries."""
    reference, column = cell.pair.reference, COLUMNS[metric]
    below, away = ("below", "away from") if column.sign > 0 else ("above", "towards")
    code = "the target code" if reference.goal == "targeted" else "the code of their own labels"
    data = reference.row["dataset_fingerprint"]
    for one in baseline.cells:
        here = one.row["dataset_fingerprint"] == data and one.place == reference.place
        if one.row["role"] != "no-attack" or not here or metric not in one.scores:
            continue
        clean = float(np.mean(one.scores[metric]))
        if column.sign * (cell.candidate - clean) < -_CLEAR:
            yield (
                f"its images score {below} the clean queries ({column.title} "
                f"{cell.candidate:.3f}, clean {clean:.3f}): they move {away} {code}, as with a "
                "flipped sign"
            )
        elif abs(cell.candidate - clean) < _CLEAR / 10:
            yield f"its images score as the clean queries do ({column.title} {clean:.3f})"
