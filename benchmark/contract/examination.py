"""Examining what plug-in files declare, and attacks by name."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from hashattack.attacks.base import Attack, Entry, TargetCode
from hashattack.attacks.protocols import PROTOCOLS, Protocol
from hashattack.benchmark.contract.attack_checks import CHECKS
from hashattack.benchmark.contract.checks import Verdict, raised, verdicts
from hashattack.benchmark.contract.part_checks import (
    BACKBONE_CHECKS,
    DATASET_CHECKS,
    METHOD_CHECKS,
    Source,
)
from hashattack.benchmark.contract.subject import Subject
from hashattack.benchmark.contract.world import World
from hashattack.benchmark.plugins import FOREIGN
from hashattack.datasets.base import DatasetSpec
from hashattack.targets.backbones import Backbone
from hashattack.targets.losses import HashingMethod

Build = Callable[[Protocol], Attack]
LIBRARY = "library"  # the check of what needs one that is absent


@dataclass(frozen=True)
class Declared:
    """What a module declares itself, in its order."""

    attacks: tuple[Entry, ...]
    parts: tuple[type[Any], ...]  # rules, losses, backbones and data sets

    def __bool__(self) -> bool:
        return bool(self.attacks or self.parts)


def declared(module: ModuleType) -> Declared:
    """Return what a module declares; what it imports from elsewhere is not its own."""
    things = [thing for thing in vars(module).values() if _home(thing) == module.__name__]
    classes = [thing for thing in things if inspect.isclass(thing)]
    return Declared(
        tuple(thing for thing in things if isinstance(thing, Entry)),
        tuple(cls for cls in classes if not inspect.isabstract(cls) and _nameable(cls)),
    )


def _nameable(cls: type[Any]) -> bool:
    """Whether a suite or an attack can name the class, as the registry sees it."""
    named = issubclass(cls, HashingMethod | Backbone | DatasetSpec) and "name" in vars(cls)
    return named or issubclass(cls, TargetCode)


def _home(thing: Any) -> str | None:
    return getattr(thing.build if isinstance(thing, Entry) else thing, "__module__", None)


def examine(build: Build, world: World) -> list[Verdict]:
    """Return the findings on an attack under every protocol; none means it keeps the contract."""
    return [found for found in attack_verdicts(build, world) if found.status == "broken"]


def attack_verdicts(build: Build, world: World) -> Iterator[Verdict]:
    """Yield what the checks of an attack come to; equal under several protocols, it is run once."""
    subjects: dict[tuple[str, bool], list[Subject]] = {}
    for protocol in PROTOCOLS.values():
        try:
            subject = Subject(build, protocol, world)
            composition = repr(subject.built), protocol.sees_database
            absent = subject.built.unavailable
        except FOREIGN as error:
            of = f"{getattr(build, '__name__', 'an attack')} ({protocol.name})"
            yield Verdict(of, "built", "broken", raised(error, _files(build)))
            continue
        if absent is not None:
            yield Verdict(subject.built.id, LIBRARY, "skipped", f"not checked: it {absent}")
            return
        subjects.setdefault(composition, []).append(subject)
    for subject, *others in subjects.values():
        names = [one.protocol.name for one in (subject, *others)]
        parts = (subject.built.target_code, subject.built.crafting)
        files = _files(build, *map(type, parts))
        try:
            yield from verdicts(f"{subject.built.id} ({', '.join(names)})", subject, CHECKS, files)
        finally:
            subject.restore()


def module_verdicts(module: ModuleType, world: World, cache: Path) -> Iterator[Verdict]:
    """Yield what the checks of all that a module declares come to.

    Args:
        module: a plug-in's.
        world: where attacks are examined.
        cache: where data sets are built.
    """
    found = declared(module)
    for entry in found.attacks:
        yield from attack_verdicts(entry.build, world)
    for cls in _unused(found):
        yield from _part_verdicts(cls, world, cache)


def title_verdicts(modules: Iterable[ModuleType], known: Mapping[str, Entry]) -> Iterator[Verdict]:
    """Yield a note for each attack of the modules whose title another attack has.

    Args:
        modules: of plug-ins.
        known: all attacks by id, those of the modules among them.
    """
    released = PROTOCOLS["released"]
    titles = {id_: entry.build(released).title for id_, entry in known.items()}
    for entry in (entry for module in modules for entry in declared(module).attacks):
        built = entry.build(released)
        others = [id_ for id_, title in titles.items() if title == built.title and id_ != built.id]
        if others:
            text = f"its title '{built.title}' is that of {others[0]} too; a report shows titles"
            yield Verdict(built.id, "title", "noted", text)


def _unused(found: Declared) -> Iterable[type[Any]]:
    """Yield the parts but for the rules that attacks of the same file use."""
    used = set()
    for entry in found.attacks:
        for protocol in PROTOCOLS.values():
            try:
                used.add(type(entry.build(protocol).target_code))
            except FOREIGN:  # a finding already
                continue
    return [cls for cls in found.parts if cls not in used]


def _part_verdicts(cls: type[Any], world: World, cache: Path) -> Iterator[Verdict]:
    name, files = str(getattr(cls, "name", cls.__name__)), _files(cls)
    needed = [
        field.name
        for field in dataclasses.fields(cls)
        if field.init
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if needed:
        yield Verdict(name, "built", "skipped", f"not checked: it needs {', '.join(needed)}")
        return
    try:
        value = cls()
    except FOREIGN as error:
        yield Verdict(name, "built", "broken", raised(error, files))
        return
    if isinstance(value, HashingMethod):
        yield from verdicts(name, value, METHOD_CHECKS, files)
    elif isinstance(value, Backbone):
        yield from verdicts(name, value, BACKBONE_CHECKS, files)
    elif isinstance(value, DatasetSpec):
        yield from verdicts(name, Source(value, cache), DATASET_CHECKS, files)
    else:
        yield from attack_verdicts(partial(_code_only, value), world)


def _code_only(rule: TargetCode, _: Protocol) -> Attack:
    """Return the attack whose target code itself queries the database."""
    name = type(rule).__name__
    return Attack(id=name, title=name, target_code=rule, crafting=None, epsilon=None)


def _files(*things: Any) -> set[str]:
    """Return the source files of functions and classes."""
    names = {getattr(thing, "__module__", "") for thing in things}
    return {str(getattr(sys.modules.get(name), "__file__", None)) for name in names}
