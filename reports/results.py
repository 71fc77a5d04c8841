"""The tidy table: one row a cell, as a data frame and as results.csv and results.parquet."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from hashattack.benchmark.store.files import write_bytes
from hashattack.reports.runs import Runs


def load_results(out: Path) -> pd.DataFrame:
    """Return the rows of an output folder, columns and types always the same."""
    return Runs([out]).results


def export_results(frame: pd.DataFrame, out: Path) -> list[Path]:
    """Write ``results.csv`` and ``results.parquet`` and return their paths."""
    csv, parquet = out / "results.csv", out / "results.parquet"
    write_bytes(csv, frame.to_csv(index=False).encode())
    write_bytes(parquet, frame.to_parquet(index=False))
    return [csv, parquet]
