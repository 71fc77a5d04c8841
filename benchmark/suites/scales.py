"""Scales: the sizes a suite leaves open, as data, so that one suite runs at several.

A suite of the paper says what to cross; the scale says with which data, recipes and steps. What
the suite says itself is kept.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from hashattack.benchmark.suites.suite import Params


class Scale(BaseModel):
    """A scale, as its file says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str = ""
    datasets: dict[str, Params] = {}  # parameters by data set
    targets: dict[str, Params] = {}  # fields of a target entry by glob of METHOD-BACKBONE
    attacks: dict[str, Params] = {}  # hyper-parameters by glob of attack ids
    suite: Params = {}  # any other key of a suite


def scaled(content: Mapping[str, Any], scale: Scale) -> dict[str, Any]:
    """Return the content of a sound suite with what it leaves open filled in.

    Settings of attacks are filled in one by one: a suite that sets one keeps the scale's others.
    """
    own: Mapping[str, Params] = content.get("attack_params", {})
    settings = {
        glob: {**scale.attacks.get(glob, {}), **own.get(glob, {})}
        for glob in dict.fromkeys([*scale.attacks, *own])
    }
    return {
        **scale.suite,
        **content,
        "attack_params": settings,
        "datasets": [_dataset(entry, scale) for entry in _items(content["datasets"])],
        "targets": [
            target for entry in _items(content["targets"]) for target in _targets(entry, scale)
        ],
    }


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _dataset(entry: Any, scale: Scale) -> Params:
    whole: Params = {"dataset": entry} if isinstance(entry, str) else entry
    sizes = scale.datasets.get(str(whole["dataset"]), {})
    return {**whole, "params": {**sizes, **whole.get("params", {})}}


def _targets(entry: Params, scale: Scale) -> Iterator[Params]:
    """Yield an entry a method and backbone, each with the first recipe that matches it."""
    for method in _items(entry["method"]):
        for backbone in _items(entry["backbone"]):
            name = f"{method}-{backbone}"
            globs = (glob for glob in scale.targets if fnmatch.fnmatchcase(name, glob))
            recipe = scale.targets.get(next(globs, ""), {})
            yield {**recipe, **entry, "method": method, "backbone": backbone}
