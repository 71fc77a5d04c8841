"""Attacks that are begun from a template: short, named so that they work, run as they are."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor

from hashattack.attacks.base import Attack
from hashattack.attacks.gradient import ProjectedGradient
from hashattack.attacks.protocols import EPSILON, PROTOCOLS, Protocol
from hashattack.benchmark.cli.options import DraftKind
from hashattack.benchmark.contract.attack_checks import Trial
from hashattack.benchmark.contract.plugin import declared
from hashattack.benchmark.contract.world import World
from hashattack.benchmark.drafts import DraftError, write_draft
from hashattack.benchmark.plugins import load_plugins
from hashattack.benchmark.registry import registry
from hashattack.benchmark.results.frame import load_results
from tests.conftest import run_cli, run_inline, small_suite
from tests.test_plugins import _forgotten as _forgotten


@pytest.mark.parametrize("kind", get_args(DraftKind))
def test_a_draft_is_short_and_runs_as_it_is(kind: DraftKind, cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "not there yet" / "own"
    file, id_ = write_draft(kind, "My_Idea", folder, registry().attacks)
    assert (file, id_) == (folder / "my_idea.py", "my-idea")
    lines = file.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 100
    load_plugins([file])
    built = registry().attacks["my-idea"].build(PROTOCOLS["released"])
    assert (built.id, built.title, built.epsilon) == ("my-idea", "My idea", EPSILON)
    run_inline(small_suite(attacks=["original", "my-idea"]), cache, tmp_path / "out")
    rows = {row["attack"]: row for row in load_results(tmp_path / "out").to_dict("records")}
    assert {name: row["status"] for name, row in rows.items()} == {
        "original": "ok",
        "my-idea": "ok",
    }
    assert 0 < rows["my-idea"]["linf"] <= EPSILON + 1e-6


@pytest.mark.parametrize("kind", get_args(DraftKind))
@pytest.mark.parametrize(
    "name",
    ["attack", "torch", "gradient-loop", "projected-gradient", "none", "class", "x.y", "len"],
)
def test_a_draft_shadows_no_name_it_uses(kind: DraftKind, name: str, tmp_path: Path) -> None:
    file, id_ = write_draft(kind, name, tmp_path)
    (module,) = load_plugins([file])
    (entry,) = declared(module)[0]
    assert entry.build(PROTOCOLS["paper"]).id == id_ == name
    tree = ast.parse(file.read_text(encoding="utf-8"))
    defined = {n.name for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef)}
    imports = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    imported = {alias.asname or alias.name for n in imports for alias in n.names}
    assert not defined & {*imported, *dir(builtins)}


@dataclass(frozen=True, kw_only=True)
class Momentum(ProjectedGradient):
    """The same as the draft of a loop, by a hook of projected gradient descent."""

    def directions(self) -> Callable[[Tensor], Tensor]:
        kept: list[Tensor] = []

        def direction(gradient: Tensor) -> Tensor:
            kept.append(gradient / gradient.abs().mean((1, 2, 3), keepdim=True).clamp_min(1e-12))
            return torch.stack(kept).sum(dim=0).sign()

        return direction


def test_the_loop_s_draft_is_the_gradient_loop_with_momentum(world: World, tmp_path: Path) -> None:
    (module,) = load_plugins([write_draft("loop", "my-idea", tmp_path)[0]])
    (entry,) = declared(module)[0]
    protocol = PROTOCOLS["paper"]
    loop = Momentum(steps=20, rule="sign", step_size=1 / 255)

    def hooked(_: Protocol) -> Attack:
        return replace(entry.build(protocol), crafting=loop)

    drafted, other = (Trial(build, protocol, world) for build in (entry.build, hooked))
    apart = (drafted.exact_images() - other.exact_images()).abs()
    assert apart.mean() < 1e-4, "but for pixels whose direction is a matter of rounding"
    ifgsm = ProjectedGradient(steps=20, rule="sign", step_size=1 / 255)
    without = Trial(lambda _: replace(hooked(protocol), crafting=ifgsm), protocol, world)
    assert (drafted.exact_images() - without.exact_images()).abs().mean() > 1e-3


@pytest.mark.parametrize(
    "name", ["my--idea", "my-", "_x", "ünï", "no/name", "1st", "", "a b", "x..y"]
)
def test_a_name_that_is_no_id_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DraftError, match="is no id for an attack: a letter first, then letters"):
        write_draft("loss", name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_and_an_id_that_is_taken_are_refused(tmp_path: Path) -> None:
    write_draft("loss", "my-idea", tmp_path)
    with pytest.raises(DraftError, match="is there already; choose another id or --to"):
        write_draft("loop", "My_Idea", tmp_path)
    refusal = "there is an attack 'dhta' already; choose another id, like my-dhta"
    with pytest.raises(DraftError, match=refusal):
        write_draft("loss", "dhta", tmp_path, registry().attacks)


def test_the_command(tmp_path: Path) -> None:
    done = run_cli("new", "attack", "My.Idea", "--kind", "loop", "--to", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert f"--plugin {tmp_path / 'my_idea.py'} --attack my.idea" in done.stdout
    assert "momentum" in (tmp_path / "my_idea.py").read_text(encoding="utf-8")
