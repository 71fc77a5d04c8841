"""Everything that a suite can name, collected from the packages that declare it."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType
from typing import Any, TypeVar

from hashattack import attacks, datasets, targets
from hashattack.attacks.base import Attack, Entry
from hashattack.attacks.protocols import PROTOCOLS, Protocol
from hashattack.benchmark.plugins import FOREIGN, PluginError, line_in, plugin_modules
from hashattack.datasets.base import DatasetSpec
from hashattack.targets.backbones import Backbone
from hashattack.targets.losses import HashingMethod

T = TypeVar("T")


@dataclass(frozen=True)
class Registry:
    """What suites may name: attacks by id, the rest by class name attribute."""

    attacks: Mapping[str, Entry]
    datasets: Mapping[str, type[DatasetSpec]]
    methods: Mapping[str, type[HashingMethod]]
    backbones: Mapping[str, type[Backbone]]


def registry() -> Registry:
    """Import the modules of all packages, and plug-ins, and return what they declare.

    Raises:
        PluginError: two declare one name, or an attack cannot be built.
    """
    return _collected(tuple(plugin_modules()))


@cache
def _collected(plugins: tuple[ModuleType, ...]) -> Registry:
    modules = [*_modules(datasets), *_modules(targets), *_modules(attacks), *plugins]
    entries = {
        id(thing): _checked(thing)  # each once, however many modules have it
        for module in modules
        for thing in vars(module).values()
        if isinstance(thing, Entry)
    }
    return Registry(
        attacks=_unique((one.build(PROTOCOLS["released"]).id, one) for one in entries.values()),
        datasets=_classes(modules, DatasetSpec),  # type: ignore[type-abstract]
        methods=_classes(modules, HashingMethod),  # type: ignore[type-abstract]
        backbones=_classes(modules, Backbone),  # type: ignore[type-abstract]
    )


def _checked(entry: Entry) -> Entry:
    """Return the entry with a function whose error names the attack and the line."""

    @functools.wraps(entry.build)
    def build(protocol: Protocol) -> Attack:
        try:
            built: Any = entry.build(protocol)
            if not isinstance(built, Attack):
                raise TypeError(f"it is a {type(built).__name__}")
        except FOREIGN as error:
            file = inspect.getsourcefile(entry.build) or ""
            line = line_in(error, file)
            place = f" ({file}, line {line})" if line is not None else ""
            raise PluginError(
                f"the attack '{entry.build.__name__}' cannot be built: "
                f"{type(error).__name__}: {error}{place}"
            ) from error
        return built

    return replace(entry, build=build)


def _modules(package: ModuleType) -> list[ModuleType]:
    infos = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    return [importlib.import_module(info.name) for info in infos]


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
