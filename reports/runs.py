"""What one or several output folders hold, as one: rows merged by the job that made them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmark.findings import galleries, loss_curves, provenance, retrieval_curves
from benchmark.manifest import missing_rows, result_rows, suite_tables
from benchmark.records import COLUMNS
from benchmark.store import Arrays, JobRef, Store
from datasets.errors import UserError

_CELL = (
    *("dataset", "title", "source", "victim", "policy"),
    *("protocol", "overrides", "target_seed", "draw_seed"),
)
_TIMES = ("seconds_per_image", "fit_seconds", "device", "notes")  # differ between equal runs


class ConflictError(UserError):
    """Two folders that say different things about one job."""


class Runs:
    """The runs of some output folders.

    Raises:
        NoRunError: a folder holds none.
        ConflictError: two of them disagree on a result.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = [folder.resolve() for folder in dict.fromkeys(folders)]
        self._homes: dict[str, Path] = {}  # of a score job
        rows: dict[tuple[str, str], dict[str, Any]] = {}
        for folder in self.folders:
            for row in result_rows(folder):
                self._add(rows, row, folder)
        frame = pd.DataFrame(list(rows.values()), columns=list(COLUMNS))
        self.results: pd.DataFrame = frame.astype(COLUMNS)

    def _add(
        self, rows: dict[tuple[str, str], dict[str, Any]], row: dict[str, Any], folder: Path
    ) -> None:
        """Keep a row, unless another folder has it; a result goes before a failure."""
        cell = " ".join(str(row.get(name)) for name in _CELL)
        name = (str(row.get("job_key", "")), cell)
        known = rows.get(name)
        if known is None or known["status"] != "ok":
            if known is None or row["status"] == "ok":
                rows[name] = row
                self._homes[name[0]] = folder
            return
        if row["status"] == "ok":
            different = [
                column
                for column in COLUMNS
                if column not in _TIMES and known.get(column) != row.get(column)
            ]
            if different:
                raise ConflictError(
                    f"{self._homes[name[0]]} and {folder} disagree on {row['title']} on "
                    f"{row['source']} (job {name[0][:12]}) in {', '.join(different)}; leave one of "
                    "them out, or run one again with --rerun all"
                )

    @cached_property
    def missing(self) -> pd.DataFrame:
        """Cells that no folder has run yet, with the columns of results."""
        rows = [row for folder in self.folders for row in missing_rows(folder)]
        known = set(self.results["job_key"].dropna())
        unique = {row["job_key"]: row for row in rows if row["job_key"] not in known}
        return pd.DataFrame(list(unique.values()), columns=list(COLUMNS)).astype(COLUMNS)

    @property
    def tables(self) -> list[str]:
        """The paper's tables that the suites fill."""
        return list(dict.fromkeys(name for one in self.folders for name in suite_tables(one)))

    @property
    def losses(self) -> pd.DataFrame:
        """Loss curves of generators."""
        return pd.DataFrame([point for one in self.folders for point in loss_curves(one)])

    @property
    def curves(self) -> pd.DataFrame:
        """Precision and recall over the length of the result list."""
        return pd.DataFrame([point for one in self.folders for point in retrieval_curves(one)])

    def galleries(self) -> Iterator[tuple[dict[str, Any], Arrays, list[str]]]:
        """Yield the pictures of every cell that has some."""
        for folder in self.folders:
            yield from galleries(folder)

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

    def _store(self, score: str) -> Store:
        return Store(self._homes[score] / "store")
