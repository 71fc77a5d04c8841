"""Plug-ins from a suite's parameters, and attacks with some hyper-parameters replaced."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import yaml

from hashattack.attacks.base import Attack, AttackError
from hashattack.benchmark.names import nearest
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.benchmark.suites.suite import Params, validate


def parse_params(texts: Sequence[str]) -> Params:
    """Return parameters written ``name=value``, each value as YAML has it.

    Raises:
        SuiteError: one is written otherwise.
    """
    found: Params = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            found[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            equals = ""
        if not equals or not name.strip():
            raise SuiteError(f"--param {text}: expected name=value")
    return found


def construct(cls: type[Any], params: Params, place: str) -> Any:
    """Build a plug-in from a suite's parameters.

    Raises:
        SuiteError: an unknown parameter or a bad value, with its place.
    """
    known = [field.name for field in dataclasses.fields(cls)]
    for name in params:
        if name not in known:
            raise SuiteError(f"{place}.{name}: unknown parameter{nearest(name, known)}")
    return validate(cls, params, place)


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


def override(attack: Attack, params: Params, place: str) -> Attack:
    """Return the attack with some hyper-parameters replaced.

    Raises:
        SuiteError: an unknown hyper-parameter or a bad value, with its place.
    """
    known = hyper_parameters(attack)
    for name in params:
        if name not in known:
            raise SuiteError(
                f"{place}.{name}: {attack.id} has no such hyper-parameter{nearest(name, known)}"
            )
    changes: dict[str, Any] = {}
    for role in ("target_code", "crafting"):
        part = getattr(attack, role)
        fields = dataclasses.fields(part) if part is not None else ()
        own = {field.name: getattr(part, field.name) for field in fields}
        if own.keys() & params.keys():
            new = {name: params.get(name, value) for name, value in own.items()}
            changes[role] = construct(type(part), new, place)
    if "epsilon" in params:
        changes["epsilon"] = validate(float, params["epsilon"], f"{place}.epsilon")
    try:
        return dataclasses.replace(attack, **changes)
    except AttackError as error:
        raise SuiteError(f"{place}: {error}") from None
