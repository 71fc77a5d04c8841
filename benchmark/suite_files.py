"""Suite and scale files: found by name or path, included, scaled, checked."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from benchmark.registry import nearest
from benchmark.scales import Scale, scaled
from benchmark.suite import Suite, SuiteError, faults, parse_suite

_OWN = ("name", "include", "description", "tables")  # what an including suite does not hand down


def shipped(kind: str = "suites") -> dict[str, Path]:
    """Return the ``suites`` or ``scales`` that come with the program, by name."""
    folder = Path(str(resources.files("benchmark") / kind))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_suite(name: str, changes: Mapping[str, Any] | None = None) -> Suite:
    """Read a shipped suite by name, or a suite file by path, some of its keys replaced.

    Raises:
        SuiteError: unknown name, unreadable file, or a fault in it.
    """
    return _composed(name, dict(changes or {}), ())


def _composed(name: str, changes: Mapping[str, Any], within: tuple[str, ...]) -> Suite:
    """Return a suite; one that includes others is the union of them, its own keys replacing."""
    path, content = _read(name, "suites", "suite")
    if name in within:
        raise SuiteError(f"{path}: includes itself ({' > '.join([*within, name])})")
    content = {"name": path.stem, **content, **changes}
    if "include" not in content:
        return _leaf(content, str(path))
    included = content.pop("include")
    down = {key: value for key, value in content.items() if key not in _OWN}
    parts = [
        part
        for other in (included if isinstance(included, list) else [included])
        for suite in [_composed(str(other), down, (*within, name))]
        for part in suite.parts or [suite]
    ]
    if not parts:
        raise SuiteError(f"{path}: include names no suite")
    whole = {
        "name": content["name"],
        "description": content.get("description", ""),
        "tables": list(dict.fromkeys(table for part in parts for table in part.tables)),
        "parts": parts,
    }
    return parts[0].model_copy(update=whole)


def _leaf(content: dict[str, Any], origin: str) -> Suite:
    plain = parse_suite(content, origin)  # its own faults first, at their own places
    wanted = plain.scale
    if wanted is None:
        return plain
    path, found = _read(wanted, "scales", "scale")
    try:
        scale = Scale.model_validate(found)
    except ValidationError as error:
        raise SuiteError("\n".join(f"{path}: {line}" for line in faults(error))) from None
    return parse_suite(scaled(content, scale), f"{origin} at scale {wanted}")


def _read(name: str, folder: str, kind: str) -> tuple[Path, dict[str, Any]]:
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
