"""The trials of a run: what each query of each cell scored, and on what. Imports no torch."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hashattack.benchmark.columns import PER_QUERY
from hashattack.benchmark.results.manifest import read_manifest, result_rows
from hashattack.benchmark.store.keys import digest
from hashattack.benchmark.store.store import JobRef, Store

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DIGITS = 6  # decimals of a score, in files and in comparisons, so that both give one answer


@dataclass(frozen=True)
class Trials:
    """One cell's trials.

    Attributes:
        row: its columns, the status among them.
        jobs: keys of the jobs that filled it, by stage.
        source, victim: SHA-256 of the hashers' weights; empty where there are none yet.
        draw: digest of the target labels drawn.
        labels: the number of each query's target label row ``[q]``: queries that share one share
            its target code.
        scores: by metric, each ``[q]``; empty where the cell has no result.
        host: the machine that crafted it, empty where unknown.
    """

    row: Mapping[str, Any]
    jobs: Mapping[str, str]
    source: str
    victim: str
    draw: str
    labels: IntArray
    scores: Mapping[str, FloatArray]
    host: str = ""

    @property
    def place(self) -> tuple[Any, ...]:
        """Where it stands, and on which data of that name; see :func:`place_of`."""
        return self.row["dataset_fingerprint"], *place_of(self.row)

    @property
    def name(self) -> str:
        """What a person calls the cell among those of its attack."""
        source, victim = str(self.row["source"]), str(self.row["victim"])
        return source if victim == source else f"{source} against {victim}"

    @property
    def settings(self) -> dict[str, Any]:
        """Return the attack's hyper-parameters by name."""
        found: dict[str, Any] = json.loads(self.row.get("params") or "{}")
        return found

    @property
    def seeds(self) -> str:
        """Return the seeds of the target and of the draw."""
        return f"{self.row['target_seed']}/{self.row['draw_seed']}"


def place_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what rows of two attacks must have in common for their trials to be pairs."""
    names = ("dataset", "source", "victim", "policy", "target_seed", "draw_seed", "protocol")
    return tuple(row[name] for name in names)


def read_trials(
    out: Path,
    metrics: Collection[str] = tuple(PER_QUERY),
    manifest: dict[str, Any] | None = None,
) -> Iterator[Trials]:
    """Yield the trials of every cell of an output folder.

    Args:
        out: the folder.
        metrics: the columns whose values of the queries are read.
        manifest: the cells asked for; None for those of the folder.

    Raises:
        NoRunError: the folder holds no run.
        CorruptArtifactError: what it holds is damaged.
    """
    manifest = manifest or read_manifest(out)
    store, jobs = Store(out / "store"), manifest["jobs"]
    drawn = functools.cache(functools.partial(_draw, store))  # cells share their draws
    for cell, row in zip(manifest["cells"], result_rows(out, manifest), strict=True):
        chain = cell["jobs"]
        if not chain:  # skipped
            yield Trials(row, {}, "", "", "", np.zeros(0, dtype=np.int64), {})
            continue
        inputs = jobs[chain["score"]]["inputs"]
        victim = jobs[inputs["database"]]["inputs"]["target"]
        source = jobs[chain["craft"]]["inputs"].get("target", victim)
        labels, draw = drawn(inputs["targets"])
        done = row["status"] == "ok"
        yield Trials(
            row=row,
            jobs=chain,
            source=_output(store, jobs, source),
            victim=_output(store, jobs, victim),
            draw=draw,
            labels=labels,
            scores=_scores(store, chain, metrics) if done else {},
            host=_host(store, chain["craft"]) if done else "",
        )


def _output(store: Store, jobs: Mapping[str, Any], key: str) -> str:
    ref = JobRef(jobs[key]["stage"], key)
    return store.output(ref) if store.is_done(ref) else ""


def _draw(store: Store, key: str) -> tuple[IntArray, str]:
    """Return the number of each query's target label row, and a digest of the rows."""
    ref = JobRef("draw", key)
    if not store.is_done(ref):
        return np.zeros(0, dtype=np.int64), ""
    targets = store.arrays(ref)["targets"]
    labels = np.unique(targets, axis=0, return_inverse=True)[1].reshape(-1)
    return labels.astype(np.int64), digest([list(targets.shape), targets.tobytes().hex()])


def _scores(
    store: Store, chain: Mapping[str, str], metrics: Collection[str]
) -> dict[str, FloatArray]:
    found: dict[str, FloatArray] = {}
    wanted = {name: PER_QUERY[name] for name in metrics}
    for stage in {one.stage for one in wanted.values()} & set(chain):
        arrays = store.arrays(JobRef(stage, chain[stage]))
        for name, one in wanted.items():
            if one.stage == stage and one.array in arrays:  # codes alone have no distortion
                values = arrays[one.array].astype(np.float64)
                values = np.sqrt(values) if one.squared else values
                if np.isfinite(values).all():  # else there is no result
                    found[name] = values.round(DIGITS)
    return found


def _host(store: Store, craft: str) -> str:
    record = store.record(JobRef("craft", craft)) or {"provenance": {}}
    return str(record["provenance"].get("host", ""))
