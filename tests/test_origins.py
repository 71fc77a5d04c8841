"""What plug-ins come from: files beside a file, whole packages; an edit of any is a new key."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hashattack.benchmark import plugins
from hashattack.benchmark.origins import beside, package
from hashattack.benchmark.plan.plan import make_plan
from hashattack.benchmark.plugins import PluginError, installed_plugins, load_plugins, plugin_files
from hashattack.benchmark.suites.loading import load_suite
from tests.conftest import run_cli
from tests.test_plugins import MINE, forget, written

# The attack alone, its class being in another module.
HEAD, TAIL = MINE.split("@attack\n", 1)
USER = "from hashattack.attacks.base import Attack, attack\nfrom attacks.protocols import EPSILON\n"
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
    assert beside(impl) == {"deeper_squared": deeper}
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
    assert package(point.value).keys() == {
        "squared_package",
        "squared_package.impl",
        "squared_package.registered",
    }
    keys, told = [], []
    before = set(sys.modules)
    for more in ("", "# a comment\n"):
        impl.write_text(impl.read_text() + more)
        told += installed_plugins()
        keys.append(_score_key(cache))
        plugins._installed.cache_clear()
        _unload(before)
    assert keys[0] != keys[1]
    assert told[0] != told[1]


def test_a_broken_helper_is_named_with_the_line_that_imports_it(folder: Path) -> None:
    helper = written(folder, "x = 1\ny = 2\ndef f(:\n", "helper_squared.py")
    with pytest.raises(
        PluginError, match=rf"mine.py, line 2, which imports {helper}, line 3: SyntaxError"
    ):
        load_plugins([written(folder, "x = 1\nimport helper_squared\n")])


def test_a_helper_that_is_not_found_says_how(tmp_path: Path) -> None:
    written(tmp_path, "x = 1\n", "helper_unfound.py")
    file = written(tmp_path, "import helper_unfound\n")
    done = run_cli("check-plugin", str(file))
    assert done.returncode == 2
    assert f"it lies beside the file, and is found with PYTHONPATH={tmp_path}" in done.stderr
