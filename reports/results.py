"""What one or several output folders hold, as one table: rows merged by the job that made them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hashattack.benchmark.columns import DTYPES, RANKED_BY, names_of
from hashattack.benchmark.names import counted
from hashattack.benchmark.results.frame import frame_of
from hashattack.benchmark.results.manifest import (
    MISSING,
    read_manifest,
    result_rows,
    suite_tables,
)
from hashattack.benchmark.store.files import write_bytes
from hashattack.benchmark.store.store import Arrays, JobRef, Store
from hashattack.datasets.errors import UserError
from hashattack.reports.records import (
    attacks_not_in_manifest,
    galleries,
    loss_curves,
    provenance,
    retrieval_curves,
)


class ConflictError(UserError):
    """Two folders that hold different results of one job."""


class Runs:
    """The runs of some output folders.

    Attributes:
        folders: their paths, each once.
        results: one row per cell that ended, columns and types always the same.
        missing: the same of cells that no folder has run.

    Raises:
        NoRunError: a folder holds none.
        ConflictError: two of them disagree on a result.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = list(dict.fromkeys(folder.resolve() for folder in folders))
        self._homes: dict[str, Path] = {}  # of a score job
        self._metrics: dict[str, str] = {}  # by which its attack is ranked
        self._labels: dict[str, npt.NDArray[np.int64]] = {}  # by draw
        self._numbers: dict[bytes, int] = {}  # of label rows
        self._manifests = {folder: read_manifest(folder) for folder in self.folders}
        rows: dict[tuple[str, ...], dict[str, Any]] = {}
        for folder, manifest in self._manifests.items():
            for row in result_rows(folder, manifest):
                self._add(rows, row, folder)
        cells = frame_of(rows.values())
        ended = cells["status"] != MISSING
        self.results: pd.DataFrame = cells[ended].reset_index(drop=True)
        self.missing: pd.DataFrame = cells[~ended].reset_index(drop=True)

    def _add(
        self, rows: dict[tuple[str, ...], dict[str, Any]], row: dict[str, Any], folder: Path
    ) -> None:
        """Keep a row, unless another folder has it; a result replaces a reason, that a gap."""
        job, identity = str(row.get("job_key", "")), _identity(row)
        known = rows.get(identity)
        if known is None or _worth(row) > _worth(known):
            rows[identity] = row
            if row["status"] == "ok":
                self._homes.setdefault(job, folder)
                self._metrics[job] = RANKED_BY[row["goal"]]
            return
        different = [
            name
            for name in names_of("retrieval", "distortion")
            if row["status"] == "ok" and known.get(name) != row.get(name)
        ]
        if different:
            raise ConflictError(
                f"{self._homes[job]} and {folder} disagree on {row['title']} on {row['source']} "
                f"(job {job[:12]}) in {', '.join(different)}; leave one of them out, or run one "
                "again with --rerun all"
            )

    @property
    def cells(self) -> pd.DataFrame:
        """The rows of all cells, those that were not run among them."""
        return pd.concat([self.results, self.missing], ignore_index=True)

    @property
    def tables(self) -> list[str]:
        """The ids of the tables of papers that the suites fill."""
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
        """Yield the row, the pictures and the class names of every cell that has pictures."""
        seen = set()
        for folder in self.folders:
            for row, arrays, classes in galleries(folder):
                if (identity := _identity(row)) not in seen:
                    seen.add(identity)
                    yield row, arrays, classes

    def provenance(self) -> list[dict[str, Any]]:
        """Return where each folder's results come from."""
        return [provenance(folder) for folder in self.folders]

    def average_precisions(self, score: str) -> npt.NDArray[np.float64]:
        """Return each query's expected AP ``[q]`` that a score job's attack is ranked by.

        For its target label, or for its own labels where the attack is non-targeted.
        """
        arrays = self._store(score).arrays(JobRef("score", score))
        return arrays[self._metrics[score]].astype(np.float64, copy=False)

    def draw(self, score: str) -> str:
        """Return the key of a score job's draw of target labels, "" for none."""
        jobs = self._manifests[self._homes[score]]["jobs"]
        return str(jobs[score]["inputs"].get("targets", ""))

    def target_labels(self, score: str) -> npt.NDArray[np.int64]:
        """Return the number of each query's target label row ``[q]``, of a score job with a draw.

        Queries of one number share their target label, in any draw on one data set.
        """
        draw = self.draw(score)
        if draw not in self._labels:
            rows = self._store(score).arrays(JobRef("draw", draw))["targets"]
            numbers = self._numbers
            found = [numbers.setdefault(row.tobytes(), len(numbers)) for row in rows]
            self._labels[draw] = np.array(found, dtype=np.int64)
        return self._labels[draw]

    @property
    def not_shown(self) -> str:
        """A sentence about scored cells of attacks that have no row here; "" for none."""
        known = {*self.results["attack"], *self.missing["attack"]}
        cells: Counter[str] = Counter()
        for folder, manifest in self._manifests.items():
            cells.update(attacks_not_in_manifest(folder, manifest))
        for attack in known & cells.keys():
            del cells[attack]
        if not cells:
            return ""
        return (
            f"{counted(cells.total(), 'scored cell')} of {counted(len(cells), 'attack')} in this "
            f"folder are not of this run: {', '.join(cells)}; to see them too, name them again "
            "with --attack (and the files of plug-ins with --plugin)"
        )

    def _store(self, score: str) -> Store:
        return Store(self._homes[score] / "store")


def _worth(row: Mapping[str, Any]) -> int:
    return {"ok": 2, MISSING: 0}.get(row["status"], 1)


def _identity(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a row has in common with the row of the same cell in another folder."""
    values = (row.get(name) for name in ("job_key", *names_of("cell")))
    return tuple("" if value is None or value is pd.NA else str(value) for value in values)


def export_results(frame: pd.DataFrame, out: Path) -> list[Path]:
    """Write ``results.csv`` and ``results.parquet`` and return their paths.

    In the CSV file a text that a spreadsheet would take for a formula begins with a quote.
    """
    csv, parquet = out / "results.csv", out / "results.parquet"
    cells = frame.copy()
    for name in [name for name, kind in DTYPES.items() if kind == "string"]:
        cells[name] = cells[name].str.replace(r"^(?=[=+@-])", "'", regex=True)
    write_bytes(csv, cells.to_csv(index=False).encode())
    write_bytes(parquet, frame.to_parquet(index=False))
    return [csv, parquet]
