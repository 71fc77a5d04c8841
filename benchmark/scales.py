"""Scales: the sizes a suite leaves open, as data, so that one suite runs at several.

A suite of the paper says what to cross; the scale says with which data, recipes and steps. What
the suite says itself is kept.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from benchmark.suite import Params


class Scale(BaseModel):
    """A scale, as its file says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str = ""
    datasets: dict[str, Params] = {}  # parameters by data set
    targets: dict[str, Params] = {}  # fields of a target entry by glob of METHOD-BACKBONE
    attacks: dict[str, Params] = {}  # hyper-parameters by glob of attack ids
    suite: Params = {}  # any other key of a suite


def scaled(content: Mapping[str, Any], scale: Scale) -> dict[str, Any]:
    """Return a suite's content with what it leaves open filled in.

    Content of a wrong shape is left as it is, for the suite's own check to name.
    """
    filled = {**scale.suite, **content}
    filled["attack_params"] = {**scale.attacks, **content.get("attack_params", {})}
    filled["datasets"] = [_dataset(entry, scale) for entry in _items(content.get("datasets"))]
    filled["targets"] = [
        target for entry in _items(content.get("targets")) for target in _targets(entry, scale)
    ]
    return filled


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _dataset(entry: Any, scale: Scale) -> Any:
    entry = {"dataset": entry} if isinstance(entry, str) else entry
    if not isinstance(entry, dict):
        return entry
    sizes = scale.datasets.get(str(entry.get("dataset")), {})
    return {**entry, "params": {**sizes, **entry.get("params", {})}}


def _targets(entry: Any, scale: Scale) -> Iterator[Any]:
    """Yield an entry a method and backbone, each with the first recipe that matches it."""
    if not isinstance(entry, dict) or not {"method", "backbone"} <= entry.keys():
        yield entry
        return
    for method in _items(entry["method"]):
        for backbone in _items(entry["backbone"]):
            name = f"{method}-{backbone}"
            globs = (glob for glob in scale.targets if fnmatch.fnmatchcase(name, glob))
            recipe = scale.targets.get(next(globs, ""), {})
            yield {**recipe, **entry, "method": method, "backbone": backbone}
