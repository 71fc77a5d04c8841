"""Trackers get settings, the metrics of every cell and files of the report; they break no run.

Their libraries are heavy, so stand-ins take their calls here; each was tried with the real one.
"""

from __future__ import annotations

import shutil
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch.utils
from PIL import Image

from hashattack.attacks.libraries import LibraryError
from hashattack.benchmark import tracking
from hashattack.benchmark.progress.events import Event
from hashattack.benchmark.results.frame import load_results
from hashattack.benchmark.results.manifest import read_manifest
from tests.conftest import SmokeRun, run_cli

Calls = list[tuple[str, tuple[Any, ...], dict[str, Any]]]


class StandIn(ModuleType):
    """A module, and an object, that keeps its calls."""

    def __init__(self, name: str, calls: Calls) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)
        self.calls = calls

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> StandIn:
            self.calls.append((name, arguments, named))
            return self

        return call


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Put stand-ins in the place of all libraries, and return their calls."""
    found: Calls = []
    for name in ("wandb", "tensorboard", "mlflow", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, StandIn(name, found))
    writer = sys.modules["torch.utils.tensorboard"]
    monkeypatch.setattr(torch.utils, "tensorboard", writer, raising=False)
    return found


def logged(calls: Calls) -> dict[str, float]:
    """Return the metrics that a stand-in was given, by name."""
    values: dict[str, float] = {}
    for name, arguments, _ in calls:
        if name in ("log", "log_metrics"):
            values |= arguments[0]
        elif name == "add_scalar":
            values[arguments[0]] = arguments[1]
    values.pop("draw", None)
    return values


@pytest.mark.parametrize("name", ["wandb", "tensorboard", "mlflow"])
def test_a_run_is_tracked(
    name: tracking.TrackerName, calls: Calls, smoke: SmokeRun, cache: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "out"
    shutil.copytree(smoke.out, copied)
    places = ["--suite", "smoke", "--out", str(copied), "--cache", str(cache)]
    done = run_cli("run", *places, "--only", "attack=dhta", "--format", "csv", "--log", name)
    assert done.returncode == 0, done.stderr
    rows = load_results(copied).query("attack == 'dhta'")
    found = logged(calls)
    place = "dhta-steps-10-rule-l2"
    assert {key.rsplit("/", 1)[0] for key in found} == {f"{place}/{one}" for one in rows["source"]}
    for row in rows.to_dict("records"):
        for metric in ("t_map", "map", "perceptibility", "linf", "seconds_per_image"):
            assert found[f"{place}/{row['source']}/{metric}"] == row[metric]
    text = repr(calls)
    assert "smoke" in text
    assert "torch" in text
    assert "results.csv" in text
    assert calls[-1][0] in ("finish", "close", "end_run")
    names = [call[0] for call in calls]
    files = {"wandb": "save", "tensorboard": "add_text", "mlflow": "log_artifact"}
    assert names.index(files[name], 3) > max(
        at for at, one in enumerate(names) if one in ("log", "log_metrics", "add_scalar")
    )


@pytest.mark.parametrize("name", ["wandb", "tensorboard", "mlflow"])
def test_tables_and_pictures_are_kept(
    name: tracking.TrackerName, calls: Calls, smoke: SmokeRun, tmp_path: Path
) -> None:
    files = [tmp_path / "results.csv", tmp_path / "report" / "a.png", tmp_path / "report" / "b.svg"]
    (tmp_path / "report").mkdir()
    files[0].write_text("attack\n")
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(files[1])
    files[2].write_text("<svg/>")
    with tracking.Tracking(name, tmp_path, read_manifest(smoke.out), {"torch": "2"}) as tracked:
        calls.clear()
        tracked.keep([*files, tmp_path / "report" / "index.html"])
    kept = [call[1] for call in calls[:-1]]
    if name == "wandb":
        assert kept == [(str(file),) for file in files]
    elif name == "mlflow":
        places = (None, "report", "report")
        assert kept == [(str(file), place) for file, place in zip(files, places, strict=True)]
    else:
        assert [call[0] for call in calls] == ["add_text", "add_image", "close"]
        assert calls[1][1][1].shape == (4, 4, 3)


@pytest.mark.usefixtures("calls")
def test_names_hold_what_differs_between_cells(smoke: SmokeRun, tmp_path: Path) -> None:
    manifest = read_manifest(smoke.out)
    row = {**manifest["cells"][0]["row"], "variant": "", "attack": "dhta", "victim": "V"}
    cells = [{"row": {**row, "protocol": name}} for name in ("paper", "released")]
    tracked = tracking.Tracking("wandb", tmp_path, {**manifest, "cells": cells}, {})
    assert tracked.place(cells[0]["row"]) == f"paper/dhta/{row['source']}/V"


def test_a_tracker_that_fails_breaks_no_run(
    calls: Calls,
    smoke: SmokeRun,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    manifest = read_manifest(smoke.out)
    with tracking.Tracking("wandb", smoke.out, manifest, {}) as tracked:

        def lost(*_: Any) -> None:
            raise ConnectionError("no route")

        monkeypatch.setattr(tracking._Wandb, "log", lost)
        for cell in manifest["cells"]:

            class Job:
                stage, key = "score", cell["jobs"]["score"]

            tracked(Event("ended", Job()))  # type: ignore[arg-type]
    assert caplog.messages == ["the run is tracked no more: ConnectionError: no route"]
    assert [call[0] for call in calls] == ["init"]


def test_a_library_that_is_absent_or_refuses_is_a_sentence(
    calls: Calls, smoke: SmokeRun, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError("log in first")

    monkeypatch.setattr(sys.modules["wandb"], "init", refuse, raising=False)
    with pytest.raises(LibraryError, match="--log wandb: ValueError: log in first"):
        tracking.Tracking("wandb", tmp_path, read_manifest(smoke.out), {})
    monkeypatch.setitem(sys.modules, "wandb", None)
    done = run_cli("run", "--suite", "smoke", "--out", str(tmp_path / "out"), "--log", "wandb")
    assert done.returncode == 2
    assert "error: --log wandb needs wandb: pip install 'hashattack[wandb]'" in done.stderr
