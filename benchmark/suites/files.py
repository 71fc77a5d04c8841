"""Suite and scale files: found by name or path, included, scaled, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from hashattack.benchmark.names import lookup
from hashattack.benchmark.registry import registry
from hashattack.benchmark.suites.scales import Scale, scaled
from hashattack.benchmark.suites.sources import SuiteError, included, read_source
from hashattack.benchmark.suites.suite import AttackEntry, Suite, faults, parse_suite

_OWN = ("name", "include", "description", "tables")  # what an including suite does not hand down
_ANY = "**"  # a glob of all attack ids that no scale's "*" is merged with


def load_suite(
    name: str, changes: Mapping[str, Any] | None = None, attacks: Sequence[str] = ()
) -> Suite:
    """Read a shipped suite by name, or a suite file by path, some of its keys replaced.

    ``attacks`` are taken beside its own.

    Raises:
        SuiteError: unknown name, unreadable file, or a fault in it.
    """
    suite = _composed(name, dict(changes or {}), ())
    return _with_attacks(suite, attacks) if attacks else suite


def _with_attacks(suite: Suite, attacks: Sequence[str]) -> Suite:
    """Return the suite, and those it is the union of, with more attacks.

    Raises:
        UnknownNameError: there is no attack of that name.
    """
    for name in attacks:
        lookup("attack", name, registry().attacks)
    present = {entry.attack for entry in suite.attacks if not entry.params}
    new = [AttackEntry(attack=name) for name in dict.fromkeys(attacks) if name not in present]
    parts = [_with_attacks(part, attacks) for part in suite.parts]
    return suite.model_copy(update={"attacks": [*suite.attacks, *new], "parts": parts})


def _composed(name: str, changes: Mapping[str, Any], within: tuple[str, ...]) -> Suite:
    """Return a suite; one that includes others is the union of them, its own keys replacing."""
    path, content = read_source(name, "suites", "suite")
    if name in within:
        raise SuiteError(f"{path}: includes itself ({' > '.join([*within, name])})")
    content = {"name": path.stem, **content, **changes}
    if "include" not in content:
        lent = "attacks" in changes and "params" not in changes
        return _leaf(_for_any(content) if lent else content, str(path))
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


def _for_any(content: dict[str, Any]) -> dict[str, Any]:
    """Return a suite whose ``params`` are for whatever attacks an including suite puts into it.

    None of them need have those hyper-parameters; what no attack there is has, is still a fault.
    """
    params = content.get("params")
    own = content.get("attack_params", {})
    if not isinstance(params, dict) or not isinstance(own, dict):  # a fault, or nothing to lend
        return content
    settings = {**own, _ANY: {**own.get(_ANY, {}), **params}}  # the last one counts, as params do
    return {**content, "params": {}, "attack_params": settings}


def _leaf(content: dict[str, Any], origin: str) -> Suite:
    plain = parse_suite(content, origin)  # its own faults first, at their own places
    wanted = plain.scale
    if wanted is None:
        return plain
    path, found = read_source(wanted, "scales", "scale")
    try:
        scale = Scale.model_validate(found)
    except ValidationError as error:
        raise SuiteError(
            "\n".join(f"{path}: {line}" for line in faults(error, model=Scale))
        ) from None
    return parse_suite(scaled(content, scale), f"{origin} at scale {wanted}")
