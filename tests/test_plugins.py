"""Plug-ins: registered, run by workers; their source is part of their keys; faults name a line."""

from __future__ import annotations

import importlib
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from hashattack.benchmark import plugins
from hashattack.benchmark.contract.plugin import check_attack
from hashattack.benchmark.contract.world import World
from hashattack.benchmark.names import UnknownNameError
from hashattack.benchmark.plan.plan import make_plan
from hashattack.benchmark.plugins import (
    PluginError,
    installed_plugins,
    load_plugins,
    package_files,
    plugin_files,
)
from hashattack.benchmark.registry import registry
from hashattack.benchmark.suites.loading import load_suite
from tests.conftest import ROOT, SmokeRun, run_cli, small_suite

MINE = '''
"""Sign steps whose loss is squared."""
from dataclasses import dataclass
from hashattack.attacks.base import Attack, attack
from hashattack.attacks.gradient import ProjectedGradient
from hashattack.attacks.protocols import EPSILON
from hashattack.attacks.published import anchor_code

@dataclass(frozen=True, kw_only=True)
class Squared(ProjectedGradient):
    def loss(self, outputs, codes):
        return (outputs - codes).square().mean(dim=1)

@attack
def squared(protocol):
    """Sign steps on the squared distance."""
    loop = Squared(steps=5, rule="sign", step_size=2 / 255)
    code = anchor_code(protocol)
    return Attack(id="squared", title="Squared", target_code=code, crafting=loop, epsilon=EPSILON)
'''


def forget() -> None:
    for module in plugins._loaded.values():
        del sys.modules[module.__name__]
    plugins._loaded.clear()


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Leave no plug-in to other tests."""
    yield
    forget()


def written(folder: Path, text: str = MINE, name: str = "mine.py") -> Path:
    file = folder / name
    file.write_text(textwrap.dedent(text).lstrip(), encoding="utf-8")
    return file


def from_tutorial() -> str:
    """Return the attack that the tutorial writes, which has fewer than 15 lines of code."""
    text = (ROOT / "docs" / "tutorials" / "attack.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```python title=\"mine\.py\"\n(.*?)```", text, flags=re.DOTALL)
    lines = [line for line in example.splitlines() if line and not line.startswith("#")]
    assert len(lines) < 15
    return str(example)


def test_the_tutorial_s_attack_is_ranked(smoke: SmokeRun, cache: Path, tmp_path: Path) -> None:
    file = written(tmp_path, from_tutorial())
    only = ["--only", "attack=original,source=*-12", "--only", "attack=squared,source=*-12"]
    out = ["--out", str(tmp_path / "out"), "--cache", str(cache)]
    arguments = ["run", "--suite", "smoke", "--plugin", str(file), "--attack", "squared"]
    arguments += [*only, *out, "--format", "md,csv"]
    done = run_cli(*arguments)
    assert done.returncode == 0, done.stderr + done.stdout
    listed = pd.read_csv(tmp_path / "out" / "results.csv").to_dict("records")
    rows = {row["attack"]: row for row in listed}
    assert rows["squared"]["status"] == "ok"
    assert rows["squared"]["t_map"] > rows["original"]["t_map"] + 0.05
    assert rows["squared"]["linf"] <= 8 / 255 + 1e-6
    assert "Squared" in done.stdout
    assert f"{file} was not checked as it is" in done.stdout
    assert "all done" in run_cli(*arguments).stdout, "a plug-in's run is recalled, too"


def test_the_tutorial_s_attack_keeps_the_contract(world: World, tmp_path: Path) -> None:
    load_plugins([written(tmp_path, from_tutorial())])
    results = check_attack(registry().attacks["squared"].build, world)
    assert {one.status for one in results} == {"passed"}


def test_a_source_is_part_of_its_own_keys_alone(cache: Path, tmp_path: Path) -> None:
    keys = []
    for text in (MINE, MINE + "# a comment\n"):
        load_plugins([written(tmp_path, text)])
        plan = make_plan(load_suite("smoke", {}, ["squared"]), cache)
        keys.append({cell.row["attack"]: cell.jobs["score"].key for cell in plan.cells})
        forget()
    different = {name for name in keys[0] if keys[0][name] != keys[1][name]}
    assert different == {"squared"}


def test_a_backbone_whose_name_has_a_dash_keeps_it(cache: Path, tmp_path: Path) -> None:
    text = """
    from dataclasses import dataclass
    from typing import ClassVar
    from hashattack.targets.backbones import Tiny

    @dataclass(frozen=True, kw_only=True)
    class ViT(Tiny):
        name: ClassVar[str] = "ViT-B16"
    """
    load_plugins([written(tmp_path, text, "vit.py")])
    target = {"method": "DPSH", "backbone": "ViT-B16", "bits": [12, 32], "weights": "none"}
    plan = make_plan(small_suite(targets=[target]), cache)
    columns = ("source", "source_method", "source_backbone", "source_bits", "victim_backbone")
    [found] = {
        tuple(cell.row[name] for name in columns)
        for cell in plan.only(["source_backbone=ViT-B16,source_bits=32"]).cells
    }
    assert found == ("DPSH-ViT-B16-32", "DPSH", "ViT-B16", 32, "ViT-B16")


def test_list_shows_it(tmp_path: Path) -> None:
    shown = run_cli("list", "attacks", "--plugin", str(written(tmp_path)), "--cache", str(tmp_path))
    assert "Squared: Sign steps on the squared distance." in " ".join(shown.stdout.split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ny = 1 / 0\n", r"mine.py, line 2: ZeroDivisionError"),
        ("def f(:\n", r"mine.py, line 1: SyntaxError"),
        ("import sys\nsys.exit(0)\n", r"mine.py, line 2: SystemExit"),
        ("raise BaseException('out')\n", r"mine.py, line 1: BaseException: out"),
        ("import nothing_of_that_name\n", r"mine.py, line 1: ModuleNotFoundError"),
    ],
)
def test_a_faulty_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        load_plugins([written(tmp_path, text)])


def test_a_missing_file_and_a_name_taken_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"nowhere.py: No such file"):
        load_plugins([tmp_path / "nowhere.py"])
    load_plugins([written(tmp_path, MINE.replace('id="squared"', 'id="dhta"'))])
    with pytest.raises(PluginError, match=r"two plug-ins are called 'dhta'"):
        registry()


def test_an_exit_while_an_attack_is_built_is_no_success(tmp_path: Path) -> None:
    fault = "    if protocol.name == 'paper':\n        raise SystemExit(0)\n    loop ="
    file = written(tmp_path, MINE.replace("    loop =", fault))
    arguments = ["--plugin", str(file), "--attack", "squared", "--out", str(tmp_path / "out")]
    done = run_cli("plan", "--suite", "smoke", "--protocol", "paper", *arguments)
    assert done.returncode == 2, done.stdout
    line = file.read_text().splitlines().index("        raise SystemExit(0)") + 1
    message = f"the attack 'squared' cannot be built: SystemExit: 0 ({file}, line {line})"
    assert message in done.stderr


def test_an_unknown_attack_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'dhta'"):
        load_suite("smoke", {}, ["dhtaa"])


# The attack alone, its class being in another module.
HEAD, TAIL = MINE.split("@attack\n", 1)
USER = "from hashattack.attacks.base import Attack, attack\n"
USER += "from hashattack.attacks.protocols import EPSILON\n"
USER += "from hashattack.attacks.published import anchor_code\nfrom {} import Squared\n\n@attack\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder that modules are imported from, and leave none of them to other tests."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    forget()
    plugins._installed.cache_clear()
    _unload(before)


def _unload(before: set[str]) -> None:
    for name in set(sys.modules) - before:
        if "squared" in name:
            del sys.modules[name]
    importlib.invalidate_caches()


def _score_key(cache: Path) -> str:
    plan = make_plan(load_suite("smoke", {}, ["squared"]), cache)
    [key] = {
        cell.jobs["score"].key
        for cell in plan.cells
        if (cell.row["attack"], cell.row["protocol"]) == ("squared", "released")
        and cell.row["source"].endswith("-12")
    }
    return key


def test_an_edit_beside_a_file_is_a_new_key(cache: Path, folder: Path) -> None:
    (folder / "deeper_squared").mkdir()
    deeper = written(folder / "deeper_squared", "", "__init__.py")
    impl = written(folder, "import deeper_squared\n" + HEAD, "squared_impl.py")
    file = written(folder, USER.format("squared_impl") + TAIL)
    assert plugin_files([file]) == [file, impl, deeper]
    assert plugin_files([impl]) == [impl, deeper]
    keys = []
    before = set(sys.modules)
    for edited in (impl, impl, deeper, file):
        load_plugins([file])
        keys.append(_score_key(cache))
        forget()
        _unload(before)
        if len(keys) > 1:
            edited.write_text(edited.read_text() + "# a comment\n")
    load_plugins([file])
    keys.append(_score_key(cache))
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4, "the same twice, then a new one for each edit"


def test_an_edit_anywhere_in_an_installed_package_is_a_new_key(
    cache: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "squared_package").mkdir()
    written(folder / "squared_package", "", "__init__.py")
    impl = written(folder / "squared_package", HEAD, "impl.py")
    written(folder / "squared_package", USER.format("squared_package.impl") + TAIL, "registered.py")
    point: Any = SimpleNamespace(name="squared", value="squared_package.registered", dist=None)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point])
    plugins._installed.cache_clear()  # of another test of this process
    names = ["__init__.py", "impl.py", "registered.py"]
    assert [path.name for path in package_files(point.value)] == names
    keys, listed = [], []
    before = set(sys.modules)
    for more in ("", "# a comment\n"):
        impl.write_text(impl.read_text() + more)
        listed += installed_plugins()
        keys.append(_score_key(cache))
        plugins._installed.cache_clear()
        _unload(before)
    assert keys[0] != keys[1]
    assert listed[0] != listed[1]


def test_a_broken_helper_is_named_with_the_line_that_imports_it(folder: Path) -> None:
    helper = written(folder, "x = 1\ny = 2\ndef f(:\n", "helper_squared.py")
    with pytest.raises(
        PluginError, match=rf"mine.py, line 2, which imports {helper}, line 3: SyntaxError"
    ):
        load_plugins([written(folder, "x = 1\nimport helper_squared\n")])


def test_a_helper_that_is_not_found_says_how(tmp_path: Path) -> None:
    written(tmp_path, "x = 1\n", "helper_unfound.py")
    remedy = f"it lies beside the file, and is found with PYTHONPATH={tmp_path}"
    with pytest.raises(PluginError, match=remedy):
        load_plugins([written(tmp_path, "import helper_unfound\n")])
