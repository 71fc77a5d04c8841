"""Baselines as files: they say what their folder says, and refuse what is of other trials."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hashattack.attacks.protocols import PROTOCOLS
from hashattack.benchmark.regression.baseline import (
    BaselineError,
    freeze,
    read_baseline,
    read_file,
)
from hashattack.benchmark.regression.candidates import CheckRequest, plan_candidates
from hashattack.benchmark.regression.check import check_stored
from hashattack.benchmark.regression.result import Outcome, Thresholds
from hashattack.benchmark.results.manifest import read_manifest, write_manifest
from hashattack.benchmark.suites.sources import SuiteError
from tests.checks import ONE, Checker
from tests.conftest import SMALL_DIGITS, SmokeRun, run_cli, run_inline, small_suite


@pytest.fixture
def checked(smoke: SmokeRun, cache: Path, tmp_path: Path) -> Checker:
    return Checker(smoke.out, tmp_path / "out", cache)


@pytest.fixture(scope="session")
def frozen(smoke: SmokeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a frozen baseline with its targets beside it. Tests that change it copy it."""
    file = tmp_path_factory.mktemp("frozen") / "base.json"
    freeze(smoke.out, file, metrics=["t_map", "map"], only=["attack=dhta*"], targets=True)
    return file


def edited(frozen: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Return a copy of a baseline with something changed."""
    copied = folder / "copied"
    shutil.copytree(frozen.parent, copied)
    content = json.loads((copied / frozen.name).read_text(encoding="utf-8"))
    change(content)
    (copied / frozen.name).write_text(json.dumps(content), encoding="utf-8")
    return copied / frozen.name


def test_a_file_gives_the_result_of_its_folder(
    checked: Checker, frozen: Path, smoke: SmokeRun
) -> None:
    result = checked("dhta-ifgsm", frozen)
    assert result.outcome is Outcome.HELD
    assert result.comparison.low == result.comparison.high == 0
    (cell,) = read_baseline(smoke.out, "t_map").cells_of("dhta-ifgsm", ONE)
    assert result.comparison.cells[0].reference == pytest.approx(np.mean(cell.scores["t_map"]))
    timed = checked("dhta-ifgsm", frozen, thresholds=Thresholds(max_slowdown=1))
    assert timed.outcome is Outcome.UNDECIDED, "a file keeps no machine"


def test_a_file_is_small_and_a_line_a_cell(frozen: Path) -> None:
    lines = frozen.read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith('{"row": ') for line in lines) == len(read_file(frozen).cells) == 6
    assert frozen.stat().st_size < 30_000
    assert len(read_file(frozen).targets) == 2


@pytest.mark.parametrize(
    ("change", "text"),
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
            lambda content: [
                content["draws"].update({"d" * 64: content["draws"][cell["draw"]]})
                or cell.update(draw="d" * 64)
                for cell in content["cells"]
            ],
            "the frequent target labels of draw seed 0 are others",
        ),
    ],
    ids=["protocol", "fingerprint", "checkpoint", "draw"],
)
def test_a_baseline_of_other_trials_is_refused_with_the_difference(
    checked: Checker, frozen: Path, tmp_path: Path, change: Callable[[Any], None], text: str
) -> None:
    with pytest.raises(BaselineError) as caught:
        checked("dhta-ifgsm", edited(frozen, tmp_path, change))
    assert text in str(caught.value)


def test_retrained_targets_are_compared_without_pairs(
    checked: Checker, frozen: Path, tmp_path: Path
) -> None:
    def other(content: dict[str, Any]) -> None:
        for number, cell in enumerate(content["cells"]):
            cell.update(source=f"{number:064d}", victim=f"{number:064d}")

    result = checked("dhta-ifgsm", edited(frozen, tmp_path, other), retrained=True)
    assert result.comparison.retrained
    assert (result.comparison.low, result.comparison.high) == (-1, 1)
    assert result.outcome is Outcome.UNDECIDED


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda cell: cell["scores"]["t_map"].pop(), "cells[0].scores.t_map: 31 scores of 32"),
        (lambda cell: cell["scores"].update(t_map=[5.0] * 32), "cells[0].scores.t_map[0]"),
        (lambda cell: cell["scores"].update(t_map=["x"] * 32), "cells[0].scores.t_map[0]"),
        (lambda cell: cell.update(draw="d" * 64), "cells[0].draw: no such draw"),
        (lambda cell: cell["row"].pop("code_only"), "cells[0].row.code_only"),
        (lambda cell: cell["row"].update(epsilom=0.1), "cells[0].row.epsilom: unknown key"),
        (lambda cell: cell["row"].update(epsilon="8/255"), "cells[0].row.epsilon"),
        (lambda cell: cell["row"].update(status="fine"), "cells[0].row.status"),
        (lambda cell: cell["row"].update(params="{"), "cells[0].row.params: not a JSON object"),
        (lambda cell: cell["row"].update(params="[1]"), "cells[0].row.params: not a JSON object"),
        (lambda cell: cell["row"].update(protocol="own"), "cells[0].row.protocol: no such"),
    ],
)
def test_a_file_edited_by_hand_is_refused_with_the_place(
    frozen: Path, tmp_path: Path, change: Callable[[Any], None], text: str
) -> None:
    file = edited(frozen, tmp_path, lambda content: change(content["cells"][0]))
    with pytest.raises(BaselineError) as caught:
        read_file(file)
    assert text in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 12, "ten faults, how many more, what to do"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda suite: suite.pop("targets"), "a suite needs targets"),
        (lambda suite: suite.update(targets=[3]), "targets[0]: Input should be"),
        (lambda suite: suite.update(targets={"a": 1}), "targets[0].a: unknown key"),
        (lambda suite: suite["datasets"][0].update(dataset="gone"), "unknown data set 'gone'"),
    ],
)
def test_a_suite_edited_by_hand_is_refused_with_the_place(
    frozen: Path, tmp_path: Path, cache: Path, change: Callable[[Any], None], text: str
) -> None:
    held = read_baseline(
        edited(frozen, tmp_path, lambda content: change(content["suite"])), "t_map"
    )
    with pytest.raises(SuiteError) as caught:
        plan_candidates(CheckRequest(["dhta"]), held, tmp_path / "out", cache)
    assert text in str(caught.value)


def test_a_candidate_of_another_protocol_is_refused(
    smoke: SmokeRun, frozen: Path, tmp_path: Path
) -> None:
    (tmp_path / "store").symlink_to(smoke.out / "store")
    manifest = read_manifest(smoke.out)
    request, held = CheckRequest(["dhta"], only=ONE), read_baseline(frozen, "t_map")
    write_manifest(manifest, tmp_path)
    assert check_stored(request, Thresholds(), held, tmp_path)[0].outcome is Outcome.HELD
    manifest["protocols"]["released"]["hamming_weight"] = 4.0
    write_manifest(manifest, tmp_path)
    with pytest.raises(BaselineError, match=r"released: hamming_weight was 5\.0 and is 4\.0"):
        check_stored(request, Thresholds(), held, tmp_path)


def test_a_file_keeps_the_batches_of_its_run(frozen: Path, smoke: SmokeRun) -> None:
    there = read_baseline(smoke.out, "t_map").batches
    assert read_baseline(frozen, "t_map").batches == there
    assert {batch for _, _, batch in there} == {16}


def test_targets_of_two_data_sets_of_one_name_are_not_mixed_up(cache: Path, tmp_path: Path) -> None:
    suite = small_suite(
        datasets=[
            {"dataset": "digits", "params": {**SMALL_DIGITS, "n_train": n}} for n in (112, 120)
        ]
    )
    run_inline(suite, cache, tmp_path / "out")
    how: dict[str, Any] = {"metrics": ["t_map"], "targets": True}
    with pytest.raises(BaselineError, match=r"two trainings of digits-DPSH-Tiny-12-0"):
        freeze(tmp_path / "out", tmp_path / "both.json", only=[], **how)
    prints = {
        one.row["dataset_fingerprint"] for one in read_baseline(tmp_path / "out", "t_map").cells
    }
    assert len(prints) == 2
    for number, known in enumerate(sorted(prints)):
        file = tmp_path / f"{number}.json"
        frozen = freeze(tmp_path / "out", file, only=[f"dataset_fingerprint={known}"], **how)
        assert len(frozen.targets) == 1


def test_a_file_that_is_none_says_so(frozen: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}", encoding="utf-8")
    for content, text in (
        ("{", "Invalid JSON"),
        ("{}", "cells: Field required"),
        ('{"format": 2}', r"format: Input should be 4 \(got 2\)"),
    ):
        other.write_text(content, encoding="utf-8")
        with pytest.raises(BaselineError, match=rf"(?s){text}"):
            read_file(other)
    with pytest.raises(BaselineError, match=r"keeps map, t_map, not perceptibility"):
        read_baseline(frozen, "perceptibility")
    with pytest.raises(BaselineError, match="it has dhta, dhta-fgsm, dhta-ifgsm: name one"):
        read_baseline(frozen, "t_map").cells_of("p2p", [])


def test_freezing_keeps_what_is_asked_for(smoke: SmokeRun, cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "base.json"
    options = ["--only", "attack=p2p,source=*-12", "--metric", "map", "--targets"]
    done = run_cli("freeze", str(smoke.out), str(file), *options)
    assert done.returncode == 0, done.stderr
    assert "wrote 1 cell to" in done.stdout
    assert [file.name for file in (tmp_path / "base-targets").iterdir()] == [
        "digits-DPSH-Tiny-12-0.safetensors"
    ]
    held = read_baseline(file, "map")  # of the suite's targets only one has weights here
    plan = plan_candidates(CheckRequest(["p2p"], metric="map"), held, tmp_path / "out", cache)
    assert [cell.row["source"] for cell in plan.cells] == ["DPSH-Tiny-12"]
    assert {name for cell in read_file(file).cells for name in cell.scores} == {"map"}
    assert set(read_file(file).protocols) == {"released"} <= set(PROTOCOLS)
    nothing = run_cli("freeze", str(smoke.out), str(file), "--only", "attack=nothing")
    assert nothing.returncode == 2
    assert "that matches has a result" in nothing.stderr
