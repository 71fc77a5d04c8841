"""Everything that can be named in a suite, collected by folder; leaves declare, this collects."""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, TypeVar

import attacks
import datasets
import targets
from attacks.base import Entry
from attacks.protocols import PROTOCOLS
from datasets.base import DatasetSpec
from datasets.errors import UserError
from targets.backbones import Backbone
from targets.losses import HashingMethod

T = TypeVar("T")


class UnknownNameError(UserError):
    """A name that is not registered, with the nearest ones that are."""


@dataclass(frozen=True)
class Registry:
    """What suites may name: attacks by id, the rest by class name attribute."""

    attacks: Mapping[str, Entry]
    datasets: Mapping[str, type[DatasetSpec]]
    methods: Mapping[str, type[HashingMethod]]
    backbones: Mapping[str, type[Backbone]]


_LISTED = 40  # names a message lists at most


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean …?`` for a mistyped name, or the list of what there is."""
    names = sorted(known)
    lower = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{lower[close[0]]}'?"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"; there is {', '.join(names[:_LISTED])}{more}"


def lookup(kind: str, name: str, known: Mapping[str, T]) -> T:
    """Return ``known[name]``.

    Raises:
        UnknownNameError: with the nearest right name.
    """
    if name not in known:
        raise UnknownNameError(f"unknown {kind} '{name}'{nearest(name, known)}")
    return known[name]


def first_line(thing: Any) -> str:
    """Return the first docstring line, the help of everything listed."""
    return (inspect.getdoc(thing) or "").split("\n")[0].replace("``", "")


@cache
def registry() -> Registry:
    """Import every module of the three rooms and collect what they declare."""
    return Registry(
        attacks=_unique(
            (entry.build(PROTOCOLS["released"]).id, entry)
            for module in _modules(attacks)
            for entry in vars(module).values()
            if isinstance(entry, Entry)
        ),
        datasets=_classes(datasets, DatasetSpec),  # type: ignore[type-abstract]
        methods=_classes(targets, HashingMethod),  # type: ignore[type-abstract]
        backbones=_classes(targets, Backbone),  # type: ignore[type-abstract]
    )


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(info.name)


def _classes(package: ModuleType, base: type[T]) -> dict[str, type[T]]:
    """Return the package's subclasses of ``base`` that give themselves a name."""
    return _unique(
        (str(vars(thing)["name"]), thing)
        for module in _modules(package)
        for thing in vars(module).values()
        if inspect.isclass(thing)
        and issubclass(thing, base)
        and thing.__module__ == module.__name__
        and isinstance(vars(thing).get("name"), str)
    )


def _unique(pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    found: dict[str, T] = {}
    for name, thing in pairs:
        if found.setdefault(name, thing) is not thing:
            raise ValueError(f"two plug-ins are called '{name}'; rename one")
    return dict(sorted(found.items()))
