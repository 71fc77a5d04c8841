"""Everything a report consists of, written from an output folder's store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmark.manifest import loss_curves
from benchmark.store import write_bytes
from reports.figures import draw_figures
from reports.leaderboard import leaderboards
from reports.results import export_results, load_results
from reports.tables import latex, markdown


@dataclass(frozen=True)
class Report:
    """A written report."""

    results: pd.DataFrame
    leaderboard: str
    files: list[Path]


def write_report(out: Path) -> Report:
    """Write ``results.csv``, ``results.parquet`` and ``report/`` from what the store holds."""
    results = load_results(out)
    boards = leaderboards(results)
    text = markdown(boards)
    folder = out / "report"
    files = export_results(results, out)
    for name, content in (("leaderboard.md", text), ("leaderboard.tex", latex(boards))):
        write_bytes(folder / name, content.encode())
        files.append(folder / name)
    losses = pd.DataFrame(loss_curves(out))
    files += draw_figures(results, losses, folder / "figures")
    return Report(results, text, files)
