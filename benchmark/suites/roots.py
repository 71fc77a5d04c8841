"""Where data sets lie: a suite says what they are, ``--data-root`` where this machine has them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from hashattack.benchmark.registry import registry
from hashattack.benchmark.suites.suite import DatasetEntry, Suite
from hashattack.datasets.base import DatasetSpec


def rooted(
    cls: type[DatasetSpec], params: dict[str, Any], data_root: Path | None, *, anew: bool = False
) -> dict[str, Any]:
    """Return the parameters with ``root`` below ``data_root``, where the data set has one.

    One that is given stays, unless it is to be set ``anew``.
    """
    has_root = any(field.name == "root" for field in dataclasses.fields(cls))
    if data_root is None or not has_root or ("root" in params and not anew):
        return params
    return {**params, "root": str(data_root / cls.name)}


def with_root(suite: Suite, data_root: Path | None, *, anew: bool = False) -> Suite:
    """Return the suite with its data sets below ``data_root``; see :func:`rooted`."""

    def entry(one: DatasetEntry) -> DatasetEntry:
        params = rooted(registry().datasets[one.dataset], one.params, data_root, anew=anew)
        return one.model_copy(update={"params": params})

    changes = {
        "datasets": [entry(one) for one in suite.datasets],
        "parts": [with_root(part, data_root, anew=anew) for part in suite.parts],
    }
    return suite.model_copy(update=changes)
