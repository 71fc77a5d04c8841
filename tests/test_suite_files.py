"""Suite files: relative paths start beside them; what is no suite is refused in a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hashattack.benchmark.plan.plan import make_plan
from hashattack.benchmark.suites.loading import load_suite
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.datasets.base import DatasetError
from hashattack.targets.backbones import TargetError
from tests.conftest import small_suite


def write(path: Path, **changes: Any) -> str:
    """Write a small suite with some keys changed, and return its path."""
    content = {**small_suite().model_dump(exclude_unset=True), **changes}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


TARGET = {"method": "DPSH", "backbone": "Tiny", "bits": 12}
PHOTOS = {"dataset": "folder", "params": {"root": "../photos", "images": "img"}}


def test_paths_of_a_file_start_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = {**TARGET, "weights": "tiny.pth", "checkpoint": "made/{bits}.safetensors"}
    file = write(tmp_path / "suites/mine.yaml", datasets=[PHOTOS], targets=[target])
    monkeypatch.chdir(tmp_path)
    suite = load_suite("suites/mine.yaml")
    assert suite == load_suite(file)
    here = f"{tmp_path}/suites"
    assert suite.datasets[0].params == {"root": f"{here}/../photos", "images": f"{here}/img"}
    assert suite.targets[0].weights == f"{here}/tiny.pth"
    assert suite.targets[0].checkpoint == f"{here}/made/{{bits}}.safetensors"


def test_a_key_of_another_file_starts_beside_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = {**TARGET, "weights": "tiny.pth"}
    write(tmp_path / "parts/one.yaml", datasets=[PHOTOS], targets=[target])
    recipe = {"checkpoint": "made.safetensors"}
    write_scale = {"targets": {"*": recipe}, "datasets": {"folder": {"images": "img"}}}
    (tmp_path / "scale.yaml").write_text(yaml.safe_dump(write_scale))
    photos = {"dataset": "folder", "params": {"root": "mine"}}
    including = {"include": ["parts/one.yaml"], "scale": "scale.yaml", "datasets": [photos]}
    (tmp_path / "whole.yaml").write_text(yaml.safe_dump(including))
    monkeypatch.chdir("/")
    (part,) = load_suite(str(tmp_path / "whole.yaml")).parts
    assert part.datasets[0].params == {"root": f"{tmp_path}/mine", "images": f"{tmp_path}/img"}
    assert part.targets[0].weights == f"{tmp_path}/parts/tiny.pth"
    assert part.targets[0].checkpoint == f"{tmp_path}/made.safetensors"


def test_paths_of_the_command_and_of_shipped_suites_start_where_we_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "suites/mine.yaml", datasets=[{"dataset": "folder"}])
    (tmp_path / "own.yaml").write_text("suite: {gallery: 7}")
    monkeypatch.chdir(tmp_path)
    suite = load_suite(file, {"scale": "own.yaml"}, values={"weights": "tiny.pth"})
    assert suite.gallery == 7
    assert suite.targets[0].weights == f"{tmp_path}/tiny.pth"
    assert suite.datasets[0].params["root"] == f"{tmp_path}/data/folder"
    elsewhere = load_suite(file, data_root=Path("/photos"))
    assert elsewhere.datasets[0].params["root"] == "/photos/folder"
    (one,) = load_suite("table3").datasets
    assert one.params["root"] == f"{tmp_path}/data/NUS-WIDE"
    assert load_suite("table3").targets[0].weights == "imagenet"


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"datasets": [PHOTOS]}, DatasetError, "no split lists in {0}/photos"),
        ({"targets": [{**TARGET, "weights": "w.pth"}]}, TargetError, "no file {0}/suites/w.pth"),
        (
            {"targets": [{**TARGET, "checkpoint": "{bits}.pth"}]},
            SuiteError,
            "no file {0}/suites/12.pth",
        ),
        ({"include": "other.yaml"}, SuiteError, "{0}/suites/other.yaml: No such file"),
        ({"scale": "other.yaml"}, SuiteError, "{0}/suites/other.yaml: No such file"),
    ],
)
def test_an_error_says_where_it_looked(
    changes: dict[str, Any], error: type[Exception], text: str, cache: Path, tmp_path: Path
) -> None:
    file = write(tmp_path / "suites/mine.yaml", **changes)
    with pytest.raises(error) as caught:
        make_plan(load_suite(file), cache)
    assert text.format(tmp_path) in str(caught.value)
