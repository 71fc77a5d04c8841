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
from benchmark.plugins import FOREIGN, PluginError, plugin_modules
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


def registry() -> Registry:
    """Import every module of the three rooms, and plug-ins, and collect what they declare.

    Raises:
        PluginError: two declare one name, or an attack cannot be built.
    """
    return _collected(tuple(plugin_modules()))


@cache
def _collected(plugins: tuple[ModuleType, ...]) -> Registry:
    return Registry(
        attacks=_unique(
            (_id(entry), entry)
            for module in (*_modules(attacks), *plugins)
            for entry in vars(module).values()
            if isinstance(entry, Entry)
        ),
        datasets=_classes((*_modules(datasets), *plugins), DatasetSpec),  # type: ignore[type-abstract]
        methods=_classes((*_modules(targets), *plugins), HashingMethod),  # type: ignore[type-abstract]
        backbones=_classes((*_modules(targets), *plugins), Backbone),  # type: ignore[type-abstract]
    )


def _id(entry: Entry) -> str:
    try:
        return entry.build(PROTOCOLS["released"]).id
    except FOREIGN as error:
        name = getattr(entry.build, "__name__", "")
        raise PluginError(
            f"the attack '{name}' cannot be built: {type(error).__name__}: {error}"
        ) from error


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(info.name)


def _classes(modules: Iterable[ModuleType], base: type[T]) -> dict[str, type[T]]:
    """Return the modules' subclasses of ``base`` that give themselves a name."""
    return _unique(
        (str(vars(thing)["name"]), thing)
        for module in modules
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
            raise PluginError(f"two plug-ins are called '{name}'; rename one")
    return dict(sorted(found.items()))
