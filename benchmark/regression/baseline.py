"""Baselines: an output folder, or a file frozen from one, small enough to keep in a repository."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.numpy import save

from hashattack.benchmark.columns import RANKED_BY
from hashattack.benchmark.plan.cells import row_filter
from hashattack.benchmark.regression.trials import HASHERS, Trials, read_trials
from hashattack.benchmark.results.manifest import read_manifest
from hashattack.benchmark.results.stored_suite import restored_suite, stored_batches
from hashattack.benchmark.store.files import write_bytes
from hashattack.benchmark.store.store import JobRef, Store
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.benchmark.suites.suite import Suite, faults
from hashattack.datasets.errors import UserError
from hashattack.datasets.files import read_bytes
from hashattack.datasets.texts import TOGETHER

_WEIGHTS = "{dataset}-{target}-{seed}.safetensors"  # a target's file, in the folder beside
_FAULTS_SHOWN = 10
_OF_A_SUITE = {"suite", "parts", "protocols"}


class BaselineError(UserError):
    """A baseline that cannot be read or compared with; the text says why, and what helps."""


class Baseline(BaseModel):
    """What candidates are compared with; all but the last two fields stand in its file.

    Attributes:
        batches: of its jobs, for a suite that leaves them open: backbone, side, batch.
        suite, parts: what was run, as plain data.
        protocols: their values at the time, by name.
        targets: files of the targets' weights by SHA-256, from the folder of the baseline's file.
        draws: the number of each query's target label row.
        cells: their trials; those that were skipped are left out.
        path: the folder or the file.
        data_root: the folder that has one folder per data set; None for where it was.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[4] = 4
    batches: list[tuple[str, int, int]]
    suite: dict[str, Any]
    parts: list[dict[str, Any]]
    protocols: dict[str, dict[str, Any]]
    targets: dict[str, str] = {}
    draws: dict[str, list[int]]
    cells: list[Trials]
    path: Path = Field(default=Path(), exclude=True)
    data_root: Path | None = Field(default=None, exclude=True)

    @property
    def folder(self) -> Path | None:
        """The output folder whose store has the targets and codes; None for a file."""
        return self.path.resolve() if self.path.is_dir() else None

    @property
    def attacks(self) -> list[str]:
        """The ids of its attacks, in order."""
        return list(dict.fromkeys(one.attack for one in self.cells))

    def cells_of(self, attack: str, only: Sequence[str]) -> list[Trials]:
        """Return the cells of an attack that match any of some filters (all without filters).

        Raises:
            BaselineError: the baseline does not have the attack.
            SuiteError: no cell matches.
        """
        own = [one for one in self.cells if one.attack == attack]
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

    def restored_suite(self, *, retrained: bool = False) -> Suite:
        """Return its suite, which reads targets from beside the file unless they are retrained."""
        origin, content = f"the suite of {self.path}", self.model_dump(include=_OF_A_SUITE)
        suite = restored_suite(content, origin, attacks=False, data_root=self.data_root)
        if not self.targets or retrained:
            return suite
        folder = (self.path.parent / next(iter(self.targets.values()))).parent.resolve()
        name = "{method}-{backbone}-{bits}"
        file = folder / _WEIGHTS.format(dataset="{dataset}", target=name, seed="{seed}")

        def reading(part: Suite) -> Suite:
            targets = [one.model_copy(update={"checkpoint": str(file)}) for one in part.targets]
            parts = [reading(inner) for inner in part.parts]
            return part.model_copy(update={"targets": targets, "parts": parts})

        return reading(suite)


def read_baseline(path: Path, metric: str | None, data_root: Path | None = None) -> Baseline:
    """Read an output folder or a file frozen from one.

    ``metric`` is a column, or None for the one that ranks a cell.

    Raises:
        NoRunError: the folder holds no run.
        BaselineError: the file is no baseline, or does not have the metric.
    """
    if path.is_dir():
        found = _of_folder(path, None if metric is None else [metric])
    else:
        found = read_file(path)
        scored = [one for one in found.cells if one.scores]
        kept = {name for one in scored for name in one.scores}
        needed = {metric or RANKED_BY[one.goal] for one in scored}
        if needed and needed.isdisjoint(kept):
            lacking = ", ".join(sorted(needed))
            raise BaselineError(
                f"{path} keeps {', '.join(sorted(kept))}, not {lacking}: freeze it with "
                f"--metric {lacking}, or compare with the folder"
            )
    return found.model_copy(update={"data_root": data_root})


def freeze(
    out: Path, path: Path, *, metrics: Sequence[str] | None, only: Sequence[str], targets: bool
) -> Baseline:
    """Write the baseline of a folder to a file, and on request its targets' weights beside it.

    Args:
        out: the output folder.
        path: the file; it has one line per cell, so that a change of a cell changes one line.
        metrics: the columns it keeps; None for the one that ranks a cell.
        only: filters of the cells it keeps.
        targets: also write the weights.

    Raises:
        NoRunError: the folder holds no run.
        BaselineError: no cell of it has a result.
    """
    whole, matches = _of_folder(out, metrics), row_filter(only)
    cells = [one for one in whole.cells if matches(one.row)]
    if not any(one.scores for one in cells):
        raise BaselineError(f"no cell of {out} that matches has a result")
    used = {one.draw for one in cells}
    changes = {
        "cells": cells,
        "draws": {draw: labels for draw, labels in whole.draws.items() if draw in used},
        "targets": _write_targets(out, path, cells) if targets else {},
    }
    frozen = whole.model_copy(update=changes)
    content = frozen.model_dump(mode="json")
    lines = ",\n".join(map(_line, content.pop("cells")))
    head = ",\n".join(f'"{name}": {_line(value)}' for name, value in content.items())
    write_bytes(path, f'{{\n{head},\n"cells": [\n{lines}\n]\n}}\n'.encode())
    return frozen


def read_file(path: Path) -> Baseline:
    """Read a baseline's file.

    Raises:
        BaselineError: it cannot be read, or is something else; every fault with its place.
    """
    try:
        frozen = Baseline.model_validate_json(read_bytes(path))
        found = list(_unfitting(frozen))
    except OSError as error:
        raise BaselineError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        found = list(faults(error, model=Baseline))
    if found:
        more = [f"and {len(found) - _FAULTS_SHOWN} more"] if len(found) > _FAULTS_SHOWN else []
        listed = "\n".join(f"{path}: {line}" for line in [*found[:_FAULTS_SHOWN], *more])
        raise BaselineError(f"{listed}\n'freeze OUT {path.name}' writes a baseline of this version")
    draws = frozen.draws
    cells = [one.model_copy(update={"labels": draws.get(one.draw, [])}) for one in frozen.cells]
    return frozen.model_copy(update={"cells": cells, "path": path})


def _of_folder(out: Path, metrics: Sequence[str] | None) -> Baseline:
    content = read_manifest(out)
    trials = list(read_trials(out, metrics, content))
    return Baseline(
        batches=[(*where, batch) for where, batch in sorted(stored_batches(content).items())],
        **{name: content[name] for name in _OF_A_SUITE},
        draws={one.draw: one.labels for one in trials if one.draw},
        cells=[one for one in trials if one.row["status"] != "skipped"],
        path=out,
    )


def _line(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(", ", ": "))


def _unfitting(frozen: Baseline) -> Iterator[str]:
    """Yield the cells that do not fit the rest of the file."""
    if not frozen.cells:
        yield "cells: there are none"
    for number, one in enumerate(frozen.cells):
        settings = None
        with contextlib.suppress(ValueError, RecursionError):
            settings = one.settings
        if not isinstance(settings, dict):
            yield f"cells[{number}].row.params: not a JSON object"
        if one.row["protocol"] not in frozen.protocols:
            yield f"cells[{number}].row.protocol: no such protocol"
        if one.scores and one.draw not in frozen.draws:
            yield f"cells[{number}].draw: no such draw"
            continue
        for name, scores in one.scores.items():
            queries = len(frozen.draws[one.draw])
            if len(scores) != queries:
                yield f"cells[{number}].scores.{name}: {len(scores)} scores of {queries} queries"


def _write_targets(out: Path, path: Path, trials: Sequence[Trials]) -> dict[str, str]:
    """Copy the weights of the targets of some trials; return their files by SHA-256."""
    store, jobs = Store(out / "store"), read_manifest(out)["jobs"]
    files: dict[str, str] = {}
    for row, target, ref in _hashers(trials, jobs):
        weights = store.output(ref) if store.is_done(ref) else ""
        if not weights or weights in files:
            continue
        name = _WEIGHTS.format(dataset=row["dataset"], target=target, seed=row["target_seed"])
        file = f"{path.stem}-targets/{name}"
        if file in files.values():
            raise BaselineError(
                f"{out} has two trainings of {name}, on two data sets of one name: freeze each to "
                "a file of its own, with --only dataset_fingerprint=…"
            )
        write_bytes(path.parent / file, save(store.arrays(ref)))
        files[weights] = file
    return files


def _hashers(
    trials: Sequence[Trials], jobs: Mapping[str, Any]
) -> Iterator[tuple[Mapping[str, Any], str, JobRef]]:
    """Yield the row, the name and the job of the targets of some trials, and of ensembles' too."""
    for one, role in ((one, role) for one in trials for role in HASHERS if one.jobs):
        names, key = str(one.row[role]).split(TOGETHER), one.jobs[role]
        keys = [jobs[key]["inputs"][str(n)] for n in range(len(names))] if names[1:] else [key]
        for name, made in zip(names, keys, strict=True):
            yield one.row, name, JobRef(jobs[made]["stage"], made)
