"""Baselines as files: small enough to review and to keep in a repository."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.regression.trials import Trials
from benchmark.storage.store import write_bytes
from benchmark.suites.suite import faults
from datasets.errors import UserError

_COLUMNS = (  # of a row, those that a comparison or its reader needs
    *("dataset", "dataset_fingerprint", "attack", "title", "params", "overrides", "variant"),
    *(
        "source",
        "source_bits",
        "victim",
        "victim_bits",
        "policy",
        "target_seed",
        "draw_seed",
        "attack_seed",
        "protocol",
        "status",
    ),
    *("reason", "n_queries", "budget_class", "epsilon", "linf", "perceptibility"),
    *("seconds_per_image", "batch", "threads", "precision", "device"),
)


class FrozenError(UserError):
    """A file that is no baseline; the text says what is wrong with it."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FrozenCell(_Strict):
    """One cell: its row, where its scores come from, and they."""

    row: dict[str, Any]
    jobs: dict[str, str]
    source: str  # SHA-256 of the hashers' weights
    victim: str
    draw: str
    scores: dict[str, list[float]]


class Frozen(_Strict):
    """A baseline's file."""

    format: Literal[1] = 1
    suite: dict[str, Any]
    parts: list[dict[str, Any]]
    protocols: dict[str, dict[str, Any]]  # their values
    targets: dict[str, str]  # files of the targets' weights by SHA-256, from the file's folder
    draws: dict[str, list[int]]  # the number of each query's target label row
    cells: list[FrozenCell]

    def trials(self, metric: str) -> list[Trials]:
        """Return what it holds of a metric, as a run's folder does."""
        labels = {name: np.array(rows, dtype=np.int64) for name, rows in self.draws.items()}
        none = np.zeros(0, dtype=np.int64)
        return [
            Trials(
                row=cell.row,
                jobs=cell.jobs,
                source=cell.source,
                victim=cell.victim,
                draw=cell.draw,
                labels=labels.get(cell.draw, none),
                scores={n: np.array(values) for n, values in cell.scores.items() if n == metric},
            )
            for cell in self.cells
        ]


def freeze(
    trials: Sequence[Trials],
    manifest: Mapping[str, Any],
    protocols: Mapping[str, dict[str, Any]],
    targets: Mapping[str, str],
) -> Frozen:
    """Return the file of a run's trials."""
    cells = [
        FrozenCell(
            row={name: one.row[name] for name in _COLUMNS if one.row.get(name) is not None},
            jobs=dict(one.jobs),
            source=one.source,
            victim=one.victim,
            draw=one.draw,
            scores={name: values.tolist() for name, values in one.scores.items()},
        )
        for one in trials
    ]
    draws = {one.draw: one.labels.tolist() for one in trials if one.draw}
    return Frozen(
        suite=manifest["suite"],
        parts=manifest["parts"],
        protocols=dict(protocols),
        targets=dict(targets),
        draws=draws,
        cells=cells,
    )


def write_frozen(frozen: Frozen, path: Path) -> None:
    """Write a baseline, a line a cell, so that a change of one is a change of one line."""
    content = frozen.model_dump(mode="json")
    cells = ",\n".join(_line(cell) for cell in content.pop("cells"))
    head = ",\n".join(f'"{name}": {_line(value)}' for name, value in content.items())
    write_bytes(path, f'{{\n{head},\n"cells": [\n{cells}\n]\n}}\n'.encode())


def read_frozen(path: Path) -> Frozen:
    """Read a baseline.

    Raises:
        FrozenError: it cannot be read, or is something else; every fault with its place.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise FrozenError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise FrozenError(f"{path} is no JSON: {error}") from None
    if not isinstance(content, dict) or "cells" not in content:
        raise FrozenError(f"{path} is no baseline: 'freeze OUT {path.name}' writes one")
    try:
        return Frozen.model_validate(content)
    except ValidationError as error:
        raise FrozenError("\n".join(f"{path}: {line}" for line in faults(error))) from None


def _line(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(", ", ": "))
