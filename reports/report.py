"""Everything a report consists of, written from what output folders hold."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from hashattack.benchmark.store.files import write_bytes
from hashattack.reports.cells import cell_lines
from hashattack.reports.comparisons import compared
from hashattack.reports.drawings import Drawings
from hashattack.reports.figures import draw_figures
from hashattack.reports.galleries import draw_gallery
from hashattack.reports.grids import grids
from hashattack.reports.layouts import LAYOUTS
from hashattack.reports.leaderboard import Board, leaderboards
from hashattack.reports.names import Names
from hashattack.reports.page import Picture, render
from hashattack.reports.paper_tables import latex_grid, markdown_grids
from hashattack.reports.results import export_results
from hashattack.reports.runs import Runs
from hashattack.reports.tables import latex, markdown, plain
from hashattack.reports.uncertainty import Uncertainty

Format = Literal["html", "md", "tex", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)


@dataclass(frozen=True)
class Report:
    """A written report; ``leaderboard`` is its text for a terminal."""

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
    home = runs.folders[0] if to is None else to.resolve()
    folder = home / "report" if to is None else home
    uncertainty = Uncertainty(runs)
    boards = leaderboards(runs.results, uncertainty)
    files = export_results(runs.results, home) if "csv" in formats else []
    texts: dict[str, str] = {}
    if "md" in formats:
        texts["leaderboard.md"] = markdown(boards)
    if "tex" in formats:
        texts["leaderboard.tex"] = latex(boards)
    texts |= _paper_tables(runs, formats)
    if "html" in formats:
        figures, pictures = _pictures(runs, folder)
        files += [*figures.files, *pictures.files]
        texts["index.html"] = _page(runs, boards, uncertainty, figures.shown, pictures.shown)
    for name, text in texts.items():
        write_bytes(folder / name, text.encode())
        files.append(folder / name)
    told = "\n".join(filter(None, (plain(boards), str(runs.beside))))
    return Report(folder, runs.results, told, files)


@dataclass(frozen=True)
class _Pictures:
    shown: list[Picture]
    files: list[Path]


def _pictures(runs: Runs, folder: Path) -> tuple[_Pictures, _Pictures]:
    """Draw figures and galleries."""
    drawings, albums = Drawings(folder / "figures"), Drawings(folder / "galleries")
    drawn = draw_figures(runs.results, runs.losses, runs.curves, drawings)
    names = Names(runs.results)
    shown = [
        draw_gallery(row, names.of(row).label, arrays, classes, albums)
        for row, arrays, classes in runs.galleries()
    ]
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
    uncertainty: Uncertainty,
    figures: Sequence[Picture],
    galleries: Sequence[Picture],
) -> str:
    lines = cell_lines(runs, uncertainty)
    against = [compared(board, uncertainty) for board in boards]
    return render(runs, boards, lines, against, figures, galleries)


def _paper_tables(runs: Runs, formats: Collection[Format]) -> dict[str, str]:
    """Return the paper's tables that the suites name: one page, and a LaTeX file each."""
    filled = list(grids(runs.results, [LAYOUTS[name] for name in runs.tables]))
    texts = {}
    if filled and "md" in formats:
        texts["tables.md"] = markdown_grids(filled)
    for grid in filled if "tex" in formats else ():
        parts = (grid.layout.id, grid.dataset, grid.setting.protocol, grid.setting.policy)
        stem = "-".join(filter(None, parts))
        texts[f"tables/{stem}.tex"] = latex_grid(grid)
        if grid.has_published:
            texts[f"tables/{stem}-difference.tex"] = latex_grid(grid, differences=True)
    return texts
