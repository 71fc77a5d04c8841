"""Every command's output in a terminal of 80 and of 100 columns, and what the shell completes."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from hashattack.benchmark.cli.lists import Item, Kind, items_of, list_parts
from hashattack.benchmark.cli.main import app
from hashattack.benchmark.cli.tools import status_parts
from hashattack.benchmark.regression.comparison import compare
from hashattack.benchmark.regression.rendering import table
from hashattack.benchmark.regression.result import Thresholds, judge
from hashattack.benchmark.results.status import RunningJob, StageCount, Status
from hashattack.benchmark.terminal import Part, text_of
from tests.checks import pair
from tests.conftest import run_cli

WIDTHS = pytest.mark.parametrize("width", [80, 100])
COMMANDS = [
    *("run", "plan", "report", "list", "perf", "status", "doctor", "make-lists", "import-target"),
    *("check", "freeze", "new", "check-plugin", "export-trials", "score"),
]


def too_wide(text: str, width: int) -> list[str]:
    return [line for line in text.splitlines() if cell_len(line) > width]


@WIDTHS
@pytest.mark.parametrize("kind", [None, *get_args(Kind)])
def test_lists_fit(kind: Kind | None, width: int, cache: Path) -> None:
    items = items_of(kind, "released", cache) if kind else []
    text = text_of(list_parts(kind, [], items), width)
    assert not too_wide(text, width)
    for item in items:
        assert f"\n{item.name} " in text, "a name is in one piece"


def test_list_without_anything_teaches_what_there_is(cache: Path) -> None:
    done = run_cli("list", "--cache", str(cache))
    assert done.returncode == 0, done.stderr
    for kind in get_args(Kind):
        assert f"\n{kind} " in done.stdout
    assert "run-benchmark list attacks dhta prosgan" in done.stdout


def test_list_shows_the_parameters_of_what_is_named(cache: Path) -> None:
    done = run_cli("list", "attacks", "dhta", "--protocol", "paper", "--cache", str(cache))
    assert done.returncode == 0, done.stderr
    parameters = {line.split()[0]: line.split()[-1] for line in done.stdout.splitlines() if line}
    assert (parameters["steps"], parameters["rule"]) == ("2000", "l2")
    wrong = run_cli("list", "datasets", "digit", "--cache", str(cache))
    assert wrong.returncode == 2
    assert "unknown data set 'digit'; did you mean 'digits'?" in wrong.stderr


@WIDTHS
def test_what_a_plug_in_wrote_is_printed_as_it_is(width: int) -> None:
    item = Item("mine", "[bold]Mine[/bold]: :smile: [/]", ["L∞ ≤ 8/255"], {"x": "[red]1[/red]"})
    for names in ([], ["mine"]):
        text = text_of(list_parts("attacks", names, [item]), width)
        assert "[bold]Mine[/bold]: :smile: [/]" in text
    assert "[red]1[/red]" in text
    assert not too_wide(text, width)


def status() -> list[Part]:
    job = RunningJob(
        "cpu 0", f"craft {'A long title ' * 4}on DPSH-ResNet18-32", 700, 3, 50, "image"
    )
    stages = [StageCount("pretrain", 4, 2, 1, 1), StageCount("craft", 12345, 12000, 0, 1)]
    slots = ["cpu 0", "cpu 1"]
    return status_parts(Status("results/demo", "running", "", stages, slots, [job], [], 100.0))


def check() -> list[Part]:
    title = "A plug-in with a very long title"
    pairs = [pair(-0.1, attack="mine", source=f"DPSH-ResNet18-{n}") for n in (12, 32)]
    return [table([judge(one, Thresholds()) for one in compare(pairs)]), title]


@WIDTHS
@pytest.mark.parametrize("parts", [status(), check()], ids=["status", "check"])
def test_tables_of_commands_fit(parts: list[Part], width: int) -> None:
    text = text_of(parts, width)
    assert not too_wide(text, width)
    assert "…" not in text


@WIDTHS
def test_plan_and_doctor_fit(width: int, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    place = ["--cache", str(cache)]
    small = ["-p", "n_train=112", "-p", "n_query=24", "-p", "n_database=208"]
    plan = run_cli("plan", "--suite", "smoke", *place)
    doctor = run_cli("doctor", "digits", *small, *place)
    for text in (plan.stdout.split("output folder")[0], doctor.stdout):
        assert "───" in text
        assert not too_wide(text, width)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_and_teaches(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"], env={"TERMINAL_WIDTH": "80"})
    assert done.exit_code == 0
    assert not too_wide(done.output, 80)
    assert "…" not in done.output
    assert f"Example: run-benchmark {command} " in " ".join(done.output.split())
    assert not {c.name for c in app.registered_commands} - set(COMMANDS), "none was forgotten"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("run --suite de", ["demo"]),
        ("plan -s figure4", ["figure4a", "figure4b"]),
        ("run --scale ", ["mini", "paper", "saat"]),
        ("run --protocol paper", ["paper", "paper-literal"]),
        ("run --dataset F", ["FLICKR-25K"]),
        ("doctor dig", ["digits"]),
        ("run --attack prosgan", ["prosgan", "prosgan-eps", "prosgan1"]),
        ("check --attack dhta-", ["dhta-fgsm", "dhta-ifgsm"]),
        ("list sc", ["scales"]),
        ("list attacks dhta-f", ["dhta-fgsm"]),
        ("list suites sho", ["showcase"]),
        ("sta", ["status"]),
        ("run --suite nothing-like-it", []),
    ],
)
def test_bash_completes_names(line: str, wanted: list[str], cache: Path) -> None:
    words = f"run-benchmark {line}"
    done = CliRunner().invoke(
        app,
        prog_name="run-benchmark",
        env={
            "_RUN_BENCHMARK_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
            "XDG_CACHE_HOME": str(cache),
        },
    )
    assert done.output.split() == wanted
