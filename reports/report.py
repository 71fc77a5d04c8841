"""Everything a report consists of, written from what output folders hold."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from benchmark.storage.store import write_bytes
from reports.cells import cell_lines
from reports.drawings import Drawings
from reports.figures import draw_figures
from reports.galleries import draw_gallery
from reports.grids import grids
from reports.layouts import LAYOUTS
from reports.leaderboard import Board, leaderboards
from reports.page import Picture, render
from reports.paper_tables import latex_grid, markdown_grids
from reports.results import export_results
from reports.runs import Runs
from reports.tables import latex, markdown
from reports.uncertainty import Uncertainty

Format = Literal["html", "md", "tex", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)


@dataclass(frozen=True)
class Report:
    """A written report."""

    folder: Path
    results: pd.DataFrame
    leaderboard: str
    files: list[Path]

    @property
    def page(self) -> Path | None:
        """The page, where it was asked for."""
        return next((file for file in self.files if file.name == "index.html"), None)


def write_report(
    folders: Sequence[Path], to: Path | None = None, formats: Collection[Format] = FORMATS
) -> Report:
    """Write a report of output folders.

    Args:
        folders: rows are merged by the job that made them.
        to: where it goes. Default: into the only folder; there ``results.csv`` and
            ``results.parquet`` stand beside ``report/``.
        formats: what is written.

    Raises:
        NoRunError: a folder holds no run.
        ConflictError: two folders disagree.
    """
    runs = Runs(folders)
    home = to or runs.folders[0]
    folder = to or home / "report"
    boards = leaderboards(runs.results)
    board = markdown(boards)
    files = export_results(runs.results, home) if "csv" in formats else []
    texts: dict[str, str] = {}
    if "md" in formats:
        texts["leaderboard.md"] = board
    if "tex" in formats:
        texts["leaderboard.tex"] = latex(boards)
    texts |= _paper_tables(runs, formats)
    if "html" in formats:
        figures, pictures = _pictures(runs, folder)
        files += [*figures.files, *pictures.files]
        texts["index.html"] = _page(runs, boards, folder, figures.shown, pictures.shown)
    for name, text in texts.items():
        write_bytes(folder / name, text.encode())
        files.append(folder / name)
    return Report(folder, runs.results, board, files)


@dataclass(frozen=True)
class _Pictures:
    shown: list[Picture]
    files: list[Path]


def _pictures(runs: Runs, folder: Path) -> tuple[_Pictures, _Pictures]:
    """Draw figures and galleries."""
    drawings, albums = Drawings(folder / "figures"), Drawings(folder / "galleries")
    drawn = draw_figures(runs.results, runs.losses, runs.curves, drawings)
    shown = [draw_gallery(*shown, albums) for shown in runs.galleries()]
    drawings.remember()
    albums.remember()
    return (
        _Pictures(
            [Picture(one.title, one.files[0]) for one in drawn],
            [file for one in drawn for file in one.files],
        ),
        _Pictures([Picture(file.stem, file) for file in shown], shown),
    )


def _page(
    runs: Runs,
    boards: Sequence[Board],
    folder: Path,
    figures: Sequence[Picture],
    galleries: Sequence[Picture],
) -> str:
    uncertainty = Uncertainty(runs, folder)
    text = render(runs, boards, cell_lines(runs, uncertainty), uncertainty, figures, galleries)
    uncertainty.remember()
    return text


def _paper_tables(runs: Runs, formats: Collection[Format]) -> dict[str, str]:
    """Return the paper's tables that the suites name: one page, and a LaTeX file each."""
    filled = list(grids(runs.results, [LAYOUTS[name] for name in runs.tables]))
    texts = {}
    if filled and "md" in formats:
        texts["tables.md"] = markdown_grids(filled)
    for grid in filled if "tex" in formats else ():
        protocol = grid.setting.protocol.removesuffix("+overrides")
        parts = (grid.layout.id, grid.dataset, protocol, grid.setting.policy)
        stem = "-".join(filter(None, parts))
        texts[f"tables/{stem}.tex"] = latex_grid(grid)
        if grid.has_published:
            texts[f"tables/{stem}-difference.tex"] = latex_grid(grid, differences=True)
    return texts
