"""What one or several output folders hold, as one: rows merged by the job that made them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hashattack.benchmark.columns import DTYPES, names_of
from hashattack.benchmark.results.manifest import (
    MISSING,
    crafted_beside,
    galleries,
    loss_curves,
    provenance,
    read_manifest,
    result_rows,
    retrieval_curves,
    suite_tables,
)
from hashattack.benchmark.store.store import Arrays, JobRef, Store
from hashattack.datasets.errors import UserError

_CELL = (  # what tells rows of one job apart
    *("dataset", "attack", "title", "source", "victim", "policy", "protocol"),
    *("overrides", "variant", "target_seed", "draw_seed", "attack_seed"),
)
_RESULTS = names_of("retrieval", "distortion")  # what two folders must agree on


class ConflictError(UserError):
    """Two folders that say different things about one job."""


@dataclass(frozen=True)
class Beside:
    """Scored cells by attack that earlier runs left in a store, and that no row shows."""

    cells: Mapping[str, int]

    def __str__(self) -> str:
        """Return a sentence that says so and what to do; empty where there are none."""
        if not self.cells:
            return ""
        count, attacks = sum(self.cells.values()), len(self.cells)
        return (
            f"{count} scored cell{'s' if count > 1 else ''} of {attacks} "
            f"attack{'s' if attacks > 1 else ''} in this folder are not of this run: "
            f"{', '.join(self.cells)}; to see them beside it, name them again with --attack (and "
            "the files of plug-ins with --plugin)"
        )


class Runs:
    """The runs of some output folders.

    Raises:
        NoRunError: a folder holds none.
        ConflictError: two of them disagree on a result.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = list(dict.fromkeys(folder.resolve() for folder in folders))
        self._homes: dict[str, Path] = {}  # of a score job
        self._labels: dict[str, npt.NDArray[np.int64]] = {}  # by draw
        self._manifests = {folder: read_manifest(folder) for folder in self.folders}
        rows: dict[str, dict[str, Any]] = {}
        for folder, manifest in self._manifests.items():
            for row in result_rows(folder, manifest):
                self._add(rows, row, folder)
        frame = pd.DataFrame(list(rows.values()), columns=list(DTYPES)).astype(DTYPES)
        run = frame["status"] != MISSING
        self.results: pd.DataFrame = frame[run].reset_index(drop=True)
        self.missing: pd.DataFrame = frame[~run].reset_index(drop=True)  # cells not run anywhere

    def _add(self, rows: dict[str, dict[str, Any]], row: dict[str, Any], folder: Path) -> None:
        """Keep a row, unless another folder has it; the one that says more goes before."""
        job, name = str(row.get("job_key", "")), _name(row)
        known = rows.get(name)
        if known is None or _worth(row) > _worth(known):
            rows[name] = row
            if row["status"] == "ok":
                self._homes.setdefault(job, folder)
            return
        different = [
            column
            for column in _RESULTS
            if row["status"] == "ok" and known.get(column) != row.get(column)
        ]
        if different:
            raise ConflictError(
                f"{self._homes[job]} and {folder} disagree on {row['title']} on {row['source']} "
                f"(job {job[:12]}) in {', '.join(different)}; leave one of them out, or run one "
                "again with --rerun all"
            )

    @property
    def tables(self) -> list[str]:
        """The paper's tables that the suites fill."""
        return list(dict.fromkeys(name for one in self.folders for name in suite_tables(one)))

    @property
    def losses(self) -> pd.DataFrame:
        """Loss curves of generators."""
        points = [point for one in self.folders for point in loss_curves(one)]
        return pd.DataFrame(points).drop_duplicates()

    @property
    def curves(self) -> pd.DataFrame:
        """Precision and recall over the length of the result list."""
        points = [point for one in self.folders for point in retrieval_curves(one)]
        return pd.DataFrame(points).drop_duplicates()

    def galleries(self) -> Iterator[tuple[dict[str, Any], Arrays, list[str]]]:
        """Yield the pictures of every cell that has some."""
        seen = set()
        for folder in self.folders:
            for row, arrays, classes in galleries(folder):
                if (name := _name(row)) not in seen:
                    seen.add(name)
                    yield row, arrays, classes

    def provenance(self) -> list[dict[str, Any]]:
        """Return where each folder's results come from."""
        return [provenance(folder) for folder in self.folders]

    def output(self, score: str) -> str:
        """Return the hash of what a score job stored."""
        return self._store(score).output(JobRef("score", score))

    def average_precisions(self, score: str) -> npt.NDArray[np.float64]:
        """Return each query's expected AP against its target label, ``[q]``."""
        found: npt.NDArray[np.float64] = self._store(score).arrays(JobRef("score", score))[
            "target_expected"
        ]
        return found

    def draw(self, score: str) -> str:
        """Return the key of the draw of target labels that a score job stands on, "" for none."""
        jobs = self._manifests[self._homes[score]]["jobs"]
        return str(jobs[score]["inputs"].get("targets", ""))

    def target_labels(self, score: str) -> npt.NDArray[np.int64]:
        """Return the number of each query's target label row ``[q]``, of a score job with a draw.

        Each is at least 0; queries of one number share their target label.
        """
        draw = self.draw(score)
        if draw not in self._labels:
            rows = self._store(score).arrays(JobRef("draw", draw))["targets"]
            numbers = np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)
            self._labels[draw] = numbers.astype(np.int64)
        return self._labels[draw]

    @property
    def beside(self) -> Beside:
        """What the folders' stores hold of attacks that have no row here."""
        known = {*self.results["attack"], *self.missing["attack"]}
        cells: dict[str, int] = {}
        for folder, manifest in self._manifests.items():
            for attack, count in crafted_beside(folder, manifest).items():
                if attack not in known:
                    cells[attack] = cells.get(attack, 0) + count
        return Beside(cells)

    def _store(self, score: str) -> Store:
        return Store(self._homes[score] / "store")


def _worth(row: Mapping[str, Any]) -> int:
    """Return what goes before what: a result before a reason, that before a cell not run."""
    return {"ok": 2, MISSING: 0}.get(row["status"], 1)


def _name(row: Mapping[Any, Any]) -> str:
    """Return what a row is called among those of other folders."""
    values = (row.get(column) for column in ("job_key", *_CELL))
    return " ".join("" if value is None or value is pd.NA else str(value) for value in values)
