"""Candidates that are not the baseline's attacks as they were: set otherwise, or made elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from hashattack.benchmark.external.trials import Origin
from hashattack.benchmark.regression.baseline import BaselineError, read_baseline
from hashattack.benchmark.regression.checking import check_stored
from hashattack.benchmark.regression.comparison import Pair, adjusted, compare
from hashattack.benchmark.regression.question import Question
from hashattack.benchmark.regression.telling import write_junit
from hashattack.benchmark.regression.trials import read_trials
from hashattack.benchmark.regression.verdict import Demands, Outcome, Verdict, judge
from tests.checks import ONE, Checker
from tests.conftest import SmokeRun, run_cli
from tests.submissions import SOURCE, crafted, request, scored


@pytest.fixture
def checked(smoke: SmokeRun, cache: Path, tmp_path: Path) -> Checker:
    return Checker(smoke.out, tmp_path / "out", cache)


def test_settings_that_differ_are_told(checked: Checker) -> None:
    verdict = checked("dhta-ifgsm", against="dhta")
    assert verdict.hints[0].startswith("dhta-ifgsm is not set like dhta: rule sign (not l2)")
    assert "steps 100 (not 10)" in verdict.hints[0]
    assert "epsilon" not in verdict.hints[0], "which both have"


def test_a_candidate_is_set_on_the_command_line(checked: Checker) -> None:
    verdict = checked("dhta", params={"steps": 2})
    assert "dhta is not set like its baseline: steps 2 (not 10)" in verdict.hints
    assert verdict.comparison.pairs[0].unlike == {"steps": (2, 10)}
    assert verdict.comparison.difference < 0


def test_times_the_compute_stands_in_the_sentence(checked: Checker) -> None:
    (pair,) = checked("dhta", against="dhta-ifgsm").comparison.pairs

    def told(seconds: float) -> str:
        """Return the sentence where the reference takes a second an image."""
        ours, theirs = (
            replace(side, host="here", row={**side.row, "seconds_per_image": taken})
            for side, taken in ((pair.candidate, seconds), (pair.reference, 1.0))
        )
        how: dict[str, Any] = {"metric": "t_map", "alpha": 0.05, "family": 1}
        found = compare("dhta", "dhta-ifgsm", [Pair(ours, theirs)], **how)
        return judge(adjusted([found])[0], Demands(), lambda _: ()).sentence

    assert "over 1 cell, in 20 times the time" in told(20)
    assert "over 1 cell, in 0.05 times the time" in told(0.05)
    assert " times the time" not in told(1.5)


def test_what_other_code_made_is_judged(
    origin: Origin, trials: Path, cache: Path, smoke: SmokeRun, tmp_path: Path
) -> None:
    np.save(tmp_path / "mine.npy", crafted(smoke.out, "dhta-fgsm"))
    to = tmp_path / "to"
    scored(origin, trials, cache, to, request(tmp_path / "mine.npy"))
    held = read_baseline(smoke.out, "t_map")

    def judged(**changes: object) -> Verdict:
        question = Question(["theirs"], **{"only": ONE, **changes})  # type: ignore[arg-type]
        (found,) = check_stored(question, Demands(), held, to)
        return found

    same = judged(against="dhta-fgsm")
    assert same.comparison.low == same.comparison.high == 0
    other = judged(against="dhta").comparison
    ours, theirs = (held.of(name, ONE)[0].scores["t_map"].mean() for name in ("dhta-fgsm", "dhta"))
    assert other.difference == pytest.approx(ours - theirs, abs=1e-6)
    with pytest.raises(BaselineError, match="has no theirs on DPSH-Tiny-12, seeds 0/0"):
        judged(against="dhta", only=[])
    with pytest.raises(BaselineError, match=r"--attack thiers: .* has none; did you mean 'theirs'"):
        check_stored(Question(["thiers"]), Demands(), held, to)
    command = ("check", "--baseline", str(smoke.out), "--candidate", str(to), "--attack", "theirs")
    done = run_cli(*command, "--against", "dhta-fgsm", "--only", *ONE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "theirs scores as dhta-fgsm on every query" in done.stdout
    refused = run_cli(*command, "--against", "dhta", "--param", "steps=1")
    assert (refused.returncode, "crafts nothing" in refused.stderr) == (2, True)


def test_a_baseline_that_other_code_made_names_the_way_out(
    checked: Checker, origin: Origin, trials: Path, cache: Path, smoke: SmokeRun, tmp_path: Path
) -> None:
    np.save(tmp_path / "mine.npy", crafted(smoke.out, "dhta"))
    scored(origin, trials, cache, tmp_path / "to", request(tmp_path / "mine.npy"))
    with pytest.raises(BaselineError, match="was made by other code"):
        checked("dhta", tmp_path / "to", against="theirs", only=[])
    with pytest.raises(BaselineError, match=r"theirs of .* is no attack of this program"):
        checked("theirs", tmp_path / "to", only=[])


def test_two_data_sets_of_one_name_are_two(smoke: SmokeRun) -> None:
    (one,) = (
        each
        for each in read_trials(smoke.out, ["t_map"])
        if (each.row["attack"], each.row["source"]) == ("dhta", SOURCE)
    )
    half = {"t_map": 0.5 * one.scores["t_map"]}

    def interval(**changes: str) -> tuple[float, float]:
        """Return that of two cells, the second on another data set."""
        moved = replace(one, row={**one.row, **changes})
        pairs = [
            Pair(each, replace(each, scores=scores))
            for each, scores in ((one, half), (moved, one.scores))
        ]
        found = compare("a", "b", pairs, metric="t_map", alpha=0.05, family=2)
        return found.low, found.high

    named = interval(dataset="other", dataset_fingerprint="f" * 64)
    assert interval(dataset_fingerprint="f" * 64) == named
    assert interval() != named


def test_junit_is_xml_whatever_an_exception_says(checked: Checker, tmp_path: Path) -> None:
    verdict = replace(checked("dhta"), outcome=Outcome.MISSING, sentence="\x1b[31mbad\x00 \udc80")
    write_junit([verdict], tmp_path / "junit.xml")
    error = ElementTree.parse(tmp_path / "junit.xml").getroot().find("testcase/error")
    assert error is not None
    assert error.get("message") == "?[31mbad? ?"


def test_a_file_that_cannot_be_written_is_told_before_anything_is_crafted(
    smoke: SmokeRun, cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    command = ["check", "--baseline", str(smoke.out), "--attack", "dhta", "--cache", str(cache)]
    command += ["--out", str(tmp_path / "out")]
    for junit in (tmp_path / "file" / "junit.xml", tmp_path):
        done = run_cli(*command, "--junit", str(junit))
        assert (done.returncode, str(junit) in done.stderr) == (2, True), done.stderr
        assert not (tmp_path / "out").exists()
