"""Attacks to begin with: files that run as they are and keep the contract, to be changed."""

from __future__ import annotations

import ast
import builtins
import keyword
import re
from collections.abc import Collection
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from hashattack.benchmark.names import ID_RULE, is_id
from hashattack.datasets.errors import UserError


class DraftError(UserError):
    """A draft that cannot be written; the text says why and what to do."""


@dataclass(frozen=True)
class Draft:
    """A written file, and the id of the attack in it."""

    file: Path
    id: str


def write_draft(kind: str, name: str, folder: Path, taken: Collection[str] = ()) -> Draft:
    """Write an attack that runs as it is.

    Args:
        kind: ``loss``, ``loop``, ``fit`` or ``rule``: what is new about it.
        name: the attack's id, like ``my-idea``; capitals and '_' become small letters and dashes.
        folder: where the file goes.
        taken: ids that it cannot have.

    Raises:
        DraftError: not an id, one that is taken, or a file that is there already.
    """
    id_ = name.lower().replace("_", "-")
    words = re.split("[-.]", id_)
    if not is_id(id_) or not words[0][0].isalpha():
        raise DraftError(
            f"'{name}' is no id for an attack: a letter first, then {ID_RULE}, like my-idea"
        )
    if id_ in taken:
        raise DraftError(f"there is an attack '{id_}' already; choose another id, like my-{id_}")
    template = resources.files("hashattack.benchmark") / "templates" / f"{kind}.txt"
    text = template.read_text(encoding="utf-8")
    own = _names(text)
    named = {
        "id": id_,
        "title": " ".join(words).capitalize(),
        "cls": _free("".join(word.capitalize() for word in words), own),
        "function": _free("_".join(words), own),
    }
    file = folder / f"{'_'.join(words)}.py"
    try:
        with file.open("x", encoding="utf-8") as written:
            written.write(text.format(**named))
    except FileExistsError:
        raise DraftError(f"{file} is there already; choose another id or --to") from None
    return Draft(file, id_)


def _free(name: str, own: Collection[str]) -> str:
    """Return a name that stands for nothing else in the file."""
    return f"{name}_" if name in own else name


def _names(template: str) -> set[str]:
    """Return the names that stand for something else in what a template becomes."""
    tree = ast.parse(template.format(id="x", title="X", cls="Draft", function="draft"))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    return {*used, *imported, *keyword.kwlist, *dir(builtins)} - {"Draft", "draft"}
