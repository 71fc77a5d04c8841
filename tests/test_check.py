"""Checks: planted bugs are caught and named, and exit codes say what they mean."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from hashattack.attacks.gradient import ProjectedGradient
from hashattack.attacks.target_codes import AnchorCode
from hashattack.benchmark.cli.main import app
from hashattack.benchmark.regression import checking
from hashattack.benchmark.regression.baseline import BaselineError, read_baseline
from hashattack.benchmark.regression.candidate import candidates
from hashattack.benchmark.regression.checking import check
from hashattack.benchmark.regression.question import Question, references
from hashattack.benchmark.regression.verdict import Demands, Outcome
from tests.checks import ONE, Checker
from tests.conftest import SmokeRun, run_cli


@pytest.fixture
def checked(smoke: SmokeRun, cache: Path, tmp_path: Path) -> Checker:
    return Checker(smoke.out, tmp_path / "out", cache)


def test_an_unchanged_attack_scores_the_same_on_every_query(checked: Checker) -> None:
    verdict = checked("dhta-ifgsm")
    assert verdict.outcome is Outcome.HELD
    assert "scores as its baseline on every query" in verdict.sentence
    assert verdict.comparison.difference == verdict.comparison.low == verdict.comparison.high == 0


def test_a_flipped_sign_is_caught(checked: Checker, monkeypatch: pytest.MonkeyPatch) -> None:
    def flipped(_: ProjectedGradient, outputs: Tensor, codes: Tensor) -> Tensor:
        return (outputs * codes).mean(dim=1)

    monkeypatch.setattr(ProjectedGradient, "loss", flipped)
    verdict = checked("dhta-ifgsm")
    assert verdict.outcome is Outcome.WORSE
    assert "dhta-ifgsm is worse than its baseline: t-MAP -" in verdict.sentence
    assert any("moves away from the target code" in hint for hint in verdict.hints)


@pytest.mark.parametrize(
    ("taken", "told"),
    [
        (9 / 255, "9.0000/255 exceeds the declared budget of 8.0000/255"),  # a budget too large
        (None, "10.0000/255 exceeds the declared budget of 8.0000/255"),  # no projection
    ],
)
def test_a_broken_budget_is_caught(
    checked: Checker, monkeypatch: pytest.MonkeyPatch, taken: float | None, told: str
) -> None:
    perturb = ProjectedGradient.perturb
    monkeypatch.setattr(
        ProjectedGradient,
        "perturb",
        lambda self, batch, hasher, _: perturb(self, batch, hasher, taken),
    )
    verdict = checked("dhta-ifgsm")
    assert verdict.outcome is Outcome.WORSE
    assert "breaks its promise on 1 of 1 cell" in verdict.sentence
    assert told in verdict.sentence


def test_pixels_that_are_not_projected_are_caught(
    checked: Checker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tensor, "clamp_", lambda self, *_: self)
    monkeypatch.setattr(Tensor, "clamp", lambda self, *_: self)
    verdict = checked("dhta-fgsm")
    assert verdict.outcome is Outcome.WORSE
    assert "pixels outside [0, 1]" in verdict.sentence


def test_target_codes_of_the_next_query_are_caught(
    checked: Checker, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = AnchorCode.codes
    monkeypatch.setattr(
        AnchorCode, "codes", lambda self, *seen: torch.roll(codes(self, *seen), -1, dims=0)
    )
    verdict = checked("dhta-ifgsm")
    assert verdict.outcome is Outcome.WORSE
    assert verdict.hints[0].startswith("its images retrieve the target label of the next query")
    assert "off by one row" in verdict.hints[0]


def test_a_larger_declared_budget_is_no_equal_comparison(
    checked: Checker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hashattack.attacks.published.EPSILON", 9 / 255)
    verdict = checked("dhta-fgsm")
    assert verdict.outcome is Outcome.WORSE
    assert "it declares a budget of 9/255 where the reference has 8/255" in verdict.sentence


def test_attacks_are_compared_with_others(checked: Checker) -> None:
    better = checked("dhta-ifgsm", against="dhta-fgsm", only=[])
    assert better.comparison.difference > 0
    assert len(better.comparison.cells) == 2
    worse = checked("noise", against="dhta-ifgsm", only=[])
    assert worse.outcome is Outcome.WORSE
    assert "worse than dhta-ifgsm" in worse.sentence


def test_a_failed_cell_is_no_verdict(checked: Checker, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(ProjectedGradient, "perturb", fail)
    verdict = checked("dhta-ifgsm")
    assert verdict.outcome is Outcome.MISSING
    assert "have no result" in verdict.sentence
    assert "planted" in verdict.sentence


def test_a_failure_is_not_hidden_by_what_an_earlier_check_left(
    checked: Checker, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checked("dhta-ifgsm").outcome is Outcome.HELD
    perturb = ProjectedGradient.perturb

    def fail(*_: object) -> None:
        raise ZeroDivisionError("planted")

    checked.trusted = False
    monkeypatch.setattr(ProjectedGradient, "perturb", fail)
    assert checked("dhta-ifgsm").outcome is Outcome.MISSING
    monkeypatch.setattr(
        ProjectedGradient,
        "perturb",
        lambda self, batch, hasher, _: perturb(self, batch, hasher, 9 / 255),
    )
    assert checked("dhta-ifgsm").outcome is Outcome.WORSE


def test_the_baseline_is_not_written_over(smoke: SmokeRun, cache: Path, tmp_path: Path) -> None:
    held = read_baseline(smoke.out, "t_map")
    question = Question(["dhta"], only=ONE)
    with pytest.raises(BaselineError, match="the baseline itself"):
        check(question, Demands(), held, out=smoke.out, cache=cache, run=lambda *_: None)


def test_another_run_is_not_written_over(checked: Checker, smoke: SmokeRun, cache: Path) -> None:
    held = replace(read_baseline(smoke.out, "t_map"), folder=None)
    with pytest.raises(BaselineError, match="holds a run of 'smoke', whose rows"):
        check(Question(["dhta"]), Demands(), held, out=smoke.out, cache=cache, run=print)
    assert checked("dhta").outcome is Outcome.HELD, "and what an earlier check made is"
    assert checked("dhta").outcome is Outcome.HELD


def test_other_seeds_are_added_to_the_suite_s(smoke: SmokeRun, cache: Path) -> None:
    held = read_baseline(smoke.out, "t_map")
    moved = replace(held, suite=held.suite.model_copy(update={"reseed": 3}))
    question = Question(["dhta"], only=ONE, reseed=2)
    asked = candidates(question, moved, references(question, moved), cache)
    assert [cell.row["attack_seed"] for cell in asked.plan.cells] == [5]


# -- the command ---------------------------------------------------------------------------


def test_the_command_ends_with_the_verdict(smoke: SmokeRun, cache: Path, tmp_path: Path) -> None:
    asked = ["check", "--baseline", str(smoke.out), "--attack", "dhta-f*", "--attack", "original"]
    asked += ["--out", str(tmp_path / "out"), "--cache", str(cache), "--only", *ONE]
    files = [tmp_path / "verdict.json", tmp_path / "junit.xml"]
    done = run_cli(*asked, "--json", str(files[0]), "--junit", str(files[1]))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "dhta-fgsm scores as its baseline on every query" in done.stdout
    told = json.loads(files[0].read_text(encoding="utf-8"))
    assert (told["outcome"], told["exit_code"]) == ("held", 0)
    assert [one["attack"] for one in told["attacks"]] == ["dhta-fgsm", "original"]
    suite = ElementTree.parse(files[1]).getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "0", "0")
    again = run_cli(*asked)
    assert "craft DHTA+FGSM" not in again.stdout, "today's code crafted it already"


def test_a_plugin_is_checked_against_a_built_in_attack(
    smoke: SmokeRun, cache: Path, tmp_path: Path
) -> None:
    plugin = tmp_path / "wild.py"
    run_cli("new", "attack", "wild", "--to", str(tmp_path))
    text = plugin.read_text(encoding="utf-8")
    plugin.write_text(text.replace("-self.weight *", "self.weight *"), encoding="utf-8")
    asked = ["check", "--baseline", str(smoke.out), "--cache", str(cache), "--only", *ONE]
    asked += ["--out", str(tmp_path / "out"), "--plugin", str(plugin), "--attack", "wild"]
    lost = run_cli(*asked)
    assert lost.returncode == 2
    assert "has no cells of 'wild'" in lost.stderr
    assert "name one of them with --against" in lost.stderr
    done = run_cli(*asked, "--against", "dhta", "--junit", str(tmp_path / "junit.xml"))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "wild is worse than dhta" in done.stdout
    assert "as with a flipped sign" in done.stdout
    failure = ElementTree.parse(tmp_path / "junit.xml").getroot().find("testcase/failure")
    assert failure is not None
    assert "wild is worse than dhta" in str(failure.get("message"))


def test_an_accident_never_looks_like_a_verdict(
    smoke: SmokeRun, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["check", "--baseline", str(smoke.out), "--attack", "dhta", "--cache", str(cache)]
    asked += ["--out", str(tmp_path)]

    def ends_with(error: BaseException) -> int:
        def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(checking, "check", fail)
        return CliRunner().invoke(app, asked).exit_code

    assert ends_with(ZeroDivisionError("planted")) == 70
    assert ends_with(SystemExit(0)) == 70
    assert ends_with(OSError("without a name")) == 70
    assert ends_with(KeyboardInterrupt()) == 130
    assert ends_with(BaselineError("a user's")) == 2
