"""The command check-plugin: what it says first, and exit codes that never look like success."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hashattack.benchmark.cli.main import app
from hashattack.benchmark.contract import examination
from hashattack.benchmark.drafts import write_draft
from tests.conftest import run_cli
from tests.honest_attack import HONEST, SCALE, crafts
from tests.test_plugins import MINE, forget, written

Asked = Callable[..., tuple[int, str]]
CONSTANT = "scale: float = 1.0"


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Leave no plug-in to other tests."""
    yield
    forget()


@pytest.fixture
def asked(cache: Path) -> Asked:
    """Return what runs the command in this process and gives its exit code and its words."""

    def ask(*arguments: object) -> tuple[int, str]:
        given = ["check-plugin", *map(str, arguments), "--cache", str(cache)]
        done = CliRunner().invoke(app, given)
        return done.exit_code, done.output

    return ask


def test_a_good_one_is_told_in_a_line_a_subject(cache: Path, asked: Asked, tmp_path: Path) -> None:
    good, told = write_draft("loss", "my-idea", tmp_path).file, tmp_path / "told.json"
    done = run_cli("check-plugin", str(good), "--json", str(told), "--cache", str(cache))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        "my-idea (released): 19 kept",
        "my-idea (paper, paper-literal): 19 kept",
        "all 38 promises kept",
    ]
    listed = json.loads(told.read_text(encoding="utf-8"))
    assert len(listed) == 38
    assert listed[0]["of"] == "my-idea (released)"
    code, said = asked("--attack", "original", "--verbose")
    assert (code, said.splitlines()[-1]) == (0, "all 36 promises kept")
    assert "  kept     no NaN or infinite pixel" in said


def test_what_is_broken_comes_first_and_what_stands_on_it_is_one_line(
    asked: Asked, tmp_path: Path
) -> None:
    code, said = asked(written(tmp_path, crafts("return images - epsilon"), "bad.py"))
    lines = said.splitlines()
    assert code == 1
    assert lines[0] == "faulty (released): 1 broken, 18 kept"
    assert lines[1].startswith("  broken   faulty (released): its pixels leave [0, 1]: they go")
    assert lines[-1] == "2 of 38 promises broken"
    forget()
    code, said = asked(written(tmp_path, crafts("return 1 / 0"), "worse.py"), "--attack", "faulty")
    assert code == 1, said
    assert said.count("division by zero") == 2, "once a protocol"
    assert "           14 more not checked because of it: dtype, finite, range, budget, " in said


@pytest.mark.parametrize(
    "text",
    [
        crafts("import sys; sys.exit(0)"),
        HONEST.replace("    rule = Rule(", "    raise SystemExit(0)\n    rule = Rule("),
    ],
)
def test_an_exit_of_a_plug_in_is_no_success(asked: Asked, text: str, tmp_path: Path) -> None:
    code, said = asked(written(tmp_path, text, "exits.py"))
    assert code == 1
    assert "it raises SystemExit (exits.py, line" in said
    assert said.splitlines()[-1].endswith("broken") or "not checked" in said.splitlines()[-1]


def test_a_crash_of_the_program_is_no_verdict(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "module_verdicts", lambda *_: 1 / 0)
    code, said = asked(written(tmp_path))
    assert (code, "internal error, no verdict: ZeroDivisionError" in said) == (70, True)


def test_nothing_declared_is_a_fault_of_usage(asked: Asked, tmp_path: Path) -> None:
    text = MINE.replace("@attack\n", "") + "\ndef helper():\n    return anchor_code\n"
    file = written(tmp_path, text, "forgotten.py")
    code, said = asked(file)
    line = file.read_text().splitlines().index("def squared(protocol):") + 1
    assert code == 2
    assert (
        f"no attack is declared in {file}: the function `squared` (line {line}) returns an Attack "
        "but lacks @attack"
    ) in said
    code, said = asked(written(tmp_path, "x = 1\n", "empty.py"))
    assert (code, "empty.py declares nothing" in said) == (2, True)
    code, said = asked(written(tmp_path, "x = 1 / 0\n", "dead.py"))
    assert (code, "dead.py, line 1: ZeroDivisionError" in said) == (2, True)
    assert asked()[0] == 2
    code, said = asked("--attack", "dthaa")
    assert (code, "did you mean" in said) == (2, True)


def test_what_cannot_be_checked_does_not_look_like_success(asked: Asked, tmp_path: Path) -> None:
    needy = SCALE + "    requires: ClassVar[Any] = Library('no_such.thing', 'nothing', 'nothing')\n"
    text = HONEST.replace("import inspect\n", "from hashattack.attacks.libraries import Library\n")
    code, said = asked(written(tmp_path, text.replace(SCALE, needy), "needy.py"))
    wanted = "faulty: not checked: it needs no_such.thing: pip install 'nothing'"
    assert (code, said.splitlines()[-1]) == (3, f"nothing was checked: {wanted}")
    forget()
    rule = HONEST[: HONEST.index("@attack\n")].replace(
        "class Rule(AnchorCode)", "class A(AnchorCode)"
    )
    code, said = asked(written(tmp_path, rule, "rule.py"))
    assert code == 3
    assert (
        said.splitlines()[-1] == "nothing was checked: A: not checked: it needs pool, replacement"
    )


def test_names_that_others_have(asked: Asked, tmp_path: Path) -> None:
    text = HONEST.replace('title="Faulty"', 'title="DHTA"')
    code, said = asked(written(tmp_path, text, "one.py"))
    assert code == 0
    assert "  note     its title 'DHTA' is that of dhta too; a report shows titles" in said
    forget()
    code, said = asked(written(tmp_path, HONEST.replace('id="faulty"', 'id="dhta"'), "two.py"))
    assert (code, "two plug-ins are called 'dhta'; rename one" in said) == (1, True)
