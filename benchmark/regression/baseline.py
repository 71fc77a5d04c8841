"""Baselines: an output folder, or a file frozen from one, small enough to keep in a repository."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.numpy import save

from hashattack.benchmark.plan.cells import row_filter
from hashattack.benchmark.regression.trials import HASHERS, Trials, read_trials
from hashattack.benchmark.results.manifest import read_manifest
from hashattack.benchmark.results.stored_suite import restored_suite, stored_batches
from hashattack.benchmark.store.files import write_bytes
from hashattack.benchmark.store.store import JobRef, Store
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.benchmark.suites.suite import Suite, faults
from hashattack.datasets.errors import UserError

_WEIGHTS = "{dataset}-{target}-{seed}.safetensors"  # a target's file, in the folder beside
_FAULTS_SHOWN = 10


class BaselineError(UserError):
    """A baseline that cannot be read or compared with; the text says why, and what helps."""


@dataclass(frozen=True)
class Baseline:
    """What candidates are compared with.

    Attributes:
        path: the folder or the file.
        suite: what was run; targets are read from beside the file where it has them.
        protocols: their values at the time, by name; empty where they were not kept.
        trials: of every cell that was not skipped.
        folder: whose store has the targets and codes; None for a file.
        batches: of its jobs, by backbone and side, for a suite that leaves them open.
    """

    path: Path
    suite: Suite
    protocols: Mapping[str, Any]
    trials: Sequence[Trials]
    folder: Path | None
    batches: Mapping[tuple[str, int], int]

    @property
    def attacks(self) -> list[str]:
        """The ids of its attacks, in order."""
        return list(dict.fromkeys(one.attack for one in self.trials))

    def cells_of(self, attack: str, only: Sequence[str]) -> list[Trials]:
        """Return the cells of an attack that match any of some filters (all without filters).

        Raises:
            BaselineError: the baseline does not have the attack.
            SuiteError: no cell matches.
        """
        own = [one for one in self.trials if one.attack == attack]
        if not own:
            raise BaselineError(
                f"{self.path} has no cells of '{attack}'; it has {', '.join(self.attacks)}: name "
                "one of them with --against"
            )
        matches = row_filter(only)
        matching = [one for one in own if matches(one.row)]
        if not matching:
            raise SuiteError(f"--only {' --only '.join(only)} matches no cell of {attack}")
        return matching


class Frozen(BaseModel):
    """The content of a baseline's file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[3] = 3
    batches: list[tuple[str, int, int]]  # backbone, side, batch
    suite: dict[str, Any]
    parts: list[dict[str, Any]]
    protocols: dict[str, dict[str, Any]]  # their values
    targets: dict[str, str]  # files of the targets' weights by SHA-256, from the file's folder
    draws: dict[str, list[int]]  # the number of each query's target label row
    cells: Annotated[list[Trials], Field(min_length=1)]


def read_baseline(
    path: Path, metric: str, *, data_root: Path | None = None, retrained: bool = False
) -> Baseline:
    """Read a baseline.

    Args:
        path: an output folder, or a file frozen from one.
        metric: the column that is to be compared.
        data_root: the folder that has one folder per data set; None for where it was.
        retrained: ignore the targets beside a file.

    Raises:
        NoRunError: the folder holds no run.
        BaselineError: the file is no baseline, or does not have the metric.
    """
    if path.is_dir():
        content = read_manifest(path)
        trials, batches = list(read_trials(path, [metric], content)), stored_batches(content)
    else:
        frozen = read_frozen(path)
        trials = frozen.cells
        batches = {(backbone, side): batch for backbone, side, batch in frozen.batches}
        kept = {name for one in trials for name in one.scores}
        if metric not in kept:
            raise BaselineError(
                f"{path} keeps {', '.join(sorted(kept))}, not {metric}: freeze it with "
                f"--metric {metric}, or compare with the folder"
            )
        content = {**frozen.model_dump(), "folder": str(Path.cwd())}
        if frozen.targets and not retrained:
            content |= _with_checkpoints(frozen, path.resolve().parent)
    origin = f"the suite of {path}"
    return Baseline(
        path=path,
        suite=restored_suite(content, origin, attacks=False, data_root=data_root),
        protocols=content.get("protocols", {}),
        trials=[one for one in trials if one.row["status"] != "skipped"],
        folder=path.resolve() if path.is_dir() else None,
        batches=batches,
    )


def freeze(
    out: Path, path: Path, *, metrics: Sequence[str], only: Sequence[str], targets: bool
) -> Frozen:
    """Write the baseline of a folder to a file, and on request its targets' weights beside it.

    Args:
        out: the output folder.
        path: the file; it has one line per cell, so that a change of a cell changes one line.
        metrics: the columns it keeps.
        only: filters of the cells it keeps.
        targets: also write the weights.

    Raises:
        NoRunError: the folder holds no run.
        BaselineError: no cell of it has a result.
    """
    manifest = read_manifest(out)
    matches = row_filter(only)
    kept = [
        one
        for one in read_trials(out, metrics)
        if one.row["status"] != "skipped" and matches(one.row)
    ]
    if not any(one.scores for one in kept):
        raise BaselineError(f"no cell of {out} that matches has a result")
    frozen = Frozen(
        batches=[(*where, batch) for where, batch in sorted(stored_batches(manifest).items())],
        suite=manifest["suite"],
        parts=manifest["parts"],
        protocols=manifest.get("protocols", {}),
        targets=_write_targets(out, path, manifest["jobs"], kept) if targets else {},
        draws={one.draw: one.labels for one in kept if one.draw},
        cells=kept,
    )
    content = frozen.model_dump(mode="json")
    cells = ",\n".join(map(_line, content.pop("cells")))
    head = ",\n".join(f'"{name}": {_line(value)}' for name, value in content.items())
    write_bytes(path, f'{{\n{head},\n"cells": [\n{cells}\n]\n}}\n'.encode())
    return frozen


def _line(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(", ", ": "))


def read_frozen(path: Path) -> Frozen:
    """Read a baseline's file.

    Raises:
        BaselineError: it cannot be read, or is something else; every fault with its place.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise BaselineError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise BaselineError(f"{path} is no JSON: {error}") from None
    if not isinstance(content, dict) or "format" not in content:
        raise BaselineError(f"{path} is no baseline: 'freeze OUT {path.name}' writes one")
    if content["format"] != Frozen.model_fields["format"].default:
        raise BaselineError(f"{path} was written by another version: freeze its folder again")
    try:
        frozen = Frozen.model_validate(content)
        found = list(_uneven(frozen))
    except ValidationError as error:
        found = list(faults(error, model=Frozen))
    if found:
        more = len(found) - _FAULTS_SHOWN
        found = [*found[:_FAULTS_SHOWN], *([f"and {more} more"] if more > 0 else [])]
        raise BaselineError("\n".join(f"{path}: {line}" for line in found))
    cells = [
        one.model_copy(update={"labels": frozen.draws.get(one.draw, [])}) for one in frozen.cells
    ]
    return frozen.model_copy(update={"cells": cells})


def _uneven(frozen: Frozen) -> Iterator[str]:
    """Yield the cells that do not have one score per query."""
    for number, one in enumerate(frozen.cells):
        if one.scores and one.draw not in frozen.draws:
            yield f"cells[{number}].draw: no such draw"
            continue
        for name, scores in one.scores.items():
            queries = len(frozen.draws[one.draw])
            if len(scores) != queries:
                yield f"cells[{number}].scores.{name}: {len(scores)} scores of {queries} queries"


def _write_targets(
    out: Path, path: Path, jobs: Mapping[str, Any], trials: Sequence[Trials]
) -> dict[str, str]:
    """Copy the weights of the targets of some trials; return their files by SHA-256."""
    store = Store(out / "store")
    files: dict[str, str] = {}
    for one, role in ((one, role) for one in trials for role in HASHERS):
        row, weights = one.row, getattr(one, role)
        if not weights or weights in files:
            continue
        name = _WEIGHTS.format(dataset=row["dataset"], target=row[role], seed=row["target_seed"])
        file = f"{path.stem}-targets/{name}"
        if file in files.values():
            raise BaselineError(
                f"{out} has two trainings of {name}, on two data sets of one name: freeze each to "
                "a file of its own, with --only dataset_fingerprint=…"
            )
        key = one.jobs[role]
        write_bytes(path.parent / file, save(store.arrays(JobRef(jobs[key]["stage"], key))))
        files[weights] = file
    return files


def _with_checkpoints(frozen: Frozen, beside: Path) -> dict[str, Any]:
    """Return a file's suite and its parts with targets that are read from beside the file."""
    folder = beside / Path(next(iter(frozen.targets.values()))).parent
    named = _WEIGHTS.format(dataset="{dataset}", target="{method}-{backbone}-{bits}", seed="{seed}")

    def read(suite: dict[str, Any]) -> dict[str, Any]:
        entries = [{**one, "checkpoint": str(folder / named)} for one in suite["targets"]]
        return {**suite, "targets": entries}

    return {"suite": read(frozen.suite), "parts": [read(part) for part in frozen.parts]}
