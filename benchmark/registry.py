"""Everything that can be named in a suite, collected by folder; leaves declare, this collects."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType
from typing import Any, TypeVar

from hashattack import attacks, datasets, targets
from hashattack.attacks.base import Attack, Entry
from hashattack.attacks.protocols import PROTOCOLS, Protocol
from hashattack.benchmark.plugins import FOREIGN, PluginError, plugin_modules
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
    """Import every module of the three rooms, and plug-ins, and collect what they declare.

    Raises:
        PluginError: two declare one name, or an attack cannot be built.
    """
    return _collected(tuple(plugin_modules()))


@cache
def _collected(plugins: tuple[ModuleType, ...]) -> Registry:
    return Registry(
        attacks=_unique(
            (entry.build(PROTOCOLS["released"]).id, entry)
            for entry in _entries((*_modules(attacks), *plugins))
        ),
        datasets=_classes((*_modules(datasets), *plugins), DatasetSpec),  # type: ignore[type-abstract]
        methods=_classes((*_modules(targets), *plugins), HashingMethod),  # type: ignore[type-abstract]
        backbones=_classes((*_modules(targets), *plugins), Backbone),  # type: ignore[type-abstract]
    )


def _entries(modules: Iterable[ModuleType]) -> Iterator[Entry]:
    """Yield the attacks of modules, each once, however many modules have it."""
    things = (thing for module in modules for thing in vars(module).values())
    found = {id(thing): thing for thing in things if isinstance(thing, Entry)}
    return map(_careful, found.values())


def _careful(entry: Entry) -> Entry:
    """Return the entry with a function that says which attack cannot be built, and where."""

    @functools.wraps(entry.build)
    def build(protocol: Protocol) -> Attack:
        name, file = entry.build.__name__, inspect.getsourcefile(entry.build)
        try:
            built: Any = entry.build(protocol)
        except FOREIGN as error:
            frames = traceback.extract_tb(error.__traceback__)
            lines = [frame.lineno for frame in frames if frame.filename == file]
            place = f" ({file}, line {lines[-1]})" if lines else ""
            raise PluginError(
                f"the attack '{name}' cannot be built: {type(error).__name__}: {error}{place}"
            ) from error
        if not isinstance(built, Attack):
            raise PluginError(
                f"the attack '{name}' cannot be built: it is a {type(built).__name__}"
            )
        return built

    return replace(entry, build=build)


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
