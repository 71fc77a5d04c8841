"""Baselines as files: small enough to review and to keep in a repository."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hashattack.benchmark.regression.trials import Trials
from hashattack.benchmark.store.files import write_bytes
from hashattack.benchmark.suites.suite import faults
from hashattack.datasets.errors import UserError

_MOST = 10  # faults a message names


class FrozenError(UserError):
    """A file that is no baseline; the text says what is wrong with it."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FrozenRow(_Strict):
    """Of a row's columns, those that a comparison or its reader needs."""

    dataset: str
    dataset_fingerprint: str
    attack: str
    title: str
    role: str = ""
    targeted: bool
    code_only: bool
    learns: bool | None = None  # unknown of images and codes made elsewhere
    params: str
    overrides: str = ""
    variant: str = ""
    source: str
    source_method: str
    source_backbone: str
    source_bits: int
    victim: str
    victim_method: str
    victim_backbone: str
    victim_bits: int
    policy: str
    target_seed: int
    draw_seed: int
    attack_seed: int
    protocol: str
    status: Literal["ok", "failed", "invalid", "missing"]
    reason: str = ""
    n_queries: int
    budget_class: str
    epsilon: float | None = None
    linf: float | None = None
    perceptibility: float | None = None
    seconds_per_image: float | None = None
    batch: int | None = None
    threads: int | None = None
    precision: str | None = None
    device: str | None = None


Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class FrozenCell(_Strict):
    """One cell: its row, where its scores come from, and they."""

    row: FrozenRow
    jobs: dict[str, str]
    source: str  # SHA-256 of the hashers' weights
    victim: str
    draw: str
    scores: dict[str, list[Score]]


class FrozenBatch(_Strict):
    """The batch that jobs of a network took, for a suite that leaves it open."""

    backbone: str
    side: int
    batch: int


class Frozen(_Strict):
    """A baseline's file."""

    format: Literal[2] = 2
    batches: list[FrozenBatch] = []
    suite: dict[str, Any]
    parts: list[dict[str, Any]]
    protocols: dict[str, dict[str, Any]]  # their values
    targets: dict[str, str]  # files of the targets' weights by SHA-256, from the file's folder
    draws: dict[str, list[int]]  # the number of each query's target label row
    cells: Annotated[list[FrozenCell], Field(min_length=1)]

    def trials(self, metric: str) -> list[Trials]:
        """Return what it holds of a metric, as a run's folder does."""
        labels = {name: np.array(rows, dtype=np.int64) for name, rows in self.draws.items()}
        none = np.zeros(0, dtype=np.int64)
        return [
            Trials(
                row=cell.row.model_dump(),
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
    batches: Mapping[tuple[str, int], int],
) -> Frozen:
    """Return the file of a run's trials.

    Args:
        trials: of the cells it keeps.
        manifest: of the run's folder.
        protocols: their values, by name.
        targets: files of the targets' weights by SHA-256.
        batches: what jobs took, by backbone and side.
    """
    cells = [
        FrozenCell(
            row=FrozenRow.model_validate(_kept(one.row)),
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
        batches=[
            FrozenBatch(backbone=backbone, side=side, batch=batch)
            for (backbone, side), batch in sorted(batches.items())
        ],
    )


def write_frozen(frozen: Frozen, path: Path) -> None:
    """Write a baseline, a line a cell, so that a change of one is a change of one line."""
    content = frozen.model_dump(mode="json")
    for cell in content["cells"]:
        cell["row"] = {name: value for name, value in cell["row"].items() if value is not None}
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
    if not isinstance(content, dict) or "format" not in content:
        raise FrozenError(f"{path} is no baseline: 'freeze OUT {path.name}' writes one")
    try:
        frozen = Frozen.model_validate(content)
    except ValidationError as error:
        raise FrozenError(_told(path, list(faults(error, model=Frozen)))) from None
    uneven = list(_uneven(frozen))
    if uneven:
        raise FrozenError(_told(path, uneven))
    return frozen


def _told(path: Path, lines: Sequence[str]) -> str:
    more = [f"and {len(lines) - _MOST} more"] if len(lines) > _MOST else []
    return "\n".join(f"{path}: {line}" for line in [*lines[:_MOST], *more])


def _uneven(frozen: Frozen) -> Iterator[str]:
    """Yield the cells that have not a score a query."""
    for number, cell in enumerate(frozen.cells):
        if cell.scores and cell.draw not in frozen.draws:
            yield f"cells[{number}].draw: no such draw"
            continue
        for name, scores in cell.scores.items():
            queries = len(frozen.draws[cell.draw])
            if len(scores) != queries:
                yield f"cells[{number}].scores.{name}: {len(scores)} scores of {queries} queries"


def _kept(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in FrozenRow.model_fields if row.get(name) is not None}


def _line(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(", ", ": "))
