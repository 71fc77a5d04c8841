"""The trials of a run: what each query of each cell scored, and on what. Imports no torch."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from hashattack.benchmark.columns import COLUMNS, RANKED_BY, names_of
from hashattack.benchmark.pipeline import IN_ROW, STAGES
from hashattack.benchmark.results.manifest import read_manifest, result_rows
from hashattack.benchmark.store.keys import digest
from hashattack.benchmark.store.store import JobRef, Store

DIGITS = 6  # decimals of a score, in files and in comparisons, so that both give the same answer
PLACE = ("dataset", "source", "victim", "policy", "target_seed", "draw_seed", "protocol")
HASHERS = ("source", "victim")
# The columns that comparisons and their readers need; without the first there is no comparison.
_NEEDED = (
    "attack",
    "role",
    "goal",
    "budget_class",
    "code_only",
    "dataset_fingerprint",
    "n_queries",
    *PLACE,
)
_KEPT = names_of("cell", "distortion", "cost", "compute")

if TYPE_CHECKING:
    Row = dict[str, Any]
else:
    _types = {"string": str, "Int64": int, "float64": float, "boolean": bool}
    _columns = {name: _types[COLUMNS[name].dtype] for name in _KEPT}
    Row = TypedDict(
        "Row",
        {
            **{n: kind if n in _NEEDED else NotRequired[kind] for n, kind in _columns.items()},
            "status": Literal["ok", "failed", "invalid", "missing", "skipped"],
            "reason": NotRequired[str],
        },
    )
    Row.__pydantic_config__ = ConfigDict(extra="forbid")


class Trials(BaseModel):
    """The trials of one cell, in memory and in a baseline's file.

    Attributes:
        row: the cell's columns that are known, the status among them.
        jobs: keys of the jobs that filled it, by stage, and of those that made its hashers.
        source, victim: SHA-256 of the hashers' weights; empty where there are none yet.
        draw: digest of the target labels drawn.
        scores: by metric, one per query; empty where the cell has no result.
        labels: the number of each query's target label row, of a non-targeted attack of its own:
            queries with the same one share its target code. A file keeps them once per draw.
        host: the machine that crafted it; empty where unknown, as in a file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    row: Row
    jobs: dict[str, str] = {}
    source: str = ""
    victim: str = ""
    draw: str = ""
    scores: dict[str, list[Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]]] = {}
    labels: list[int] = Field(default=[], exclude=True)
    host: str = Field(default="", exclude=True)

    @property
    def attack(self) -> str:
        """The attack's id."""
        return str(self.row["attack"])

    @property
    def goal(self) -> str:
        """What it is measured for: ``targeted`` or ``non-targeted``."""
        return str(self.row["goal"])

    @property
    def place(self) -> tuple[Any, ...]:
        """What cells of two attacks must have in common for their trials to be pairs."""
        return tuple(self.row[name] for name in PLACE)

    @property
    def name(self) -> str:
        """The source, and the victim where it is another hasher."""
        source, victim = self.row["source"], self.row["victim"]
        return str(source) if victim == source else f"{source} against {victim}"

    @property
    def where(self) -> str:
        """The cell among those of its attack, as sentences name it."""
        return f"{self.name}, seeds {self.seeds}"

    @property
    def settings(self) -> dict[str, Any]:
        """The attack's hyper-parameters by name."""
        found: dict[str, Any] = json.loads(self.row.get("params") or "{}")
        return found

    @property
    def seeds(self) -> str:
        """The seeds of the target's training and of the draw."""
        return f"{self.row['target_seed']}/{self.row['draw_seed']}"


def read_trials(
    out: Path,
    metrics: Collection[str] | None = None,
    manifest: dict[str, Any] | None = None,
) -> Iterator[Trials]:
    """Yield the trials of every cell of an output folder.

    Args:
        out: the folder.
        metrics: the columns whose values per query are read; None for the one that ranks a row.
        manifest: the cells to read; None for those of the folder.

    Raises:
        NoRunError: the folder holds no run.
        CorruptArtifactError: its content is damaged.
    """
    manifest = manifest or read_manifest(out)
    store, jobs = Store(out / "store"), manifest["jobs"]
    draws = functools.cache(functools.partial(_draw, store))  # cells share their draws
    for cell, columns in zip(manifest["cells"], result_rows(out, manifest), strict=True):
        names = (*_KEPT, "status", "reason")
        row = {name: columns[name] for name in names if columns.get(name) is not None}
        chain = cell["jobs"]
        if not chain:
            yield Trials(row=row)
            continue
        inputs = jobs[chain["score"]]["inputs"]
        victim = jobs[inputs["database"]]["inputs"]["target"]
        source = jobs[chain["craft"]]["inputs"].get("target", victim)
        labels, draw = draws(inputs["targets"])
        scored = row["status"] == "ok"
        wanted = [RANKED_BY[row["goal"]]] if metrics is None else metrics
        yield Trials(
            row=row,
            jobs={**chain, "source": source, "victim": victim},
            source=_output(store, jobs, source),
            victim=_output(store, jobs, victim),
            draw=draw,
            scores=_scores(store, chain, wanted) if scored else {},
            labels=labels,
            host=_host(store, chain["craft"]) if scored else "",
        )


def _output(store: Store, jobs: Mapping[str, Any], key: str) -> str:
    ref = JobRef(jobs[key]["stage"], key)
    return store.output(ref) if store.is_done(ref) else ""


def _draw(store: Store, key: str) -> tuple[list[int], str]:
    """Return the number of each query's target label row, and a digest of the rows."""
    ref = JobRef("draw", key)
    if not store.is_done(ref):
        return [], ""
    targets = store.arrays(ref)["targets"]
    labels = np.unique(targets, axis=0, return_inverse=True)[1].reshape(-1)
    return labels.tolist(), digest([list(targets.shape), targets.tobytes().hex()])


def _scores(
    store: Store, chain: Mapping[str, str], metrics: Collection[str]
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for stage in IN_ROW:
        wanted = [name for name in metrics if name in STAGES[stage].columns]
        has_any = wanted and stage in chain  # codes have no distortion
        arrays = store.arrays(JobRef(stage, chain[stage])) if has_any else {}
        for name in wanted:
            values = arrays.get(name, np.array(np.nan)).astype(np.float64)
            if np.isfinite(values).all():  # else there is no result
                found[name] = values.round(DIGITS).tolist()
    return found


def _host(store: Store, craft: str) -> str:
    record = store.record(JobRef("craft", craft)) or {"provenance": {}}
    return str(record["provenance"].get("host", ""))
