"""The command check-plugin: what it prints first, and exit codes that never look like success."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hashattack.benchmark.cli.main import app
from hashattack.benchmark.contract import checks, plugin, process
from hashattack.benchmark.drafts import write_draft
from tests.conftest import run_cli
from tests.honest_attack import HONEST, SCALE, crafts
from tests.test_plugins import MINE, forget, written
from tests.test_plugins import _forgotten as _forgotten

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return what runs the command in this process and gives its exit code and output."""

    def results_of(
        files: list[Path], attacks: list[str], cache: Path, _timeout: float
    ) -> Iterator[checks.Result]:
        return plugin.checked(files, attacks, cache)

    monkeypatch.setattr(process, "results_of", results_of)

    def run(*arguments: object) -> tuple[int, str]:
        given = ["check-plugin", *map(str, arguments), "--cache", str(cache)]
        done = CliRunner().invoke(app, given)
        return done.exit_code, done.output

    return run


def test_a_good_one_is_a_line_a_subject(cache: Path, command: Command, tmp_path: Path) -> None:
    good, results = write_draft("loss", "my-idea", tmp_path)[0], tmp_path / "results.json"
    done = run_cli("check-plugin", str(good), "--json", str(results), "--cache", str(cache))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        "my-idea (released, saat): 10 passed",
        "my-idea (paper, paper-literal): 10 passed",
        "my_idea.py: 1 passed",
        "all 21 checks passed",
    ]
    listed = json.loads(results.read_text(encoding="utf-8"))
    assert len(listed) == 21
    assert (listed[0]["subject"], listed[0]["status"]) == ("my-idea (released, saat)", "passed")
    code, printed = command("--attack", "original", "--verbose")
    assert (code, printed.splitlines()[-1]) == (0, "all 20 checks passed")
    assert "  passed   It leaves the hasher as it was." in printed


def test_failures_come_first_and_what_was_not_run_is_one_line(
    command: Command, tmp_path: Path
) -> None:
    text = crafts("hasher.train()\nreturn images - epsilon")
    code, printed = command(written(tmp_path, text, "bad.py"))
    lines = printed.splitlines()
    assert code == 1
    assert lines[0] == "faulty (released, saat): 2 failed, 8 passed"
    assert lines[1].startswith("  failed   the attack returned pixels outside [0, 1]: from -")
    assert lines[2].startswith("  failed   the attack changed the hasher it was shown: ")
    assert lines[-1] == "4 of 21 checks failed"
    forget()
    code, printed = command(written(tmp_path, crafts("return 1 / 0"), "worse.py"))
    assert code == 1
    assert printed.count("it raises ZeroDivisionError (worse.py, line 33): division by zero") == 2
    assert printed.count("  skipped  not run, as the check 'run' failed\n") == 2
    assert "faulty (released, saat): 1 failed, 1 passed, 8 not run\n" in printed


@pytest.mark.parametrize(
    "text",
    [
        crafts("import sys; sys.exit(0)"),
        HONEST.replace("    rule = Rule(", "    raise SystemExit(0)\n    rule = Rule("),
    ],
)
def test_an_exit_of_a_plug_in_is_no_success(command: Command, text: str, tmp_path: Path) -> None:
    code, printed = command(written(tmp_path, text, "exits.py"))
    assert code == 1
    assert "it raises SystemExit (exits.py, line" in printed


def test_what_ends_or_blocks_its_process_has_failed(cache: Path, tmp_path: Path) -> None:
    texts = {
        "exits": crafts("import os; os._exit(0)"),
        "escapes": crafts("raise type('Escape', (BaseException,), {})('out')"),
        "hangs": "import time; time.sleep(600)\n",
    }
    files = [
        str(written(tmp_path, text.replace('id="faulty"', f'id="{name}"'), f"{name}.py"))
        for name, text in texts.items()
    ]
    done = run_cli("check-plugin", *files, "--timeout", "3", "--cache", str(cache))
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines == [
        "exits (released, saat): 1 failed, 1 passed, 8 not run",
        "  failed   the check 'run' ended its process",
        "  skipped  not run, as the check 'run' failed",
        "escapes (released, saat): 1 failed, 1 passed, 8 not run",
        "  failed   the check 'run' raises Escape: out",
        "  skipped  not run, as the check 'run' failed",
        "hangs.py: 1 failed",
        "  failed   the check 'import' took longer than 3 s (--timeout)",
        "3 of 5 checks failed, 16 not run",
    ]


def test_a_crash_of_the_program_is_no_result(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "check_module", lambda *_: 1 / 0)
    code, printed = command(written(tmp_path))
    assert code == 70
    assert "internal error" in printed


def test_nothing_declared_is_a_usage_error(command: Command, tmp_path: Path) -> None:
    text = MINE.replace("@attack\n", "") + "\ndef helper():\n    return anchor_code\n"
    file = written(tmp_path, text, "forgotten.py")
    code, printed = command(file)
    line = file.read_text().splitlines().index("def squared(protocol):") + 1
    assert code == 2
    assert (
        f"no attack is declared in {file}: the function `squared` (line {line}) makes an Attack "
        "but lacks @attack"
    ) in printed
    code, printed = command(written(tmp_path, "x = 1\n", "empty.py"))
    assert (code, "empty.py declares nothing" in printed) == (2, True)
    code, printed = command(written(tmp_path, "x = 1 / 0\n", "dead.py"))
    assert (code, "dead.py, line 1: ZeroDivisionError" in printed) == (2, True)
    assert command()[0] == 2
    code, printed = command("--attack", "dthaa")
    assert (code, "did you mean" in printed) == (2, True)


def test_what_cannot_be_checked_does_not_look_like_success(
    command: Command, tmp_path: Path
) -> None:
    needy = SCALE + "    requires: ClassVar[Any] = Library('no_such.thing', 'nothing', 'nothing')\n"
    text = HONEST.replace("import inspect\n", "from hashattack.attacks.libraries import Library\n")
    code, printed = command(written(tmp_path, text.replace(SCALE, needy), "needy.py"))
    reason = "faulty: not checked: it needs no_such.thing: pip install 'nothing'"
    last = printed.splitlines()[-1]
    assert (code, last.startswith(f"not everything was checked: {reason}")) == (3, True), printed
    forget()
    rule = HONEST[: HONEST.index("@attack\n")].replace(
        "class Rule(AnchorCode)", "class A(AnchorCode)"
    )
    code, printed = command(written(tmp_path, rule, "rule.py"))
    reason = "A: not checked: missing a required argument: 'pool'"
    last = printed.splitlines()[-1]
    assert (code, last.startswith(f"not everything was checked: {reason}")) == (3, True), printed


def test_names_that_other_attacks_have(command: Command, tmp_path: Path) -> None:
    text = HONEST.replace('title="Faulty"', 'title="DHTA"')
    code, printed = command(written(tmp_path, text, "one.py"))
    assert code == 0
    assert "  note     the title 'DHTA' of faulty is that of dhta too, which reports" in printed
    forget()
    code, printed = command(written(tmp_path, HONEST.replace('id="faulty"', 'id="dhta"'), "two.py"))
    assert (code, "two plug-ins are called 'dhta'; rename one" in printed) == (1, True)
