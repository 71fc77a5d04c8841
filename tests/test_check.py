"""Checks from end to end: planted bugs are caught and named, and exit codes say what they mean."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from hashattack.attacks.gradient import ProjectedGradient
from hashattack.attacks.target_codes import AnchorCode
from hashattack.benchmark.cli.main import app
from hashattack.benchmark.external.trials import Origin
from hashattack.benchmark.regression import check as check_module
from hashattack.benchmark.regression.baseline import BaselineError, read_baseline
from hashattack.benchmark.regression.candidates import CheckRequest, plan_candidates
from hashattack.benchmark.regression.check import check, check_stored
from hashattack.benchmark.regression.result import CheckResult, Outcome, Thresholds
from tests.checks import ONE, Checker
from tests.conftest import SmokeRun, run_cli
from tests.submissions import crafted, scored
from tests.submissions import request as submission_of


@pytest.fixture
def checked(smoke: SmokeRun, cache: Path, tmp_path: Path) -> Checker:
    return Checker(smoke.out, tmp_path / "out", cache)


def test_a_flipped_sign_is_caught(checked: Checker, monkeypatch: pytest.MonkeyPatch) -> None:
    def flipped(_: ProjectedGradient, outputs: Tensor, codes: Tensor) -> Tensor:
        return (outputs * codes).mean(dim=1)

    monkeypatch.setattr(ProjectedGradient, "loss", flipped)
    result = checked("dhta-ifgsm")
    assert result.outcome is Outcome.WORSE
    assert "dhta-ifgsm is worse than its baseline: t-MAP -" in result.sentence
    assert any("move away from the target code" in hint for hint in result.hints)


def test_target_codes_of_the_next_query_are_caught(
    checked: Checker, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = AnchorCode.codes
    monkeypatch.setattr(
        AnchorCode, "codes", lambda self, *seen: torch.roll(codes(self, *seen), -1, dims=0)
    )
    result = checked("dhta-ifgsm")
    assert result.outcome is Outcome.WORSE
    assert result.hints[0].startswith("its images retrieve the target label of the next query")
    assert "off by one row" in result.hints[0]


def test_pixels_that_are_not_projected_are_caught(
    checked: Checker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tensor, "clamp_", lambda self, *_: self)
    monkeypatch.setattr(Tensor, "clamp", lambda self, *_: self)
    result = checked("dhta-fgsm")
    assert result.outcome is Outcome.WORSE
    assert "pixels outside [0, 1]" in result.sentence


def test_a_failure_is_not_hidden_by_what_an_earlier_check_left(
    checked: Checker, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = checked("dhta-ifgsm")
    assert same.outcome is Outcome.HELD
    assert "scores as its baseline on every query" in same.sentence
    perturb = ProjectedGradient.perturb

    def fail(*_: object) -> None:
        raise ZeroDivisionError("planted")

    checked.trusted = False
    monkeypatch.setattr(ProjectedGradient, "perturb", fail)
    missing = checked("dhta-ifgsm")
    assert missing.outcome is Outcome.MISSING
    assert "have no result" in missing.sentence
    assert "planted" in missing.sentence
    monkeypatch.setattr(
        ProjectedGradient,
        "perturb",
        lambda self, batch, hasher, _: perturb(self, batch, hasher, None),
    )
    broken = checked("dhta-ifgsm")
    assert broken.outcome is Outcome.WORSE
    assert "is invalid on 1 of 1 cell" in broken.sentence
    assert "10.0000/255 exceeds the declared budget of 8.0000/255" in broken.sentence


def test_attacks_are_compared_with_others(checked: Checker) -> None:
    better = checked("dhta-ifgsm", against="dhta-fgsm", only=[])
    assert better.comparison.difference > 0
    assert len(better.comparison.cells) == 2
    worse = checked("noise", against="dhta-ifgsm", only=[])
    assert worse.outcome is Outcome.WORSE
    assert "worse than dhta-ifgsm" in worse.sentence
    hint, passes, *_ = checked("dhta-ifgsm", against="dhta").hints
    assert passes == "dhta-ifgsm takes 10 times the passes per image of dhta (200, dhta 20)"
    assert hint.startswith("dhta-ifgsm differs from dhta in rule sign (not l2)")
    assert "steps 100 (not 10)" in hint
    assert "epsilon" not in hint, "which both have"


def test_a_candidate_is_set_on_the_command_line(checked: Checker) -> None:
    result = checked("dhta", params={"steps": 2})
    assert "dhta differs from its baseline in steps 2 (not 10)" in result.hints
    assert result.comparison.difference < 0


def test_no_other_results_are_replaced(smoke: SmokeRun, cache: Path, tmp_path: Path) -> None:
    held = read_baseline(smoke.out, "t_map")
    request = CheckRequest(["dhta"], only=ONE)
    with pytest.raises(BaselineError, match="the baseline itself"):
        check(request, Thresholds(), held, out=smoke.out, cache=cache, run=print)
    copied = held.model_copy(update={"path": tmp_path})
    with pytest.raises(BaselineError, match="holds a run of 'smoke', which a check would replace"):
        check(request, Thresholds(), copied, out=smoke.out, cache=cache, run=print)


def test_other_seeds_are_added_to_the_suite_s(smoke: SmokeRun, cache: Path, tmp_path: Path) -> None:
    held = read_baseline(smoke.out, "t_map")
    moved = held.model_copy(update={"suite": {**held.suite, "reseed": 3}})
    plan = plan_candidates(CheckRequest(["dhta"], only=ONE, reseed=2), moved, tmp_path, cache)
    assert [cell.row["attack_seed"] for cell in plan.cells] == [5]


def test_what_other_code_made_is_compared(
    origin: Origin, trials: Path, cache: Path, smoke: SmokeRun, tmp_path: Path
) -> None:
    np.save(tmp_path / "mine.npy", crafted(smoke.out, "dhta-fgsm"))
    to = tmp_path / "to"
    scored(origin, trials, cache, to, submission_of(tmp_path / "mine.npy"))
    held = read_baseline(smoke.out, "t_map")

    def compared(**changes: object) -> CheckResult:
        request = CheckRequest(["theirs"], **{"only": ONE, **changes})  # type: ignore[arg-type]
        (found,) = check_stored(request, Thresholds(), held, to)
        return found

    same = compared(against="dhta-fgsm")
    assert same.comparison.low == same.comparison.high == 0
    other = compared(against="dhta").comparison
    ours, theirs = (
        np.mean(held.cells_of(name, ONE)[0].scores["t_map"]) for name in ("dhta-fgsm", "dhta")
    )
    assert other.difference == pytest.approx(ours - theirs, abs=1e-6)
    with pytest.raises(BaselineError, match="has no theirs on DPSH-Tiny-12, seeds 0/0"):
        compared(against="dhta", only=[])
    with pytest.raises(BaselineError, match=r"--attack thiers .* did you mean 'theirs'"):
        check_stored(CheckRequest(["thiers"]), Thresholds(), held, to)
    command = ("check", "--baseline", str(smoke.out), "--candidate", str(to), "--attack", "theirs")
    done = run_cli(*command, "--against", "dhta-fgsm", "--only", *ONE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "theirs scores as dhta-fgsm on every query" in done.stdout
    # As a baseline the folder says what to name instead.
    theirs_ = Checker(to, tmp_path / "out", cache)
    with pytest.raises(BaselineError, match="was made by other code"):
        theirs_("dhta", against="theirs", only=[])
    with pytest.raises(BaselineError, match=r"theirs of .* is no attack of this program"):
        theirs_("theirs", only=[])


# -- the command ---------------------------------------------------------------------------


def test_the_command_exits_with_the_outcome(smoke: SmokeRun, cache: Path, tmp_path: Path) -> None:
    command = ["check", "--baseline", str(smoke.out), "--attack", "dhta-f*", "--attack", "original"]
    command += ["--out", str(tmp_path / "out"), "--cache", str(cache), "--only", *ONE]
    files = [tmp_path / "result.json", tmp_path / "junit.xml"]
    done = run_cli(*command, "--json", str(files[0]), "--junit", str(files[1]))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "dhta-fgsm scores as its baseline on every query" in done.stdout
    content = json.loads(files[0].read_text(encoding="utf-8"))
    assert (content["outcome"], content["exit_code"]) == ("held", 0)
    assert [one["attack"] for one in content["attacks"]] == ["dhta-fgsm", "original"]
    suite = ElementTree.parse(files[1]).getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "0", "0")
    again = run_cli(*command)
    assert "craft DHTA+FGSM" not in again.stdout, "today's code crafted it already"


def test_a_plugin_is_checked_against_a_built_in_attack(
    smoke: SmokeRun, cache: Path, tmp_path: Path
) -> None:
    plugin = tmp_path / "wild.py"
    CliRunner().invoke(app, ["new", "attack", "wild", "--to", str(tmp_path)])
    text = plugin.read_text(encoding="utf-8")
    plugin.write_text(text.replace("-self.weight *", "self.weight *"), encoding="utf-8")
    command = ["check", "--baseline", str(smoke.out), "--cache", str(cache), "--only", *ONE]
    command += ["--out", str(tmp_path / "out"), "--plugin", str(plugin), "--attack", "wild"]
    done = run_cli(*command, "--against", "dhta", "--junit", str(tmp_path / "junit.xml"))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "wild is worse than dhta" in done.stdout
    assert "as with a flipped sign" in done.stdout
    failure = ElementTree.parse(tmp_path / "junit.xml").getroot().find("testcase/failure")
    assert failure is not None
    assert "wild is worse than dhta" in str(failure.get("message"))


def test_mistakes_on_the_command_line_cost_nothing(
    smoke: SmokeRun, cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    command = ["check", "--baseline", str(smoke.out), "--cache", str(cache), "--attack", "dhta"]
    command += ["--out", str(tmp_path / "out")]
    below, folder = tmp_path / "file" / "junit.xml", tmp_path
    for wrong, text in (
        (["--junit", str(below)], str(below)),
        (["--junit", str(folder)], str(folder)),
        (["--metric", "tmap"], "unknown metric 'tmap'; did you mean 't_map'?"),
        (["--against", "tha"], "has no cells of 'tha'"),
        (["--only", "source=nothing"], "matches no cell of dhta"),
        (["--attack", "dhtb"], "unknown attack 'dhtb'; did you mean 'dhta'?"),
        (["--attack", "x*"], "--attack x* matches no attack of"),
        (["--candidate", str(smoke.out), "--param", "steps=1"], "crafts nothing"),
    ):
        done = CliRunner().invoke(app, [*command, *wrong])
        assert (done.exit_code, text in done.stderr) == (2, True), (wrong, done.stderr)
        assert not (tmp_path / "out").exists()


def test_an_accident_never_looks_like_a_result(
    smoke: SmokeRun, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["check", "--baseline", str(smoke.out), "--attack", "dhta", "--cache", str(cache)]
    command += ["--out", str(tmp_path)]

    def ends_with(error: BaseException) -> int:
        def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(check_module, "check", fail)
        return CliRunner().invoke(app, command).exit_code

    assert ends_with(ZeroDivisionError("planted")) == 70
    assert ends_with(SystemExit(0)) == 70
    assert ends_with(OSError("without a name")) == 70
    assert ends_with(KeyboardInterrupt()) == 130
    assert ends_with(BaselineError("a user's")) == 2
