"""What a check makes of scores: outcomes, sentences, hints, files. Scores are made up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from hashattack.benchmark.regression.comparison import Comparison, Pair, compare
from hashattack.benchmark.regression.rendering import as_json, table, write_junit
from hashattack.benchmark.regression.result import (
    CheckResult,
    Outcome,
    Thresholds,
    cell_outcome,
    judge,
    worst,
)
from hashattack.benchmark.regression.trials import Trials
from hashattack.benchmark.statistics import estimate
from hashattack.benchmark.terminal import text_of
from hashattack.datasets.seeds import generator
from tests.checks import made_up, pair

NOISE = generator(0, "check-rules-test").standard_normal(40)
NOISE -= NOISE.mean()


def judged(*pairs: Pair, **thresholds: Any) -> CheckResult:
    (one,) = compare(pairs)
    return judge(one, Thresholds(**thresholds))


@pytest.mark.parametrize(
    ("differences", "outcome", "text"),
    [
        (0 * NOISE, Outcome.HELD, "a scores as its baseline on every query: t-MAP 0 points [0, 0]"),
        (0.01 * NOISE, Outcome.HELD, "is not worse than its baseline"),
        (0.1 + 0.01 * NOISE, Outcome.HELD, "a is better than its baseline: t-MAP +10 points"),
        (-0.1 + 0.01 * NOISE, Outcome.WORSE, "a is worse than its baseline: t-MAP -10 points"),
        (0.2 * NOISE, Outcome.UNDECIDED, "does not rule out a loss of 2 points"),
    ],
)
def test_the_interval_decides(differences: np.ndarray, outcome: Outcome, text: str) -> None:
    result = judged(pair(differences))
    assert result.outcome is outcome
    assert text in result.sentence


def test_a_loss_in_one_cell_is_found_among_gains_in_others() -> None:
    gains = [pair(0.1 + 0.01 * NOISE, source=f"X-{bits}") for bits in (12, 24, 32)]
    result = judged(*gains, pair(-0.08 + 0.01 * NOISE, source="X-48"))
    assert result.outcome is Outcome.WORSE
    assert (
        "worse than its baseline on 1 of 4 cells: -8 points on X-48, seeds 0/0 (p ≤ 0.001 after "
        "Holm)" in result.sentence
    )
    assert result.comparison.difference > 0


def test_a_cell_that_its_interval_alone_would_condemn_shows_its_corrected_p_value() -> None:
    first = pair(-0.05 + 0.14 * NOISE / NOISE.std())
    cells = [pair(0.1 * NOISE, source=f"X-{bits}") for bits in range(9)]
    (one,) = compare([first, *cells])
    cell = one.cells[0]
    assert cell.high < 0 < 0.05 < cell.p, "the corrected value is that of ten cells"
    outcome, text = cell_outcome(first, cell, Thresholds(min_effect=0))
    assert outcome is Outcome.HELD
    assert text.endswith(f"], p {cell.p:.3f} after Holm")


def test_cells_of_all_attacks_are_tested_together() -> None:
    losses = [pair(-0.1 + 0.1 * NOISE, attack=name) for name in ("a", "b")]
    none = [pair(0.1 * NOISE, attack="c", source=f"X-{bits}") for bits in (12, 24)]
    alone = estimate(losses[0].differences("t_map"), resamples=4000)
    together = compare([*losses, *none], alpha=0.1)
    assert [one.attack for one in together] == ["a", "b", "c"]
    assert together[0].cells[0].p == pytest.approx(4 * alone.p)
    assert max(cell.p for cell in together[2].cells) == 1


def test_less_is_better_where_the_metric_says_so() -> None:
    ours, theirs = (
        made_up(np.zeros(40)).model_copy(
            update={"scores": {"map": (level + 0.01 * NOISE).tolist()}}
        )
        for level in (0.3, 0.5)
    )
    (one,) = compare([Pair(ours, theirs)], metric="map")
    assert one.difference == pytest.approx(0.2)
    assert "MAP +20 points [+20, +20] (lower is better, + means better)" in (
        judge(one, Thresholds()).sentence
    )


def scored(level: float, name: str, **columns: Any) -> Trials:
    trials = made_up(np.zeros(40), **columns)
    return trials.model_copy(update={"scores": {name: (level + 0.01 * NOISE).tolist()}})


def test_a_goal_is_compared_by_the_metric_that_ranks_it() -> None:
    away = {"goal": "non-targeted", "policy": "own", "attack": "b"}
    pairs = [pair(0.1 + 0.01 * NOISE), Pair(scored(0.3, "map", **away), scored(0.5, "map", **away))]
    results = [judge(one, Thresholds()) for one in compare(pairs)]
    assert "a is better than its baseline: t-MAP +10 points" in results[0].sentence
    assert "b is better than its baseline: MAP +20 points" in results[1].sentence
    assert "lower is better" in results[1].sentence
    text = text_of([table(results)])
    assert "a, t-MAP" in text
    assert "b, MAP" in text
    content = as_json(results, Thresholds(), Path("x"))
    assert [(one["goal"], one["metric"], one["min_effect"]) for one in content["attacks"]] == [
        ("targeted", "t_map", 0.02),
        ("non-targeted", "map", 0.02),
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "hint"),
    [
        (200, 100, "a takes 2 times the passes per image of its baseline (200, its baseline 100)"),
        (3, 4000, "a takes 0.00075 times the passes per image of its baseline (3, its baseline 4"),
        (0, 2, "a takes 0 times the passes per image of its baseline (0, its baseline 2)"),
        (2.5, 0, "a takes 2.5 passes per image, its baseline none"),
        (100, 100, ""),
        (100, None, ""),
    ],
)
def test_passes_that_differ_are_told(ours: float, theirs: float | None, hint: str) -> None:
    result = judged(Pair(*(made_up(0.5 + NOISE, passes_per_image=one) for one in (ours, theirs))))
    hints = [line for line in result.hints if "passes" in line]
    assert len(hints) == bool(hint)
    assert all(line.startswith(hint) for line in hints)
    (content,) = as_json([result], Thresholds(), Path("x"))["attacks"]
    assert content["passes_per_image"] == (None if theirs is None else [ours, theirs])
    assert content["passes_ratio"] == (ours / theirs if theirs else None)


@pytest.mark.parametrize(
    ("ours", "theirs", "text"),
    [
        ({"sees_query_labels": True}, {}, "it sees the queries' own labels, which the reference"),
        ({"epsilon": 9 / 255}, {}, "it declares a budget of 9/255, the reference 8/255"),
        ({"epsilon": None}, {}, "it declares no budget, the reference 8/255"),
        ({"code_only": True, "epsilon": None}, {}, "it queries with a code"),
        ({"status": "invalid", "reason": "too far"}, {}, "a is invalid on 1 of 1 cell: too far"),
    ],
)
def test_another_budget_is_no_fair_comparison(
    ours: dict[str, Any], theirs: dict[str, Any], text: str
) -> None:
    scores = np.full(40, 0.5)
    result = judged(Pair(made_up(scores, **ours), made_up(scores, **theirs)))
    assert result.outcome is Outcome.WORSE
    assert text in result.sentence
    assert "(X-12, seeds 0/0)" in result.sentence


def test_noise_and_clean_queries_have_no_budget_to_compare_with() -> None:
    scores = np.full(40, 0.5)
    reference = made_up(scores, budget_class="reference", epsilon=8 / 255)
    assert judged(Pair(made_up(scores, epsilon=None), reference)).outcome is Outcome.HELD


def test_a_cell_without_a_result_decides_nothing() -> None:
    missing = made_up(None, source="X-24", status="failed", reason="craft a: planted")
    result = judged(pair(0.0), Pair(missing, made_up(np.zeros(40), source="X-24")))
    assert result.outcome is Outcome.MISSING
    assert "1 of 2 cells have no result: X-24, seeds 0/0: craft a: planted" in result.sentence
    absent = judged(Pair(made_up(np.zeros(40)), made_up(None, status="ok")))
    assert "no result: the baseline's X-12, seeds 0/0: it lacks this metric" in absent.sentence


def test_times_count_where_they_can_be_compared() -> None:
    def timed(seconds: float, **thresholds: Any) -> CheckResult:
        """Return the result where the reference, another attack, takes a second per image."""
        ours, theirs = (
            made_up(0.5 + 0 * NOISE, attack=name, seconds_per_image=taken, batch=4)
            for name, taken in (("a", seconds), ("b", 1.0))
        )
        return judged(Pair(ours, theirs), **thresholds)

    assert "over 1 cell, in 20 times the time" in timed(20).sentence
    assert "over 1 cell, in 0.05 times the time" in timed(0.05).sentence
    assert " times the time" not in timed(1.5).sentence
    assert timed(1.5, max_slowdown=2).outcome is Outcome.HELD
    slow = timed(3, max_slowdown=2)
    assert (slow.outcome, slow.sentence) == (
        Outcome.WORSE,
        "a takes 3.00 times b's time; 2 are allowed",
    )
    same = pair(0.0, seconds_per_image=1.0)
    for changes in ({"host": ""}, {"host": "there"}):  # a file keeps no machine
        ours = same.candidate.model_copy(update=changes)
        result = judged(replace(same, candidate=ours), max_slowdown=2)
        assert result.outcome is Outcome.UNDECIDED
        assert "its time cannot be compared" in result.sentence
    row = {**same.candidate.row, "batch": 8}
    assert Pair(same.candidate.model_copy(update={"row": row}), same.reference).slowdown is None


def test_settings_that_differ_are_listed() -> None:
    ours, theirs = (
        made_up(0.5 + 0 * NOISE, params=json.dumps({"steps": steps, "rule": "l2", own: 1}))
        for steps, own in ((2, "mine"), (10, "theirs"))
    )
    result = judged(Pair(ours, theirs))
    assert result.hints == ["a differs from its baseline in steps 2 (not 10)"]


def test_cells_with_too_few_labels_for_a_test_are_named() -> None:
    labels = np.arange(40) % 4
    (hint,) = judged(pair(-0.1 + 0.01 * NOISE, labels)).hints
    assert hint.startswith("1 of 1 cell have too few target labels for a test of their own (4; 6")


def comparison_of(first: Pair, second: Pair) -> Comparison:
    (one,) = compare([first, second])
    return one


def test_two_data_sets_of_one_name_are_two() -> None:
    first = pair(-0.1 + 0.1 * NOISE)
    named = comparison_of(first, pair(0.0, dataset="other", dataset_fingerprint="g"))
    alike = comparison_of(first, pair(0.0, dataset_fingerprint="g"))
    assert (alike.low, alike.high) == (named.low, named.high)
    one = comparison_of(first, pair(0.0, victim="Y-12"))  # two victims of one source
    assert (one.low, one.high) != (named.low, named.high)


def test_a_longer_draw_extends_a_shorter_one() -> None:
    """A query has one label and one level per seed, whichever cell is the longer."""
    labels = np.arange(40) // 2
    long = pair(-0.1 + 0.1 * NOISE, labels)
    short = pair(0.1 * NOISE[:20], 9 - labels[:20], victim="Y-12")
    found = [comparison_of(*both) for both in ((long, short), (short, long))]
    assert found[0].low == found[1].low < found[0].difference < found[0].high == found[1].high
    mean = np.concatenate([(-0.1 + 0.2 * NOISE[:20]) / 2, -0.1 + 0.1 * NOISE[20:]]).mean()
    assert found[0].difference == pytest.approx(mean)


def retrained(levels: dict[str, list[tuple[float, float]]]) -> Comparison:
    """Return the comparison of trainings whose mean scores are given by target."""
    pairs = [
        Pair(
            made_up(ours + 0 * NOISE, source=target, target_seed=n, weights=f"ours-{target}-{n}"),
            made_up(theirs + 0 * NOISE, source=target, target_seed=n, weights=f"{target}-{n}"),
        )
        for target, trainings in levels.items()
        for n, (ours, theirs) in enumerate(trainings)
    ]
    (one,) = compare(pairs, retrained=True)
    return one


def test_different_trainings_are_not_paired() -> None:
    one = retrained({"X-12": [(0.5, 0.4)]})
    assert (one.low, one.high) == (-1, 1), "one training says nothing"
    assert np.isnan(one.cells[0].p)
    assert judge(one, Thresholds()).outcome is Outcome.UNDECIDED
    several = retrained({"X-12": [(0.5, 0.4), (0.52, 0.41), (0.51, 0.42)]})
    assert several.difference == pytest.approx(0.1)
    assert 0.05 < several.low < 0.1 < several.high < 0.15
    targets = retrained({f"X-{n}": [(0.5 + 0.01 * n, 0.4 + 0.02 * n)] for n in range(4)})
    assert targets.difference == pytest.approx(0.085)
    assert 0.05 < targets.low < 0.085 < targets.high < 0.12


@pytest.fixture
def results() -> list[CheckResult]:
    pairs = [
        pair(0.0),
        pair(0.01 * NOISE, source="X-24"),
        pair(-0.1 + 0.01 * NOISE, attack="b"),
        Pair(made_up(None, attack="c", status="failed"), made_up(0 * NOISE, attack="c")),
    ]
    return [judge(one, Thresholds()) for one in compare(pairs)]


def test_the_table_has_a_line_per_cell_the_worst_first(results: list[CheckResult]) -> None:
    lines = text_of([table(results)]).splitlines()
    assert lines[1].split()[:4] == ["hasher,", "seeds", "baseline", "candidate"]
    first = [line.partition(" ")[0] for line in lines[3:]]
    assert first == ["a", "X-24,", "X-12,", "all", "", "b", "X-12,"]
    assert lines[9].split()[1:5] == ["0/0", "50.00", "40.00", "-10"]


def test_json_has_every_figure(results: list[CheckResult], tmp_path: Path) -> None:
    content = json.loads(json.dumps(as_json(results, Thresholds(), tmp_path), allow_nan=False))
    assert (content["outcome"], content["exit_code"]) == ("worse", 1)
    assert [one["outcome"] for one in content["attacks"]] == ["held", "worse", "missing"]
    one, other, missing = content["attacks"]
    assert [cell["target"] for cell in one["cells"]] == ["X-12", "X-24"]
    assert other["difference"] == pytest.approx(-0.1)
    assert (missing["difference"], missing["missing"]) == (None, ["X-12"])


def test_the_gravest_outcome_is_the_exit_code(results: list[CheckResult]) -> None:
    assert worst(results) is Outcome.WORSE
    assert worst([results[0], results[2]]) is Outcome.MISSING
    assert worst(results[:1]) is Outcome.HELD


def test_junit_is_xml_even_where_an_exception_is_not(
    results: list[CheckResult], tmp_path: Path
) -> None:
    results[2] = replace(results[2], sentence="\x1b[31mbad\x00 \udc80")
    write_junit(results, Thresholds(), tmp_path / "junit.xml")
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
    cells = sum(len(result.comparison.pairs) for result in results)
    assert suite.get("tests") == str(len(results) + cells), "one over all cells, and one a cell"
    assert len({(case.get("classname"), case.get("name")) for case in suite}) == len(suite)
    failures, errors = suite.findall("testcase/failure"), suite.findall("testcase/error")
    assert [suite.get("failures"), suite.get("errors")] == [str(len(failures)), str(len(errors))]
    failure, error = suite.find("testcase/failure"), suite.find("testcase/error")
    assert failure is not None
    assert "b is worse than its baseline" in str(failure.get("message"))
    assert error is not None
    assert error.get("message") == "?[31mbad? ?"
