"""The generated parts of the reference.

A page holds ``<!-- generate: columns -->`` where the part of that name goes. mkdocs calls the two
functions ``on_…``; the others return Markdown.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import typer
import typer.cli
from pydantic import TypeAdapter
from tabulate import tabulate

from hashattack.attacks.base import PARTS as PARTS_OF_ATTACKS
from hashattack.attacks.protocols import PROTOCOLS, Protocol
from hashattack.benchmark.cli.main import app
from hashattack.benchmark.columns import COLUMNS
from hashattack.benchmark.names import budget_text
from hashattack.benchmark.plan.cells import budget_class
from hashattack.benchmark.registry import registry
from hashattack.benchmark.suites.loading import hyper_parameters
from hashattack.benchmark.suites.suite import (
    AttackEntry,
    ComputeEntry,
    DatasetEntry,
    OneOrSeveral,
    Scale,
    Suite,
    TargetEntry,
)
from hashattack.targets.hasher import Recipe

NOTEBOOK = Path(__file__).parent / "notebooks" / "attack.ipynb"
_KINDS = {
    "cell": "What was run",
    "status": "What became of it",
    "draw": "The draw of target labels",
    "retrieval": "The ranking",
    "distortion": "The images",
    "cost": "The cost",
    "compute": "How networks were run",
}
MODELS: Mapping[type[Any], str] = {
    Suite: "A suite",
    DatasetEntry: "An entry of datasets",
    TargetEntry: "An entry of targets",
    Recipe: "training and pretraining",
    AttackEntry: "An entry of attacks",
    ComputeEntry: "compute",
    Scale: "A scale",
}


def commands() -> str:
    """Return every command with its options, as ``typer utils docs`` writes them."""
    program = typer.main.get_command(app)
    text = typer.cli.get_docs_for_click(
        obj=program, ctx=typer.Context(program), name="run-benchmark"
    )
    text = re.sub(r"\*\*Commands\*\*:\n\n(\* .*\n)+", "", text)  # its lines are cut short
    text = re.sub(r"^(Example|Start with): (.*)$", r"**\1**:\n\n```sh\n\2\n```", text, flags=re.M)
    return text.partition("\n")[2]  # the page has its own title


def suite() -> str:
    """Return the keys of a suite and of what is in it: type, default, meaning."""
    parts = []
    for model, heading in MODELS.items():
        parts.append(f"## {heading} {{ #{model.__name__.lower()} }}")
        parts.append((inspect.getdoc(model) or "").partition("\n\nAttributes:")[0])
        parts.append(_table(("key", "type", "default", "meaning"), _keys(model)))
    return "\n\n".join(parts)


def columns() -> str:
    """Return the columns of ``results.csv``, a table for each kind."""
    parts = []
    for kind, heading in _KINDS.items():
        rows = [
            (f"`{name}`", column.dtype, column.better or "", f"{column.help}.")
            for name, column in COLUMNS.items()
            if column.kind == kind
        ]
        parts.append(f"## {heading}")
        parts.append(_table(("column", "type", "better", "meaning"), rows))
    return "\n\n".join(parts)


def attacks() -> str:
    """Return the registered attacks: papers, parts, hyper-parameters under ``released``."""
    rows, made = [], []
    parts: dict[str, str] = {}
    for id_, entry in registry().attacks.items():
        attack = entry.build(PROTOCOLS["released"])
        paper = f"[{attack.paper}]({attack.url})" if attack.url else attack.paper
        budget = budget_text(budget_class(attack))
        rows.append((f"`{id_}`", attack.title, entry.help, budget, paper))
        own = [type(getattr(attack, role)) for role in PARTS_OF_ATTACKS]
        parts |= {one.__name__: inspect.getdoc(one) or "" for one in own if one is not type(None)}
        names = ("" if one is type(None) else f"`{one.__name__}`" for one in own)
        known = hyper_parameters(attack).items()
        listed = ", ".join(f"`{name}={_short(value)}`" for name, value in known)
        made.append((f"`{id_}`", *names, listed))
    lines = [(f"`{name}`", text.split("\n")[0]) for name, text in sorted(parts.items())]
    return "\n\n".join(
        [
            _table(("id", "name", "what it does", "budget", "paper"), rows),
            "## How they are made",
            _table(("id", "target code", "crafting", "hyper-parameters"), made),
            "## Their parts",
            _table(("part", "what it does"), lines),
        ]
    )


def protocols() -> str:
    """Return the values of every protocol, and what they are."""
    meanings = _described(Protocol)
    rows = [
        (f"`{field.name}`", meanings[field.name], *map(_short, values))
        for field in fields(Protocol)
        if field.name != "name"
        for values in [[getattr(one, field.name) for one in PROTOCOLS.values()]]
    ]
    return _table(("value", "meaning", *(f"`{name}`" for name in PROTOCOLS)), rows)


def notebook() -> str:
    """Return the notebook as it ran: its text, code and outputs."""
    parts: list[str] = []
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        for data in (output.get("data", {}) for output in cell.get("outputs", ())):
            if "image/png" in data:
                alt = "What the code above draws"
                parts.append(
                    f"![{alt}](data:image/png;base64,{''.join(data['image/png']).strip()})"
                )
            elif "text/html" in data:
                parts.append("".join(data["text/html"]))
            else:
                parts.append(f"```text\n{''.join(data['text/plain'])}\n```")
    return "\n\n".join(parts)


PARTS = {one.__name__: one for one in (commands, suite, columns, attacks, protocols, notebook)}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the generated parts into a page."""
    return re.sub(r"<!-- generate: (\w+) -->", lambda found: PARTS[found[1]](), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Show what docstrings name by a role, like ``:class:`~a.b.C```, as ``C``."""
    return re.sub(r":(?:class|meth|func|data|attr):<code>~?(?:[\w.]+\.)?", "<code>", html)


def _keys(model: type[Any]) -> Iterator[Sequence[str]]:
    schema = TypeAdapter(model).json_schema()
    schema = schema.get("$defs", {}).get(model.__name__, schema)
    meanings = _described(model)
    several = set() if is_dataclass(model) else _several(model)
    for name, field in schema["properties"].items():
        if name == "parts":  # no key of a file
            continue
        kind = _kind(field["items"]) + ", or a list" if name in several else _kind(field)
        yield f"`{name}`", kind, _default(field), meanings[name]


def _several(model: Any) -> set[str]:
    """Return the keys that take one value or a list of them."""
    found = model.model_fields.items()
    before = type(OneOrSeveral)
    return {name for name, field in found if any(isinstance(m, before) for m in field.metadata)}


def _default(field: Mapping[str, Any]) -> str:
    """Return the default of a key as a file would have it; nothing for an empty one."""
    value = None if "$ref" in field else field.get("default")
    if isinstance(value, list) and len(value) == 1:
        [value] = value
    if value in (None, "", [], {}):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _kind(schema: Mapping[str, Any]) -> str:
    """Return a type of a JSON schema in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[mapping](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema.get("enum", [schema.get("const")]))
    if schema["type"] == "array":
        return f"list, each {_kind(schema['items'])}"
    kinds = {"object": "mapping", "string": "text", "boolean": "true or false"}
    least = f" from {schema['minimum']}" if "minimum" in schema else ""
    return f"{kinds.get(schema['type'], schema['type'])}{least}"


def _described(cls: type[Any]) -> dict[str, str]:
    """Return what the section ``Attributes`` of a class's docstring says of each."""
    section = (inspect.getdoc(cls) or "").partition("Attributes:\n")[2]
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, flags=re.M)
    return {name: re.sub(r"\s+", " ", text) for name, text in found}


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    return tabulate(cells, head, tablefmt="pipe", disable_numparse=True)
