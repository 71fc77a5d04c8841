"""Functions that were meant to be attacks: they return one, and nothing declares them."""

from __future__ import annotations

import ast
from pathlib import Path


def undeclared(file: Path) -> list[tuple[str, int]]:
    """Return name and line of a file's functions that return an Attack but lack ``@attack``."""
    tree = ast.parse(file.read_bytes())
    return [
        (node.name, node.lineno)
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and not any(_called(decorator) == "attack" for decorator in node.decorator_list)
        and _returns_attack(node)
    ]


def _returns_attack(function: ast.FunctionDef) -> bool:
    given = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    calls = [value.func for value in given if isinstance(value, ast.Call)]
    return "Attack" in (_called(node) for node in (function.returns, *calls))


def _called(node: ast.expr | None) -> str:
    """Return the last name of an expression like ``base.Attack``, or of its text."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    return getattr(node, "attr", getattr(node, "id", ""))
