"""Suite files: relative paths start beside them; what is no suite is refused in a sentence."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml

from hashattack.benchmark.plan.plan import make_plan
from hashattack.benchmark.plan.request import RunRequest
from hashattack.benchmark.suites.loading import load_suite
from hashattack.benchmark.suites.sources import SuiteError, read_yaml
from hashattack.datasets.base import DatasetError, MissingDataError
from hashattack.datasets.errors import UserError
from hashattack.targets.backbones import TargetError
from tests.conftest import run_cli, small_suite


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


def test_all_missing_data_is_named_at_once(tmp_path: Path) -> None:
    changes = dict.fromkeys(("datasets", "scale", "protocols", "seeds"))
    request = RunRequest("paper", None, None, tmp_path, tmp_path / "data", changes)
    with pytest.raises(MissingDataError) as caught:
        request.plans("cpu")
    *each, remedy = str(caught.value).splitlines()
    for line, name in zip(each, ("FLICKR-25K", "NUS-WIDE", "MS-COCO"), strict=True):
        assert f"{name}: no split lists in {tmp_path}/data/{name}" in line
        assert "--data-root" in line
    assert "--dataset digits" in remedy


def test_devices_to_simulate_need_a_simulation() -> None:
    done = run_cli("plan", "--suite", "smoke", "--gpus", "8")
    assert done.returncode == 2
    assert "add --simulate" in done.stderr


def test_an_unknown_attack_hints_at_plug_ins() -> None:
    text = r"unknown attack 'mine'; there is .* \(--plugin FILE"
    with pytest.raises(UserError, match=text):
        load_suite("smoke", attacks=["mine"])
    with pytest.raises(UserError, match=text):
        small_suite(attacks="mine")


def bomb(line: str) -> str:
    """Return ten lines, each of which stands ten times in the next."""
    lines = [line.format(0, ", ".join(["x"] * 10))]
    lines += [line.format(n, ", ".join([f"*a{n - 1}"] * 10)) for n in range(1, 11)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: [1", r"line 1: not YAML of a suite: expected ',' or '\]'"),
        ("attacks: !!python/object/apply:os.system ['true']", "line 1: .* constructor for the tag"),
        ("queries: !!timestamp 2020-01-01", "constructor for the tag"),
        ("queries: 2020-01-01", r"queries: Input should be a valid integer.*'2020-01-01'"),
        (f"\nqueries: {10**30}", "line 2: .*a number beyond 64 bits"),
        (f"queries: {'9' * 5000}", "a number beyond 64 bits"),
        (f"queries: 0x{'f' * 90000}", "a number beyond 64 bits"),
        ("queries: 0x_", "a number beyond 64 bits, or none"),
        ("queries: !!bool maybe", "a number beyond 64 bits, or none"),
        ("params: {epsilon: .nan}", "a number beyond 64 bits, or none"),
        ("params: {epsilon: 1.0e+400}", "a number beyond 64 bits, or none"),
        ("params: {1: 2}", "params.*1"),
        ("1: 2", "1"),
        ("? [a]\n: b", "unhashable key"),
        ("a: *b", "undefined alias"),
        ("a: " + "[" * 500 + "]" * 500, "nested deeper than 30"),
        ("a: " + "{b: " * 500 + "}" * 500, "nested deeper than 30"),
        ("a: " + "- " * 500, "not YAML"),
        ("a: &a [*a]", "more than 10,000 values"),
        ("a: &a {b: *a}", "more than 10,000 values"),
        (bomb("a{0}: &a{0} [{1}]"), "more than 10,000 values"),
        (bomb("a{0}: &a{0} {{<<: [{1}]}}").replace("x, ", "{}, "), "more than 10,000 values"),
        ("a: [" + "1, " * 20_000 + "]", "more than 10,000 values"),
        ("a: " + "x" * 2_000_000, "more than 1,000,000 bytes"),
        ('description: "\\ud800"', "a control character"),
        ('description: "\\x1b[31m"', "a control character"),
        ("a: \x00", "unacceptable character #x0000"),
        ("- a list", "a suite is a mapping"),
        ("", "a suite is a mapping"),
        ("name: [a]", "name: Input should be a valid string"),
        ("include: []", "include names no suite"),
        ("include: {a: b}", "unknown suite"),
        ("scale: [mini]", "scale: Input should be a valid string"),
    ],
    ids=count(),
)
def test_what_is_no_suite_is_refused_with_the_place(text: str, fault: str, tmp_path: Path) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SuiteError, match=fault) as caught:
        load_suite(str(file))
    assert str(caught.value).startswith(str(file)) or "unknown suite" in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1", "cp1252"])
def test_another_encoding_is_named(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_bytes("name: Größe".encode(encoding))
    with pytest.raises(SuiteError, match=r"odd.yaml is not UTF-8 text .*; save it as UTF-8"):
        load_suite(str(tmp_path / "odd.yaml"))


def test_anchors_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    text = "\ufeffa: &r {b: 1}\nc: {<<: *r, d: 2020-01-01, e: [*r, on, ~, 1.5]}"
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    _, content = read_yaml(str(tmp_path / "a.yaml"), "suite")
    assert content["c"] == {"b": 1, "d": "2020-01-01", "e": [{"b": 1}, True, None, 1.5]}
