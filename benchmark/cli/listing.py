"""What a suite can name, as tables for the command line."""

from __future__ import annotations

import dataclasses
from typing import Any

from hashattack.attacks.protocols import PROTOCOLS
from hashattack.benchmark.names import first_line, lookup
from hashattack.benchmark.registry import registry
from hashattack.benchmark.suites.loading import load_suite
from hashattack.benchmark.suites.parameters import hyper_parameters
from hashattack.benchmark.suites.sources import shipped

Table = tuple[list[str], list[list[str]]]


def listing(kind: str, protocol: str) -> Table:
    """Return header and rows for ``attacks``, ``targets``, ``datasets`` or ``suites``."""
    tables = {
        "attacks": lambda: _attacks(protocol),
        "targets": _targets,
        "datasets": _datasets,
        "suites": _suites,
    }
    return tables[kind]()


def _attacks(protocol: str) -> Table:
    chosen = lookup("protocol", protocol, PROTOCOLS)
    rows = []
    for id_, entry in registry().attacks.items():
        attack = entry.build(chosen)
        budget = "none" if attack.epsilon is None else f"{255 * attack.epsilon:g}/255"
        settings = ", ".join(f"{n}={_short(v)}" for n, v in hyper_parameters(attack).items())
        absent = f" ({attack.unavailable})" if attack.unavailable else ""
        rows.append([id_, attack.title, budget, settings, entry.help + absent])
    return ["id", "name", "budget", f"hyper-parameters ({protocol})", "what it is"], rows


def _targets() -> Table:
    known = registry()
    rows = [
        [role, name, _fields(cls), first_line(cls)]
        for role, classes in (("method", known.methods), ("backbone", known.backbones))
        for name, cls in classes.items()
    ]
    return ["key", "name", "parameters", "what it is"], rows


def _datasets() -> Table:
    rows = [[name, _fields(cls), first_line(cls)] for name, cls in registry().datasets.items()]
    return ["name", "parameters", "what it is"], rows


def _suites() -> Table:
    suites = [load_suite(name) for name in shipped()]
    rows = [[suite.name, " ".join(suite.description.split())] for suite in suites]
    return ["name", "what it is"], rows


def _fields(cls: type[Any]) -> str:
    return ", ".join(f"{f.name}={_short(f.default)}" for f in dataclasses.fields(cls))


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
