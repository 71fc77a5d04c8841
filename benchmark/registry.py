"""Everything that can be named in a suite, collected by folder; leaves declare, this collects."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import TypeVar

import attacks
import datasets
import targets
from attacks.base import Entry
from attacks.protocols import PROTOCOLS
from datasets.base import DatasetSpec
from targets.backbones import Backbone
from targets.losses import HashingMethod

T = TypeVar("T")


@dataclass(frozen=True)
class Registry:
    """What suites may name: attacks by id, the rest by class name attribute."""

    attacks: Mapping[str, Entry]
    datasets: Mapping[str, type[DatasetSpec]]
    methods: Mapping[str, type[HashingMethod]]
    backbones: Mapping[str, type[Backbone]]


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
