"""The program's own attacks against its frozen baseline, crafted on the very targets beside it.

Made by ``run --suite smoke --attack gan …`` (every attack) and ``freeze --targets``. Where an
attack is changed on purpose it is frozen anew, and the change shows in the file. On another machine
the attacks that train a generator end elsewhere (by up to four points where vector instructions
were switched off), so that they are held to a coarser effect.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hashattack.attacks.protocols import PROTOCOLS
from hashattack.benchmark.registry import registry
from hashattack.benchmark.regression.baseline import read_file
from tests.conftest import run_cli

BASELINE = Path(__file__).parent / "baseline" / "smoke.json"


def test_it_has_every_attack_and_is_small() -> None:
    built = [entry.build(PROTOCOLS["released"]) for entry in registry().attacks.values()]
    own = {attack.id for attack in built if not attack.libraries}
    assert {cell.attack for cell in read_file(BASELINE).cells} == own
    files = [BASELINE, *(BASELINE.parent / "smoke-targets").iterdir()]
    assert sum(file.stat().st_size for file in files) < 1_000_000
    assert len(files) == 3


@pytest.fixture(scope="module")
def results(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """Return the figures of every attack on one target, of which none lost ten points."""
    folder = tmp_path_factory.mktemp("own")
    command = ["check", "--baseline", str(BASELINE), "--attack", "*", "--min-effect", "0.1"]
    command += ["--only", "source=*-32"]
    command += ["--out", str(folder / "out"), "--json", str(folder / "results.json")]
    done = run_cli(*command, "--cache", str(cache))
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return {one["attack"]: one for one in content["attacks"]}


def test_no_attack_is_worse_than_its_baseline(results: dict[str, dict[str, float]]) -> None:
    for name, figures in results.items():
        crafting = registry().attacks[name].build(PROTOCOLS["released"]).crafting
        if crafting is None or not crafting.learns:
            assert figures["low"] > -0.02, name
    assert len(results) == len({cell.attack for cell in read_file(BASELINE).cells})
