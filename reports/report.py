"""Everything a report consists of, written from what output folders hold."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from hashattack.benchmark.names import counted
from hashattack.benchmark.store.files import write_bytes
from hashattack.benchmark.terminal import Part
from hashattack.datasets.errors import UserError
from hashattack.reports.galleries import IN_PAGE, Gallery, galleries
from hashattack.reports.grids import grids
from hashattack.reports.leaderboard import comparisons, leaderboards
from hashattack.reports.lines import cell_lines
from hashattack.reports.names import Names
from hashattack.reports.page import render_page
from hashattack.reports.published import tables
from hashattack.reports.results import Runs, export_results
from hashattack.reports.strip import best_places, strip_of
from hashattack.reports.summary import latex_leaderboard, terminal_parts
from hashattack.reports.tables import latex, leaderboards_markdown, markdown
from hashattack.reports.uncertainty import Uncertainty

Format = Literal["html", "md", "tex", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)


@dataclass(frozen=True)
class Report:
    """A written report; ``leaderboard`` is what a terminal shows of it."""

    folder: Path
    results: pd.DataFrame
    leaderboard: Sequence[Part]
    files: list[Path]

    @property
    def page(self) -> Path | None:
        """The page, where it was requested."""
        return next((file for file in self.files if file.name == "index.html"), None)

    @property
    def summary(self) -> str:
        """What was written, and where."""
        beside = [file.name for file in self.files if not file.is_relative_to(self.folder)]
        inside = f"{counted(len(self.files) - len(beside), 'file')} in {self.folder}"
        lines = [f"wrote {', '.join(beside)} and {inside}" if beside else f"wrote {inside}"]
        lines += [f"open {self.page.as_uri()}"] if self.page is not None else []
        return "\n".join(lines)


def parse_formats(text: str) -> list[Format]:
    """Return what ``--format`` names.

    Raises:
        UserError: there is no such format.
    """
    formats = [one for one in FORMATS if one in text.split(",")]
    if len(formats) < len(text.split(",")):
        raise UserError(f"--format {text}: expected some of {', '.join(FORMATS)}")
    return formats


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
    names, uncertainty = Names(runs.cells), Uncertainty(runs)
    boards = leaderboards(runs.results, names, uncertainty)
    files = export_results(runs.results, home) if "csv" in formats else []
    texts: dict[str, str] = {}
    if "md" in formats:
        texts["leaderboard.md"] = leaderboards_markdown(boards)
    if "tex" in formats:
        texts["leaderboard.tex"] = "\n".join(map(latex_leaderboard, boards))
    texts |= _paper_tables(runs, names, formats)
    if "html" in formats:
        # With matplotlib and what it imports, which takes a second.
        from hashattack.reports.figures import draw_figures
        from hashattack.reports.gallery_files import draw_gallery

        figures = draw_figures(runs, names, boards, uncertainty, folder / "figures")
        files += [file for picture in figures for file in picture.files]
        shown: list[Gallery] = []
        best = best_places(boards)
        for one in galleries(runs, names):
            files.append(draw_gallery(one, folder / "galleries"))
            if len(shown) < IN_PAGE or one.place in best:
                shown.append(one)
        texts["index.html"] = render_page(
            runs,
            [(board, comparisons(board, uncertainty)) for board in boards],
            cell_lines(runs.cells, names, uncertainty),
            figures,
            shown,
            strip_of(boards, shown),
        )
    for name, text in texts.items():
        write_bytes(folder / name, text.encode())
        files.append(folder / name)
    return Report(folder, runs.results, terminal_parts(boards, str(runs.not_shown)), files)


def _paper_tables(runs: Runs, names: Names, formats: Collection[Format]) -> dict[str, str]:
    """Return the tables of papers that the suites name: one page, and a LaTeX file each."""
    known = tables()
    page: list[str] = []
    files: dict[str, str] = {}
    for paper, layout in (known[name] for name in runs.tables):
        heading = f"# Tables of {paper.title}\n"
        for grid in grids(runs.results, paper, layout, names):
            page += [heading] if heading not in page else []
            page.append(f"## {layout.id}\n")
            for differences in (False, True) if grid.has_published else (False,):
                table = grid.table(differences=differences)
                page.append(markdown(table))
                suffix = "-difference" if differences else ""
                files[f"tables/{grid.stem}{suffix}.tex"] = latex(table)
    texts = files if "tex" in formats else {}
    return texts | ({"tables.md": "\n".join(page)} if page and "md" in formats else {})
