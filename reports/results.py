"""The tidy table: one row a cell, as a data frame and as results.csv and results.parquet."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmark.manifest import result_rows
from benchmark.records import COLUMNS
from benchmark.store import write_bytes


def load_results(out: Path) -> pd.DataFrame:
    """Return the rows of an output folder, columns and types always the same."""
    frame = pd.DataFrame(result_rows(out), columns=list(COLUMNS))
    return frame.astype(COLUMNS)


def export_results(frame: pd.DataFrame, out: Path) -> list[Path]:
    """Write ``results.csv`` and ``results.parquet`` and return their paths."""
    csv, parquet = out / "results.csv", out / "results.parquet"
    write_bytes(csv, frame.to_csv(index=False).encode())
    write_bytes(parquet, frame.to_parquet(index=False))
    return [csv, parquet]
