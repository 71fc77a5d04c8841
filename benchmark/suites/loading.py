"""Suites from their files, filled by a scale; and what their parameters make: plug-ins, attacks."""

from __future__ import annotations

import copy
import dataclasses
import fnmatch
from collections.abc import Collection, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from hashattack.attacks.base import PARTS, Attack, AttackError
from hashattack.benchmark.names import lookup, nearest
from hashattack.benchmark.plugins import FOREIGN
from hashattack.benchmark.registry import registry
from hashattack.benchmark.store.keys import canonical_json
from hashattack.benchmark.suites.plain_yaml import parse_yaml
from hashattack.benchmark.suites.sources import (
    SuiteError,
    SuiteFile,
    folder_of,
    read_suite,
    read_yaml,
)
from hashattack.benchmark.suites.suite import (
    AttackEntry,
    DatasetEntry,
    Params,
    Scale,
    Suite,
    TargetEntry,
    validate,
)
from hashattack.datasets.base import DatasetSpec
from hashattack.datasets.texts import error_line

_WITH_PATHS = ("datasets", "targets")  # keys whose entries name files and folders
_MOST_TEXT = 10_000  # characters of hyper-parameters, which stand in every row
_ALL = "**"  # matches every attack id, and is merged with no scale's "*"


def load_suite(
    name: str,
    changes: Mapping[str, Any] | None = None,
    attacks: Sequence[str] = (),
    values: Params | None = None,
    data_root: Path | None = None,
) -> Suite:
    """Return a suite by name or path, with absolute paths.

    Args:
        name: a shipped suite, or a file.
        changes: keys of the suite to replace, before a scale fills it.
        attacks: added to its own.
        values: of any of its keys, set last; see :func:`with_values`.
        data_root: where data sets lie whose root the suite leaves open; None for ``data``.

    Raises:
        SuiteError: unknown name, unreadable file, or a fault in it.
        UnknownNameError: there is no such attack.
    """
    for attack in attacks:
        lookup("attack", attack, registry().attacks)
    first, *others = read_suite(name, changes)
    files = [file for file in (first, *others) if "include" not in file.content]
    root = (data_root or Path("data")).absolute()
    parts = [with_root(_part(file, attacks, values or {}), root) for file in files]
    if not others:
        return parts[0]
    union = {
        "name": first.content["name"],
        "description": first.content.get("description", ""),
        "tables": list(dict.fromkeys(table for part in parts for table in part.tables)),
        "parts": parts,
    }
    return parts[0].model_copy(update=union)


def _part(file: SuiteFile, attacks: Sequence[str], values: Params) -> Suite:
    """Return one suite, filled by its scale, with the attacks it does not have as they are."""
    suite = validate(Suite, file.content, f"{file.path}:", file.folders)
    if suite.scale is not None:
        path, content = read_yaml(suite.scale, "scale")
        filled = fill(suite, validate(Scale, content, f"{path}:"))
        folders = dict.fromkeys(_WITH_PATHS, folder_of(suite.scale, path))
        suite = validate(Suite, filled, f"{file.path} at scale {suite.scale}:", folders)
    if values:
        changed = with_values(suite.model_dump(exclude_unset=True), values)
        folders = dict.fromkeys(_WITH_PATHS, Path.cwd())
        suite = validate(Suite, changed, f"{file.path} with --set:", folders)
    present = {entry.attack for entry in suite.attacks if not entry.params}
    added = [AttackEntry(attack=name) for name in dict.fromkeys(attacks) if name not in present]
    changes: dict[str, Any] = {"attacks": [*suite.attacks, *added]}
    if file.other_attacks:  # set by glob, its params are for the attacks that have them
        own = suite.attack_params
        inherited = {_ALL: {**own.get(_ALL, {}), **suite.params}}
        changes |= {"params": {}, "attack_params": {**own, **inherited}}
    return suite.model_copy(update=changes)


def with_values(content: Params, values: Params) -> Params:
    """Return the content of a suite with values set by dotted path.

    A path begins with a key of the suite (``queries``, ``compute.batch``, ``params.steps``) or of
    a target, of all of them (``training.epochs``); ``datasets.side`` is a parameter of all data
    sets.

    Raises:
        SuiteError: a path that begins with no such key, or goes through a single value.
    """
    changed, own = copy.deepcopy(content), Suite.model_fields.keys() - {"scale", "parts"}
    known = own | TargetEntry.model_fields.keys()
    for path, value in values.items():
        first, *inner = path.split(".")
        if first == "datasets" and inner:
            places = [entry.setdefault("params", {}) for entry in changed["datasets"]]
        elif first in own:
            places, inner = [changed], [first, *inner]
        else:
            if first not in TargetEntry.model_fields:
                raise SuiteError(f"--set {path}: no key '{first}'{nearest(first, known)}")
            places, inner = changed["targets"], [first, *inner]
        for place in places:
            _set(place, inner, value, f"--set {path}")
    return changed


def _set(content: Params, path: Sequence[str], value: Any, option: str) -> None:
    first, *rest = path
    if not rest:
        content[first] = value
        return
    inner = content.setdefault(first, {})
    if not isinstance(inner, dict):
        raise SuiteError(f"{option}: {first} is a single value and has no keys")
    _set(inner, rest, value, option)


def fill(suite: Suite, scale: Scale) -> dict[str, Any]:
    """Return the content of a suite with what it leaves open filled in.

    Parameters of data sets and attacks are filled in one by one, other keys as a whole. A target
    takes the first recipe whose glob matches METHOD-BACKBONE.
    """
    own = suite.attack_params
    filled = {
        **scale.suite,
        **suite.model_dump(exclude_unset=True),
        "attack_params": {
            glob: {**scale.attacks.get(glob, {}), **own.get(glob, {})}
            for glob in dict.fromkeys([*scale.attacks, *own])
        },
        "datasets": [
            {
                "dataset": entry.dataset,
                "params": {**scale.datasets.get(entry.dataset, {}), **entry.params},
            }
            for entry in suite.datasets
        ],
        "targets": [],
    }
    for entry in suite.targets:
        for method, backbone in product(entry.method, entry.backbone):
            pair = {"method": method, "backbone": backbone}
            globs = (g for g in scale.targets if fnmatch.fnmatchcase(f"{method}-{backbone}", g))
            recipe = scale.targets.get(next(globs, ""), {})
            filled["targets"].append({**recipe, **entry.model_dump(exclude_unset=True), **pair})
    return filled


def rooted(
    cls: type[DatasetSpec], params: Params, data_root: Path | None, *, replace: bool = False
) -> Params:
    """Return a data set's parameters with ``root`` below ``data_root``, where it has one.

    A given one stays, unless it is to ``replace``.
    """
    has_root = any(field.name == "root" for field in dataclasses.fields(cls))
    if data_root is None or not has_root or ("root" in params and not replace):
        return params
    return {**params, "root": str(data_root / cls.name)}


def with_root(suite: Suite, data_root: Path | None, *, replace: bool = False) -> Suite:
    """Return the suite with its data sets below ``data_root``; see :func:`rooted`."""

    def entry(one: DatasetEntry) -> DatasetEntry:
        params = rooted(registry().datasets[one.dataset], one.params, data_root, replace=replace)
        return one.model_copy(update={"params": params})

    changes = {
        "datasets": [entry(one) for one in suite.datasets],
        "parts": [with_root(part, data_root, replace=replace) for part in suite.parts],
    }
    return suite.model_copy(update=changes)


def parse_params(texts: Sequence[str], option: str = "--param") -> Params:
    """Return what an option says as ``name=value``, each value as YAML has it.

    Raises:
        SuiteError: one is written otherwise.
    """
    found: Params = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            found[name.strip()] = parse_yaml(value)
        except yaml.YAMLError as error:
            raise SuiteError(f"{option} {text}: {error}") from None
        if not equals or not name.strip():
            raise SuiteError(f"{option} {text}: expected name=value")
    return found


def construct(cls: type[Any], params: Params, place: str) -> Any:
    """Build a plug-in from a suite's parameters.

    Raises:
        SuiteError: an unknown parameter or a bad value, with its place.
    """
    known = [field.name for field in dataclasses.fields(cls)]
    _check_names(params, known, place, "unknown parameter")
    return validate(cls, params, place)


def _check_names(params: Params, known: Collection[str], place: str, fault: str) -> None:
    for name in params:
        if name not in known:
            raise SuiteError(f"{place}.{name}: {fault}{nearest(name, known)}")


def hyper_parameters(attack: Attack) -> Params:
    """Return an attack's hyper-parameters by flat name, its epsilon among them."""
    flat: Params = {} if attack.epsilon is None else {"epsilon": attack.epsilon}
    for part in (attack.target_code, attack.crafting):
        for field in dataclasses.fields(part) if part is not None else ():
            if not field.metadata.get("key", True):
                continue
            if field.name in flat:
                raise AttackError(f"{attack.id}: two hyper-parameters are called '{field.name}'")
            flat[field.name] = getattr(part, field.name)
    return flat


def parameters_text(attack: Attack) -> str:
    """Return an attack's hyper-parameters as the column ``params`` has them.

    Raises:
        SuiteError: they cannot stand in a key or in a table.
    """
    try:
        text = canonical_json(hyper_parameters(attack))
    except AttackError:
        raise
    except FOREIGN as error:
        reason = f"its hyper-parameters make no key: {error_line(error)}"
        raise SuiteError(f"{attack.id}: {reason}") from error
    if len(text) > _MOST_TEXT:
        raise SuiteError(
            f"{attack.id}: its hyper-parameters take {len(text)} characters, {_MOST_TEXT} at most"
        )
    return text


def override(attack: Attack, params: Params, place: str) -> Attack:
    """Return the attack with some hyper-parameters replaced.

    Raises:
        SuiteError: an unknown hyper-parameter or a bad value, with its place.
    """
    fault = f"{attack.id} has no such hyper-parameter"
    _check_names(params, hyper_parameters(attack), place, fault)
    changes: dict[str, Any] = {}
    try:
        for role in PARTS:
            part = getattr(attack, role)
            names = [field.name for field in dataclasses.fields(part)] if part is not None else []
            if params.keys() & set(names):
                new = {name: params.get(name, getattr(part, name)) for name in names}
                changes[role] = validate(type(part), new, place)
        if "epsilon" in params:
            changes["epsilon"] = validate(float, params["epsilon"], f"{place}.epsilon")
        return dataclasses.replace(attack, **changes)
    except SuiteError:
        raise
    except FOREIGN as error:  # a part may raise anything when it is made
        raise SuiteError(f"{place}: {error_line(error)}") from error
