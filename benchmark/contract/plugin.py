"""What a module declares, and all checks of it."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import torch

from hashattack.attacks.base import Attack, Entry, TargetCode
from hashattack.attacks.protocols import PROTOCOLS, Protocol
from hashattack.benchmark.contract.attack_checks import Trial, attack_checks
from hashattack.benchmark.contract.checks import (
    LIBRARY,
    Begin,
    Result,
    explain,
    quietly,
    run_checks,
)
from hashattack.benchmark.contract.part_checks import PART_CHECKS, Source
from hashattack.benchmark.contract.world import DIGITS, World
from hashattack.benchmark.names import lookup
from hashattack.benchmark.plugins import FOREIGN, load_plugins
from hashattack.benchmark.registry import registry
from hashattack.datasets.base import DatasetSpec
from hashattack.datasets.errors import UserError


def declared(module: ModuleType) -> tuple[list[Entry], list[type[Any]]]:
    """Return the attacks, and the classes of other parts, that a module itself declares."""
    entries: list[Entry] = []
    parts: list[type[Any]] = []
    for value in vars(module).values():
        is_entry, is_class = type(value) is Entry, issubclass(type(value), type)
        if not is_entry and not is_class:
            continue  # and is not asked anything: it may be a proxy that raises
        made_by = value.build if is_entry else value
        if getattr(made_by, "__module__", None) != module.__name__:
            continue  # imported
        if is_entry:
            entries.append(value)
        elif not inspect.isabstract(value):
            named = issubclass(value, tuple(PART_CHECKS)) and "name" in vars(value)
            if named or issubclass(value, TargetCode):
                parts.append(value)
    return entries, parts


def refuse_undeclared(module: ModuleType) -> None:
    """Refuse a module that declares nothing.

    Raises:
        UserError: the text names a function that makes an attack and lacks ``@attack``, if any.
    """
    entries, parts = declared(module)
    for value in vars(module).values() if not entries else ():
        own = type(value) is FunctionType and value.__module__ == module.__name__
        if own and "Attack" in value.__code__.co_names:
            raise UserError(
                f"no attack is declared in {module.__file__}: the function `{value.__name__}` "
                f"(line {value.__code__.co_firstlineno}) makes an Attack but lacks @attack"
            )
    if not entries and not parts:
        raise UserError(
            f"{module.__file__} declares nothing: no attack (@attack), target-code rule, and no "
            "hashing loss, backbone or data set with a name"
        )


def checked(
    files: Sequence[Path], attacks: Sequence[str], cache: Path, begin: Begin = quietly
) -> Iterator[Result]:
    """Yield the results of plug-in files, or of attacks by id, as they are made.

    Raises:
        UserError: a file that cannot be imported or declares nothing, an unknown attack.
    """
    torch.set_num_threads(1)  # small tensors
    world = World(DIGITS.load(cache))
    begin(", ".join(file.name for file in files) or "plug-ins", ["import"])
    modules = load_plugins(files)
    for module in modules:
        refuse_undeclared(module)
    known = registry().attacks if attacks else {}
    for name in attacks:
        lookup("attack", name, known)
    for name in attacks:
        yield from check_attack(known[name].build, world, begin)
    for module in modules if not attacks else ():
        yield from check_module(module, world, cache, begin)


def check_attack(
    build: Callable[[Protocol], Attack], world: World, begin: Begin = quietly
) -> Iterator[Result]:
    """Yield the results of an attack under every protocol, once where several build equal ones."""
    trials: dict[tuple[str, bool], list[Trial]] = {}
    for protocol in PROTOCOLS.values():
        called = f"{getattr(build, '__name__', 'an attack')} ({protocol.name})"
        begin(called, ["build"])
        try:
            trial = Trial(build, protocol, world)
            absent, composition = trial.declared.unavailable, repr(trial.declared)
        except FOREIGN as error:
            yield Result(called, "build", "failed", explain(error, _files(build)))
            continue
        if absent is not None:
            yield Result(trial.declared.id, LIBRARY, "skipped", f"not checked: it {absent}")
            return
        trials.setdefault((composition, protocol.sees_database), []).append(trial)
    for trial, *others in trials.values():
        built, names = trial.declared, [one.protocol.name for one in (trial, *others)]
        files = _files(build, type(built.target_code), type(built.crafting))
        name = f"{built.id} ({', '.join(names)})"
        yield from run_checks(name, trial, attack_checks(built), files, begin)


def check_part(
    cls: type[Any], world: World, cache: Path, begin: Begin = quietly
) -> Iterator[Result]:
    """Yield the results of a part; a target-code rule is checked as a code-only attack."""
    name, files = str(getattr(cls, "name", cls.__name__)), _files(cls)
    begin(name, ["build"])
    try:
        inspect.signature(cls).bind()
    except TypeError as error:
        yield Result(name, "build", "skipped", f"not checked: {error}")
        return
    try:
        part = cls()
    except FOREIGN as error:
        yield Result(name, "build", "failed", explain(error, files))
        return
    if isinstance(part, TargetCode):
        id_ = re.sub("[^A-Za-z0-9]+", "-", name).strip("-")
        attack = Attack(id=id_, title=id_, target_code=part, crafting=None, epsilon=None)
        yield from check_attack(lambda _: attack, world, begin)
        return
    subject = Source(part, cache) if isinstance(part, DatasetSpec) else part
    (checks,) = (checks for kind, checks in PART_CHECKS.items() if isinstance(part, kind))
    yield from run_checks(name, subject, checks, files, begin)


def check_module(
    module: ModuleType, world: World, cache: Path, begin: Begin = quietly
) -> Iterator[Result]:
    """Yield the results of all that a module declares; data sets are built in the cache folder."""
    entries, parts = declared(module)
    used = set()  # rules that are checked as parts of attacks
    for entry in entries:
        yield from check_attack(entry.build, world, begin)
        for protocol in PROTOCOLS.values():
            with suppress(*FOREIGN):  # reported already
                used.add(type(entry.build(protocol).target_code))
    for cls in parts:
        if cls not in used:
            yield from check_part(cls, world, cache, begin)
    if entries:
        name = Path(str(module.__file__)).name
        yield from run_checks(name, entries, [check_names], begin=begin)


def check_names(entries: Sequence[Entry]) -> str | None:
    """No other attack has the id or the title of one of these."""
    released = PROTOCOLS["released"]
    titles = {id_: entry.build(released).title for id_, entry in registry().attacks.items()}
    for built in (entry.build(released) for entry in entries):
        for id_, title in titles.items():
            if title == built.title and id_ != built.id:
                return f"the title '{title}' of {built.id} is that of {id_} too, which reports show"
    return None


def _files(*things: Any) -> set[str]:
    """Return the source files of functions and classes."""
    names = {getattr(thing, "__module__", "") for thing in things}
    return {str(getattr(sys.modules.get(name), "__file__", None)) for name in names}
