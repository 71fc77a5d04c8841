"""The documentation is true: its code runs, its commands parse, its reference is complete."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from docs import generate
from hashattack.attacks.protocols import PROTOCOLS, Protocol
from hashattack.benchmark.cli.main import app
from hashattack.benchmark.columns import COLUMNS
from hashattack.benchmark.registry import registry
from hashattack.benchmark.suites.loading import load_suite, parse_params
from hashattack.benchmark.suites.sources import shipped
from tests.conftest import ROOT, SmokeRun

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAM: Any = typer.main.get_command(app)
COMMANDS = generate.commands()
THEIRS = {"mine", "squared", "my-attack", "my-codes", "my-idea", "*"}  # attacks that pages make up


def blocks(page: Path, language: str) -> list[tuple[str, str]]:
    """Return the title and the text of each code block of a language."""
    text = page.read_text(encoding="utf-8").replace("<!-- generate: commands -->", COMMANDS)
    return re.findall(rf'^```{language}(?: title="([^"]*)")?\n(.*?)^```', text, flags=re.M | re.S)


def names(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each call of a program in shell lines."""
    for line in text.replace("\\\n", " ").splitlines():
        if re.search(r"\brun-benchmark\b", line):
            words = shlex.split(line[line.index("run-benchmark") :], comments=True)
            ends = [n for n, word in enumerate(words) if word in ("&&", "&")]
            yield words[1 : ends[0] if ends else None]


def shell(page: Path) -> Iterator[str]:
    """Yield the shell blocks of a page, and what its workflows run."""
    yield from (text for _, text in blocks(page, "sh"))
    for title, text in blocks(page, "yaml"):
        for job in yaml.safe_load(text)["jobs"].values() if "/" in title else ():
            yield from (step["run"] for step in job["steps"] if "run" in step)


SHELL = [
    pytest.param(words, id=" ".join([page.stem, *words]))
    for page in PAGES
    for text in shell(page)
    for words in commands(text)
]


@pytest.mark.parametrize("words", SHELL)
def test_commands_can_be_given(words: list[str]) -> None:
    if words[0].startswith("--"):
        assert words[0] in {option for one in PROGRAM.params for option in one.opts}
        return
    name, command, rest = PROGRAM.resolve_command(typer.Context(PROGRAM), words)
    given = command.make_context(name, rest).params
    suite = given.get("suite") or "demo"
    if not suite.endswith(".yaml"):
        assert suite in shipped()
        load_suite(suite, values=parse_params(given.get("values") or (), "--set"))
    listed = given.get("attack") or []
    attacks = {listed} if isinstance(listed, str) else {*listed}
    assert attacks <= THEIRS | registry().attacks.keys()


PYTHON = [page for page in PAGES if blocks(page, "python")]


@pytest.mark.parametrize("page", PYTHON, ids=names(PYTHON))
def test_python_runs(
    page: Path, smoke: SmokeRun, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "demo").symlink_to(smoke.out)
    (tmp_path / "hashattack").symlink_to(cache)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shared: dict[str, Any] = {"__name__": page.stem}
    for title, text in blocks(page, "python"):
        code = text.replace("DPSH-AlexNet-32", "DPSH-Tiny-32")  # the smoke run stands for the demo
        exec(compile(code, f"{page.name} {title}", "exec"), shared)


SUITES = [
    pytest.param(title, text, id=f"{page.stem}-{title}")
    for page in PAGES
    for title, text in blocks(page, "yaml")
]


@pytest.mark.parametrize(("title", "text"), SUITES)
def test_suites_load(title: str, text: str, tmp_path: Path) -> None:
    if "/" in title:  # a workflow
        assert yaml.safe_load(text)["jobs"]
        return
    file = tmp_path / title
    file.write_text(text, encoding="utf-8")
    assert load_suite(str(file))


def test_make_has_the_targets() -> None:
    have = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    texts = [text for page in PAGES for _, text in blocks(page, "sh")]
    named = {name for text in texts for name in re.findall(r"^make (\w+)", text, flags=re.M)}
    assert {"bench", "test"} <= named <= have


def test_the_reference_has_every_command_and_option() -> None:
    for name, command in PROGRAM.commands.items():
        section = COMMANDS.partition(f"## `run-benchmark {name}`\n")[2].partition("\n## ")[0]
        options = {option for one in command.params for option in one.opts if option[0] == "-"}
        assert options
        assert all(f"{option}" in section for option in options), name


@pytest.mark.parametrize("model", generate.MODELS)
def test_the_reference_has_every_key_of_a_suite(model: type[Any]) -> None:
    keys = [one.name for one in fields(model)] if is_dataclass(model) else list(model.model_fields)
    section = (
        generate.suite().partition(f"{{ #{model.__name__.lower()} }}")[2].partition("\n## ")[0]
    )
    assert all(f"| `{key}` " in section for key in keys if key != "parts")


def test_the_reference_has_every_column_attack_and_protocol() -> None:
    assert all(f"| `{name}` " in generate.columns() for name in COLUMNS)
    text = generate.attacks()
    assert all(text.count(f"| `{name}` ") == 2 for name in registry().attacks)
    assert "[Wang et al., CVPR 2021](https://arxiv.org/abs/2105.07553)" in text
    head, *rows = generate.protocols().splitlines()
    assert all(f"`{name}`" in head for name in PROTOCOLS)
    assert all(any(f"| `{one.name}` " in r for r in rows) for one in fields(Protocol)[1:])


def test_every_generated_part_is_on_a_page() -> None:
    texts = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert sorted(re.findall(r"<!-- generate: (\w+) -->", texts)) == sorted(generate.PARTS)
    assert "| `t_map` " in generate.on_page_markdown("<!-- generate: columns -->")


def test_roles_of_docstrings_become_names() -> None:
    html = "see :class:`~a.b.C` or :meth:`loss`".replace(":`", ":<code>").replace("`", "</code>")
    assert generate.on_page_content(html) == "see <code>C</code> or <code>loss</code>"


def test_the_readme_is_short_and_its_links_and_pictures_are_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert links
    assert all((ROOT / link).is_file() for link in links)
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.stat().st_size < 200_000
        assert re.search(rf"!\[.{{20,}}\]\(docs/images/{picture.name}\)", text), "an alt text"
