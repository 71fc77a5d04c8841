"""The files a suite is written in: shipped ones by name, a person's by path. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from hashattack.benchmark.names import nearest
from hashattack.datasets.errors import UserError

_DEEPEST = 20


class SuiteError(UserError):
    """A suite that cannot be run as written; the text names the place and the remedy."""


def shipped(kind: str = "suites") -> dict[str, Path]:
    """Return the ``suites`` or ``scales`` that come with the program, by name."""
    folder = Path(str(resources.files("hashattack.benchmark") / kind))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_source(name: str, folder: str, kind: str) -> tuple[Path, dict[str, Any]]:
    """Return a suite's or a scale's file and content.

    Args:
        name: of a shipped one, or a path that ends in ``.yaml``.
        folder: ``suites`` or ``scales``.
        kind: what an error calls it.

    Raises:
        SuiteError: unknown name, unreadable file, or no mapping in it.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        known = shipped(folder)
        if name not in known:
            raise SuiteError(
                f"unknown {kind} '{name}'{nearest(name, known)} A file is named by its path, "
                "ending in .yaml."
            )
        path = known[name]
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SuiteError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise SuiteError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise SuiteError(f"{path}: a {kind} is a mapping of keys to values")
    return path, content


def suite_name(name: str) -> str:
    """Return what a suite calls itself."""
    path, content = read_source(name, "suites", "suite")
    return str(content.get("name", path.stem))


def included(content: dict[str, Any]) -> list[str]:
    """Return the names of the suites that a suite is the union of."""
    named = content.get("include", [])
    return [str(other) for other in (named if isinstance(named, list) else [named])]


def source_files(name: str, scale: str | None = None, within: int = 0) -> Iterator[Path]:
    """Yield the files that a suite is read from, those it includes among them."""
    path, content = read_source(name, "suites", "suite")
    yield path
    scale = scale or content.get("scale")
    for other in included(content) if within < _DEEPEST else ():  # one that includes itself is a
        yield from source_files(other, scale, within + 1)  # fault that loading tells
    if scale is not None:
        yield read_source(scale, "scales", "scale")[0]
