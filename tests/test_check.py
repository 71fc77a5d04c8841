"""Checks: planted bugs are caught and named, exit codes say what they mean, files are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

import run_benchmark
from attacks.gradient import GradientLoop
from attacks.protocols import PROTOCOLS
from attacks.target_codes import AnchorCode
from benchmark.adoption import PREPARED
from benchmark.jobs import Job
from benchmark.manifest import write_manifest
from benchmark.plan import Plan
from benchmark.regression import checking
from benchmark.regression.baseline import BaselineError, freeze_folder, read_baseline
from benchmark.regression.candidate import Question, candidates, references
from benchmark.regression.checking import check
from benchmark.regression.frozen import FrozenError, read_frozen
from benchmark.regression.verdict import Demands, Outcome, Verdict
from benchmark.store import read_json, write_json
from tests.conftest import InlineEngine, SmokeRun, run_cli, run_jobs

ONE = ["source=DPSH-Tiny-32"]
DEMANDS = Demands()
TRUSTED = True  # what an earlier check in the folder crafted


@pytest.fixture
def checked(smoke: SmokeRun, cache: Path, tmp_path: Path) -> Callable[..., Verdict]:
    """Return what checks one attack in this process, where a test can plant a bug."""

    def trusts(job: Job, _: object) -> bool:
        return TRUSTED or job.ref.stage in PREPARED

    def run(whole: Plan, plan: Plan) -> None:
        write_manifest(whole, tmp_path / "out")
        run_jobs(plan.jobs, tmp_path / "out", InlineEngine(), None, cache, trusts=trusts)

    def checked(
        attack: str,
        baseline: Path = smoke.out,
        only: Sequence[str] = ONE,
        demands: Demands = DEMANDS,
        **changes: Any,
    ) -> Verdict:
        question = replace(Question([attack], only=only), **changes)
        held = read_baseline(baseline, question.metric, retrained=question.retrained)
        found = check(question, demands, held, out=tmp_path / "out", cache=cache, run=run)
        assert len(found) == 1
        return found[0]

    return checked


Checked = Callable[..., Verdict]


def test_an_unchanged_attack_scores_the_same_on_every_query(checked: Checked) -> None:
    verdict = checked("dhta-ifgsm")
    assert verdict.outcome is Outcome.HELD
    assert "scores as its baseline on every query" in verdict.sentence
    assert verdict.comparison.difference == verdict.comparison.low == verdict.comparison.high == 0


def test_a_flipped_sign_is_caught(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    def flipped(_: GradientLoop, outputs: Tensor, codes: Tensor) -> Tensor:
        return (outputs * codes).mean(dim=1)

    monkeypatch.setattr(GradientLoop, "loss", flipped)
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
    checked: Checked, monkeypatch: pytest.MonkeyPatch, taken: float | None, told: str
) -> None:
    perturb = GradientLoop.perturb
    monkeypatch.setattr(
        GradientLoop, "perturb", lambda self, batch, hasher, _: perturb(self, batch, hasher, taken)
    )
    verdict = checked("dhta-ifgsm")
    assert verdict.outcome is Outcome.WORSE
    assert "breaks its promise on 1 of 1 cell" in verdict.sentence
    assert told in verdict.sentence


def test_pixels_that_are_not_projected_are_caught(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tensor, "clamp_", lambda self, *_: self)
    monkeypatch.setattr(Tensor, "clamp", lambda self, *_: self)
    verdict = checked("dhta-fgsm")
    assert verdict.outcome is Outcome.WORSE
    assert "pixels outside [0, 1]" in verdict.sentence


def test_target_codes_of_the_next_query_are_caught(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
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
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attacks.published.EPSILON", 9 / 255)
    verdict = checked("dhta-fgsm")
    assert verdict.outcome is Outcome.WORSE
    assert "it declares a budget of 9/255 where the reference has 8/255" in verdict.sentence


def test_attacks_are_compared_with_others(checked: Checked) -> None:
    better = checked("dhta-ifgsm", against="dhta-fgsm", only=[])
    assert better.comparison.difference > 0
    assert len(better.comparison.cells) == 2
    worse = checked("noise", against="dhta-ifgsm", only=[])
    assert worse.outcome is Outcome.WORSE
    assert "worse than dhta-ifgsm" in worse.sentence


def test_a_failed_cell_is_no_verdict(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(GradientLoop, "perturb", fail)
    verdict = checked("dhta-ifgsm")
    assert verdict.outcome is Outcome.MISSING
    assert "have no result" in verdict.sentence
    assert "planted" in verdict.sentence


def test_a_failure_is_not_hidden_by_what_an_earlier_check_left(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checked("dhta-ifgsm").outcome is Outcome.HELD
    perturb = GradientLoop.perturb

    def fail(*_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("tests.test_check.TRUSTED", False)
    monkeypatch.setattr(GradientLoop, "perturb", fail)
    assert checked("dhta-ifgsm").outcome is Outcome.MISSING
    monkeypatch.setattr(
        GradientLoop,
        "perturb",
        lambda self, batch, hasher, _: perturb(self, batch, hasher, 9 / 255),
    )
    assert checked("dhta-ifgsm").outcome is Outcome.WORSE


def test_times_that_cannot_be_compared_are_no_pass(
    checked: Checked, frozen: Path, smoke: SmokeRun
) -> None:
    demands = Demands(max_slowdown=1)
    verdict = checked("dhta-ifgsm", frozen, demands=demands)
    assert verdict.outcome is Outcome.UNDECIDED
    assert "its time cannot be compared" in verdict.sentence
    assert checked("dhta-ifgsm", demands=Demands(max_slowdown=1e9)).outcome is Outcome.HELD


def test_the_baseline_is_not_written_over(smoke: SmokeRun, cache: Path, tmp_path: Path) -> None:
    held = read_baseline(smoke.out, "t_map")
    question = Question(["dhta"], only=ONE)
    with pytest.raises(BaselineError, match="the baseline itself"):
        check(question, Demands(), held, out=smoke.out, cache=cache, run=lambda *_: None)


def test_other_seeds_are_added_to_the_suite_s(smoke: SmokeRun, cache: Path) -> None:
    held = read_baseline(smoke.out, "t_map")
    moved = replace(held, suite=held.suite.model_copy(update={"reseed": 3}))
    question = Question(["dhta"], only=ONE, reseed=2)
    asked = candidates(question, moved, references(question, moved), cache)
    assert [cell.row["attack_seed"] for cell in asked.plan.cells] == [5]


# -- files ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def frozen(smoke: SmokeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a frozen baseline with its targets beside it. Tests that change it copy it."""
    file = tmp_path_factory.mktemp("frozen") / "base.json"
    freeze_folder(smoke.out, file, metrics=["t_map", "map"], only=["attack=dhta*"], targets=True)
    return file


def edited(frozen: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Return a copy of a baseline with something changed."""
    copied = folder / "copied"
    shutil.copytree(frozen.parent, copied)
    content = read_json(copied / frozen.name)
    assert content is not None
    change(content)
    write_json(copied / frozen.name, content, ordered=True)
    return copied / frozen.name


def test_a_file_gives_the_verdict_of_its_folder(
    checked: Checked, frozen: Path, smoke: SmokeRun
) -> None:
    verdict = checked("dhta-ifgsm", frozen)
    assert verdict.outcome is Outcome.HELD
    assert verdict.comparison.low == verdict.comparison.high == 0
    assert verdict.comparison.cells[0].reference == pytest.approx(
        read_baseline(smoke.out, "t_map").of("dhta-ifgsm", ONE)[0].scores["t_map"].mean()
    )


def test_a_file_is_small_and_a_line_a_cell(frozen: Path) -> None:
    lines = frozen.read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith('{"row": ') for line in lines) == len(read_frozen(frozen).cells) == 6
    assert frozen.stat().st_size < 30_000
    assert len(read_frozen(frozen).targets) == 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda content: content["protocols"]["released"].update(hamming_weight=4.0),
            "protocol released: hamming_weight was 4.0 and is 5.0",
        ),
        (
            lambda content: [
                cell["row"].update(dataset_fingerprint="f" * 64) for cell in content["cells"]
            ],
            "data set digits, dhta-ifgsm: fingerprint ffffffffffff then, ",
        ),
        (
            lambda content: [cell.update(source="e" * 64) for cell in content["cells"]],
            "checkpoint DPSH-Tiny-32 (training 0): eeeeeeeeeeee then",
        ),
        (
            lambda content: [cell.update(draw="d" * 64) for cell in content["cells"]],
            "the frequent target labels of draw seed 0 are others",
        ),
    ],
    ids=["protocol", "fingerprint", "checkpoint", "draw"],
)
def test_a_baseline_of_other_trials_is_refused_with_the_difference(
    checked: Checked, frozen: Path, tmp_path: Path, change: Callable[[Any], None], told: str
) -> None:
    with pytest.raises(BaselineError) as caught:
        checked("dhta-ifgsm", edited(frozen, tmp_path, change))
    assert told in str(caught.value)


def test_retrained_targets_are_compared_without_pairs(
    checked: Checked, frozen: Path, tmp_path: Path
) -> None:
    def other(content: dict[str, Any]) -> None:
        for number, cell in enumerate(content["cells"]):
            cell.update(source=f"{number:064d}", victim=f"{number:064d}")

    file = edited(frozen, tmp_path, other)
    verdict = checked("dhta-ifgsm", file, only=[], retrained=True)
    assert verdict.comparison.retrained
    assert all(np.isnan(cell.p) for cell in verdict.comparison.cells)
    assert verdict.comparison.low < 0 < verdict.comparison.high
    assert verdict.outcome is Outcome.UNDECIDED


def test_a_file_that_is_none_says_so(frozen: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}", encoding="utf-8")
    for text, told in (("{", "no JSON"), ("{}", "no baseline"), ('{"cells": 1}', "suite")):
        other.write_text(text, encoding="utf-8")
        with pytest.raises(FrozenError, match=told):
            read_frozen(other)
    with pytest.raises(BaselineError, match=r"keeps map, t_map, not perceptibility"):
        read_baseline(frozen, "perceptibility")
    with pytest.raises(BaselineError, match="it has dhta, dhta-fgsm, dhta-ifgsm: name one"):
        read_baseline(frozen, "t_map").of("p2p", [])


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
    assert "14 cached" not in done.stdout
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
        return CliRunner().invoke(run_benchmark.app, asked).exit_code

    assert ends_with(ZeroDivisionError("planted")) == 70
    assert ends_with(SystemExit(0)) == 70
    assert ends_with(OSError("without a name")) == 70
    assert ends_with(KeyboardInterrupt()) == 130
    assert ends_with(BaselineError("a user's")) == 2


def test_freezing_keeps_what_is_asked_for(smoke: SmokeRun, cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "base.json"
    asked = ["--only", "attack=p2p,source=*-12", "--metric", "map", "--targets"]
    done = run_cli("freeze", str(smoke.out), str(file), *asked)
    assert done.returncode == 0, done.stderr
    assert "wrote 1 cells" in done.stdout
    assert [file.name for file in (tmp_path / "base-targets").iterdir()] == [
        "digits-DPSH-Tiny-12-0.safetensors"
    ]
    held = read_baseline(file, "map")  # of the suite's targets only one has weights here
    question = Question(["p2p"], metric="map")
    asked_for = candidates(question, held, references(question, held), cache)
    assert [cell.row["source"] for cell in asked_for.plan.cells] == ["DPSH-Tiny-12"]
    assert {name for cell in read_frozen(file).cells for name in cell.scores} == {"map"}
    assert set(read_frozen(file).protocols) == {"released"} <= set(PROTOCOLS)
    nothing = run_cli("freeze", str(smoke.out), str(file), "--only", "attack=nothing")
    assert nothing.returncode == 2
    assert "nothing of" in nothing.stderr
