"""Everything that a suite can name, collected from the packages that declare it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import TypeVar

from hashattack import attacks, datasets, targets
from hashattack.attacks.base import Attack, AttackError, Entry
from hashattack.attacks.protocols import PROTOCOLS, Protocol
from hashattack.benchmark.plugins import FOREIGN, PluginError, line_in, plugin_modules
from hashattack.datasets.base import DatasetSpec
from hashattack.datasets.texts import ID_RULE, error_line, is_id, one_line
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
    own = [*_modules(datasets), *_modules(targets), *_modules(attacks)]
    modules = [*own, *plugins]
    entries = {id(one): one for one in _entries(modules)}  # each once, if many modules have it
    with_role = set(map(id, _entries(own)))
    return Registry(
        attacks=_unique(_checked(one, role=key in with_role) for key, one in entries.items()),
        datasets=_classes(modules, DatasetSpec),  # type: ignore[type-abstract]
        methods=_classes(modules, HashingMethod),  # type: ignore[type-abstract]
        backbones=_classes(modules, Backbone),  # type: ignore[type-abstract]
    )


def _entries(modules: Iterable[ModuleType]) -> Iterator[Entry]:
    # Not isinstance(), which asks an object for its class: a proxy may raise.
    return (one for module in modules for one in vars(module).values() if type(one) is Entry)


def _checked(entry: Entry, *, role: bool) -> tuple[str, Entry]:
    """Return an attack's id, and an entry that builds a plain copy of it, under every protocol.

    The error of its function names the attack and the line. ``role``: it may have one.
    """
    name = getattr(entry.build, "__name__", "without a name")

    def built(protocol: Protocol) -> Attack:
        try:
            made = Attack.of(entry.build(protocol))
            if made.role and not role:
                raise AttackError(
                    f"{made.id}: only the program's own attacks have a role, as other rows are "
                    "measured by them; leave it out"
                )
        except FOREIGN as error:
            file = getattr(getattr(entry.build, "__code__", None), "co_filename", "")
            line = line_in(error, file)
            place = f" ({file}, line {line})" if line is not None else ""
            reason = f"{error_line(error)}{place}"
            raise PluginError(f"the attack '{name}' cannot be built: {reason}") from error
        return made

    id_ = built(PROTOCOLS["released"]).id

    def build(protocol: Protocol) -> Attack:
        made = built(protocol)
        if made.id != id_:
            raise PluginError(f"the attack '{name}' calls itself '{id_}', then '{made.id}'")
        return made

    return id_, Entry(build, one_line(entry.help))


def _modules(package: ModuleType) -> list[ModuleType]:
    infos = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    return [importlib.import_module(info.name) for info in infos]


def _classes(modules: Iterable[ModuleType], base: type[T]) -> dict[str, type[T]]:
    """Return the modules' subclasses of ``base`` that give themselves a name.

    Raises:
        PluginError: a name that cannot stand in results.
    """
    found = _unique(
        (str.__str__(vars(thing)["name"]), thing)
        for module in modules
        for thing in vars(module).values()
        if issubclass(type(thing), type)
        and issubclass(thing, base)
        and thing.__module__ == module.__name__
        and isinstance(vars(thing).get("name"), str)
    )
    for name, thing in found.items():
        if not is_id(name):
            raise PluginError(
                f"the name of {thing.__name__} must be {ID_RULE}, got {one_line(repr(name))}"
            )
    return found


def _unique(pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    found: dict[str, T] = {}
    for name, thing in pairs:
        if found.setdefault(name, thing) is not thing:
            raise PluginError(f"two plug-ins are called '{name}'; rename one")
    return dict(sorted(found.items()))
