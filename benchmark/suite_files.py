"""Suite and scale files: found by name or path, included, scaled, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from benchmark.scales import Scale, scaled
from benchmark.suite import Suite, faults, parse_suite
from benchmark.suite_sources import SuiteError, included, read_source

_OWN = ("name", "include", "description", "tables")  # what an including suite does not hand down


def load_suite(name: str, changes: Mapping[str, Any] | None = None) -> Suite:
    """Read a shipped suite by name, or a suite file by path, some of its keys replaced.

    Raises:
        SuiteError: unknown name, unreadable file, or a fault in it.
    """
    return _composed(name, dict(changes or {}), ())


def _composed(name: str, changes: Mapping[str, Any], within: tuple[str, ...]) -> Suite:
    """Return a suite; one that includes others is the union of them, its own keys replacing."""
    path, content = read_source(name, "suites", "suite")
    if name in within:
        raise SuiteError(f"{path}: includes itself ({' > '.join([*within, name])})")
    content = {"name": path.stem, **content, **changes}
    if "include" not in content:
        return _leaf(content, str(path))
    down = {key: value for key, value in content.items() if key not in _OWN}
    parts = [
        part
        for other in included(content)
        for suite in [_composed(other, down, (*within, name))]
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
    path, found = read_source(wanted, "scales", "scale")
    try:
        scale = Scale.model_validate(found)
    except ValidationError as error:
        raise SuiteError("\n".join(f"{path}: {line}" for line in faults(error))) from None
    return parse_suite(scaled(content, scale), f"{origin} at scale {wanted}")
