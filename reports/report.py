"""Everything a report consists of, written from an output folder's store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmark.manifest import galleries, loss_curves, retrieval_curves, suite_tables
from benchmark.store import write_bytes
from reports.drawings import Drawings
from reports.figures import draw_figures
from reports.galleries import draw_gallery
from reports.grids import grids
from reports.layouts import LAYOUTS
from reports.leaderboard import leaderboards
from reports.paper_tables import latex_grid, markdown_grids
from reports.results import export_results, load_results
from reports.tables import latex, markdown


@dataclass(frozen=True)
class Report:
    """A written report."""

    folder: Path
    results: pd.DataFrame
    leaderboard: str
    files: list[Path]

    @property
    def told(self) -> str:
        """What was written, in a sentence."""
        more = len(self.files) - 2
        return f"wrote results.csv, results.parquet and {more} files in {self.folder}"


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
    files += _write_tables(results, suite_tables(out), folder)
    losses = pd.DataFrame(loss_curves(out))
    curves = pd.DataFrame(retrieval_curves(out))
    figures, pictures = Drawings(folder / "figures"), Drawings(folder / "galleries")
    files += draw_figures(results, losses, curves, figures)
    files += [draw_gallery(*shown, pictures) for shown in galleries(out)]
    figures.remember()
    pictures.remember()
    return Report(folder, results, text, files)


def _write_tables(results: pd.DataFrame, names: list[str], folder: Path) -> list[Path]:
    """Write the tables of the paper that the suite names: one page, and a LaTeX file each."""
    filled = list(grids(results, [LAYOUTS[name] for name in names]))
    if not filled:
        return []
    files = {folder / "tables.md": markdown_grids(filled)}
    for grid in filled:
        protocol = grid.setting.protocol.removesuffix("+overrides")
        parts = (grid.layout.id, grid.dataset, protocol, grid.setting.policy)
        stem = "-".join(filter(None, parts))
        files[folder / "tables" / f"{stem}.tex"] = latex_grid(grid)
        if grid.has_published:
            text = latex_grid(grid, differences=True)
            files[folder / "tables" / f"{stem}-difference.tex"] = text
    for path, text in files.items():
        write_bytes(path, text.encode())
    return list(files)
