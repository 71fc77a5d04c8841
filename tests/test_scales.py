"""Suites that include others, scales that fill them, and the paper's plan on the digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hashattack.benchmark.engines.base import cpu_slots
from hashattack.benchmark.plan.plan import Plan, make_plan
from hashattack.benchmark.plan.preview import Preview
from hashattack.benchmark.stages.attacking import Craft
from hashattack.benchmark.suites.loading import fill, load_suite
from hashattack.benchmark.suites.sources import SuiteError, shipped
from hashattack.benchmark.suites.suite import Scale, Suite, validate
from hashattack.datasets.base import DatasetError
from tests.conftest import SMALL_DIGITS, run_cli

TINY = {
    "targets": {"*": {"weights": "none", "training": {"epochs": 1}, "backbone_params": {}}},
    "datasets": {"digits": SMALL_DIGITS},
    "attacks": {"*": {"width": 4, "epochs": 1}, "dhta": {"steps": 2, "rule": "l2"}},
    "suite": {"queries": 8, "n_t": 1},
}
LEAF: dict[str, Any] = {
    "datasets": "digits",
    "targets": [{"method": "DPSH", "backbone": "Tiny", "bits": [12, 32]}],
    "attacks": ["original", "dhta", "prosgan"],
}

SMALL_LEAF = {
    **LEAF,
    "datasets": [{"dataset": "digits", "params": SMALL_DIGITS}],
    "targets": [{**LEAF["targets"][0], "weights": "none"}],
}


def write(folder: Path, name: str, content: dict[str, Any]) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.fixture
def scale(tmp_path: Path) -> str:
    return write(tmp_path, "tiny", TINY)


def filled(scale: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return fill(validate(Suite, {"name": "leaf", **LEAF, **changes}, ""), Scale(**scale))


def test_a_scale_fills_what_the_suite_leaves_open() -> None:
    target = {**LEAF["targets"][0], "weights": "labels"}
    own = {"*": {"epochs": 9}, "p2p": {"steps": 1}}
    found = filled(TINY, queries=3, targets=target, attack_params=own)
    assert found["queries"] == 3, "the suite's own is kept"
    assert found["n_t"] == 1
    settings = found["attack_params"]
    assert settings["*"] == {"width": 4, "epochs": 9}, "one by one"
    assert settings["p2p"] == {"steps": 1}
    assert settings["dhta"] == {"steps": 2, "rule": "l2"}
    (target,) = found["targets"]
    assert target["weights"] == "labels"
    assert target["training"] == {"epochs": 1}
    assert found["datasets"] == [{"dataset": "digits", "params": SMALL_DIGITS}]


def test_the_first_recipe_that_matches_is_taken() -> None:
    recipes = {"HashNet-*": {"weights": "none"}, "*": {"weights": "labels"}}
    entry = {"method": ["DPSH", "HashNet"], "backbone": "Tiny", "bits": 12}
    found = filled({"targets": recipes}, targets=entry)
    assert [(t["method"], t["weights"]) for t in found["targets"]] == [
        ("DPSH", "labels"),
        ("HashNet", "none"),
    ]


def test_scaled_settings_are_overrides_and_not_variants(
    cache: Path, tmp_path: Path, scale: str
) -> None:
    plan = make_plan(load_suite(write(tmp_path, "leaf", LEAF), {"scale": scale}), cache)
    rows = {cell.row["attack"]: cell.row for cell in plan.cells}
    assert set(rows["dhta"]["overrides"].split(", ")) == {"steps=2", "rule=l2"}
    assert rows["dhta"]["variant"] == ""
    assert set(rows["prosgan"]["overrides"].split(", ")) == {"width=4", "epochs=1"}


def test_a_union_plans_what_its_parts_share_once(cache: Path, tmp_path: Path, scale: str) -> None:
    first = write(tmp_path, "first", {**LEAF, "tables": "table1"})
    more = {**LEAF, "attacks": ["dhta", "noise"], "gallery": 1, "victims": "*", "tables": "table2"}
    second = write(tmp_path, "second", more)
    both = load_suite(write(tmp_path, "both", {"include": [first, second], "scale": scale}))
    assert both.tables == ["table1", "table2"]
    parts = [make_plan(part, cache) for part in both.parts]
    union = make_plan(both, cache)
    assert set(union.jobs) == set(parts[0].jobs) | set(parts[1].jobs)
    assert len(union.cells) < sum(len(part.cells) for part in parts)
    cells = {(c.row["attack"], c.row["source"], c.row["victim"]): c for c in union.cells}
    shared = cells["dhta", "DPSH-Tiny-12", "DPSH-Tiny-12"]
    assert "gallery" in shared.jobs, "a cell of both has what either asks for"


def test_parts_that_disagree_are_refused(cache: Path, tmp_path: Path, scale: str) -> None:
    first = write(tmp_path, "first", LEAF)
    trained = [{**LEAF["targets"][0], "training": {"epochs": 2}}]
    second = write(tmp_path, "second", {**LEAF, "targets": trained})
    both = load_suite(write(tmp_path, "both", {"include": [first, second], "scale": scale}))
    with pytest.raises(SuiteError, match="second: another included suite makes DPSH-Tiny-12 by"):
        make_plan(both, cache)


def test_mistakes_in_includes_and_scales_are_named(tmp_path: Path) -> None:
    loop = write(tmp_path, "loop", {"include": [str(tmp_path / "loop.yaml")]})
    with pytest.raises(SuiteError, match="includes itself"):
        load_suite(loop)
    with pytest.raises(SuiteError, match="include names no suite"):
        load_suite(write(tmp_path, "none", {"include": []}))
    with pytest.raises(SuiteError, match="unknown scale 'min'; did you mean 'mini'"):
        load_suite("table1", {"scale": "min"})
    wrong = write(tmp_path, "wrong", {"target": {}})
    with pytest.raises(SuiteError, match=r"wrong.yaml: target: "):
        load_suite("table1", {"scale": wrong})
    several = {"method": ["DPSH", "DPH"], "backbone": ["AlexNet", "VGG11"], "bits": 12}
    for change, message in (
        ({"attack_params": None}, "attack_params: "),
        ({"datasets": [{"dataset": "digits", "params": [1]}]}, r"datasets\[0\].params: "),
        ({"targets": [several, {**several, "bits": "x"}]}, r"targets\[1\].bits\[0\]: "),
    ):
        path = write(tmp_path, "faulty", {**LEAF, **change, "scale": "mini"})
        with pytest.raises(SuiteError, match=message):
            load_suite(path)
    with pytest.raises(SuiteError, match="a suite needs targets, attacks"):
        load_suite(write(tmp_path, "empty", {"datasets": "digits"}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dhtaa": {"steps": 1}}, r"attack_params.dhtaa: no such attack; did you mean 'dhta'"),
        ({"dhta": {"step": 1}}, r"attack_params.dhta.step: no attack .*; did you mean"),
    ],
)
def test_settings_of_attacks_that_do_not_exist(
    settings: dict[str, Any], message: str, cache: Path, tmp_path: Path, scale: str
) -> None:
    content = {**LEAF, "scale": scale, "attack_params": settings}
    with pytest.raises(SuiteError, match=message):
        make_plan(load_suite(write(tmp_path, "leaf", content)), cache)


@pytest.fixture(scope="module")
def mini(cache: Path) -> Plan:
    return make_plan(load_suite("mini"), cache)


def test_mini_is_the_papers_whole_grid(mini: Plan) -> None:
    white_box = {cell.row["source"] for cell in mini.cells if cell.row["attack"] == "prosgan"}
    assert len(white_box) == 36
    assert {cell.row["protocol"] for cell in mini.cells} == {"released"}
    assert {cell.row["dataset"] for cell in mini.cells} == {"digits"}
    pairs = {(cell.row["source"], cell.row["victim"]) for cell in mini.cells}
    assert ("DPSH-VGG11-12", "DPSH-VGG11-48") in pairs, "across code lengths"
    assert ("DPSH-AlexNet-32", "DPSH-ResNet18-12") in pairs, "across networks"
    alphas = {c.row["variant"] for c in mini.cells if c.row["attack"] == "prosgan"}
    assert {"alpha=10", "alpha=200"} <= alphas


def test_transfer_crafts_once_a_source(mini: Plan) -> None:
    crafts = [j.task for j in mini.jobs.values() if isinstance(j.task, Craft)]
    names = [(task.source and task.source.name, repr(task.attack)) for task in crafts]
    assert len(set(names)) == len(names)


def test_the_preview_counts_what_sharing_saves(mini: Plan) -> None:
    ahead = Preview(mini, dict.fromkeys(mini.jobs, 3600.0), (), cpu_slots(2))
    assert ahead.left == list(mini.jobs)
    assert f"about {len(mini.jobs) / 2:.1f} h on this machine (2 at a time)" in ahead.summary
    lines = {line[0]: line for line in ahead.table.rows}
    assert lines["train"][1] == "36"
    assert (
        int(lines["train"][2])
        == sum(len({cell.row["source"], cell.row["victim"]}) for cell in mini.cells) - 36
    )
    some = set(list(mini.jobs)[:5])
    rest = Preview(mini, dict.fromkeys(mini.jobs, 1.0), some, cpu_slots(2))
    assert len(rest.left) == len(mini.jobs) - 5


def test_every_suite_of_the_paper_names_both_protocols() -> None:
    for name in shipped():
        suite = load_suite(name)
        if name.startswith(("table", "figure")) or name == "paper":
            assert all(part.protocols == ["released", "paper"] for part in suite.parts or [suite])


def test_a_paper_suite_runs_on_another_data_set_from_the_command_line(
    cache: Path, tmp_path: Path, scale: str
) -> None:
    options = ["--dataset", "digits", "--scale", scale, "--protocol", "paper"]
    options += ["--cache", str(cache)]
    suite = write(tmp_path, "mine", {**LEAF, "datasets": "NUS-WIDE", "tables": "table5"})
    out = tmp_path / "out"
    done = run_cli("plan", "--suite", suite, "--out", str(out), *options)
    assert done.returncode == 0, done.stderr
    assert "6 cells" in done.stdout
    assert "device-hours" in done.stdout
    with pytest.raises(DatasetError, match=f"no split lists in {tmp_path / 'NUS-WIDE'}"):
        make_plan(load_suite("table5", data_root=tmp_path), cache)


def test_the_doctor_on_the_command_line(cache: Path, tmp_path: Path) -> None:
    sizes = [f"--param={name}={value}" for name, value in SMALL_DIGITS.items()]
    well = run_cli("doctor", "digits", *sizes, "--cache", str(cache))
    assert well.returncode == 0, well.stderr
    assert "chance" in well.stdout
    (tmp_path / "FLICKR-25K").mkdir()
    for name in ("train", "test", "database"):
        (tmp_path / "FLICKR-25K" / f"{name}_img.txt").write_text("mirflickr/im1.jpg\n")
        (tmp_path / "FLICKR-25K" / f"{name}_label.txt").write_text("1 0\n")
    ill = run_cli("doctor", "FLICKR-25K", "--data-root", str(tmp_path), "--cache", str(tmp_path))
    assert ill.returncode == 3
    assert f"1 of 1 database images are not in {tmp_path / 'FLICKR-25K'}" in ill.stdout
    assert "1 query images are also in the database split" in ill.stdout
    assert "train has 1 images; the paper's has 5000" in ill.stdout
    mistyped = run_cli("doctor", "digits", "--param", "sides=32")
    assert "--param.sides: unknown parameter; did you mean 'side'" in mistyped.stderr


def test_an_including_suite_need_not_have_the_attacks_that_lent_params_are_for(
    tmp_path: Path, cache: Path
) -> None:
    inner = dict(SMALL_LEAF)
    inner |= {"params": {"width": 4}, "queries": 8, "n_t": 1}
    inner["attack_params"] = {"prosgan": {"width": 2, "epochs": 1}}
    base = write(tmp_path, "base", inner)
    fewer = write(tmp_path, "fewer", {"include": base, "attacks": ["original", "dhta"]})
    plan = make_plan(load_suite(fewer), cache)
    assert {cell.row["attack"] for cell in plan.cells} == {"original", "dhta"}
    assert all(not cell.row["overrides"] for cell in plan.cells)
    added = make_plan(load_suite(fewer, attacks=["prosgan"]), cache)
    found = {cell.row["overrides"] for cell in added.cells if cell.row["attack"] == "prosgan"}
    assert found == {"epochs=1, width=4"}, "what is lent holds for an attack that has it"
    whole = {cell.row["overrides"] for cell in make_plan(load_suite(base), cache).cells}
    assert found < whole, "and is what it was"


def test_the_files_own_mistakes_in_params_are_named(tmp_path: Path, cache: Path) -> None:
    inner = dict(SMALL_LEAF)
    base = write(tmp_path, "base", {**inner, "params": {"width": 4}})
    own = write(tmp_path, "own", {"include": base, "attacks": ["dhta"], "params": {"step": 3}})
    with pytest.raises(SuiteError, match=r"params.step: no attack .*did you mean 'steps'"):
        make_plan(load_suite(own), cache)
    broken = write(tmp_path, "broken", {**inner, "params": {"widht": 4}})
    lent = write(tmp_path, "lent", {"include": broken, "attacks": ["dhta"]})
    with pytest.raises(SuiteError, match=r"widht: no attack .*; did you mean 'width'"):
        make_plan(load_suite(lent), cache)


def test_params_of_a_union_are_for_the_parts_that_have_them(tmp_path: Path, cache: Path) -> None:
    inner = dict(SMALL_LEAF)
    one = write(tmp_path, "one", {**inner, "attacks": ["original"]})
    two = write(tmp_path, "two", {**inner, "attacks": ["dhta"]})
    both = write(tmp_path, "both", {"include": [one, two], "params": {"steps": 3}})
    plan = make_plan(load_suite(both), cache)
    found = {cell.row["attack"]: cell.row["overrides"] for cell in plan.cells}
    assert found == {"original": "", "dhta": "steps=3"}


def test_every_attack_of_the_demo_runs_on_every_hasher() -> None:
    suite = load_suite("demo")
    assert {"prosgan", "prosgan-eps"} <= {choice.attack for choice in suite.attacks}
    assert all(choice.sources == ["*"] for choice in suite.attacks)
    assert suite.gallery
