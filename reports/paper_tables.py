"""Grids as Markdown and LaTeX, in the paper's layout, and their differences to its numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pandas as pd
from tabulate import tabulate

from hashattack.reports.grids import Grid, Number
from hashattack.reports.tables import LATEX, MARKDOWN, Notation

_PLACES = {"t-MAP": 2, "MAP": 2, "perceptibility_x100": 2}
_METRIC_NAMES = {"perceptibility_x100": "Per. (10⁻²)", "seconds_per_image": "Time (s)"}
_POINTS = (1.0, 5.0)  # differences of t-MAP and MAP that get one mark and two
_SHARES = (0.1, 0.5)  # of the published value, for the other metrics

Text = Callable[[Number, Notation], str]


def measured_text(number: Number, notation: Notation) -> str:
    """Return our value, bold where it is the best, or why there is none."""
    if number.value is None:
        return notation.escape(number.status)
    text = _value(number.metric, number.value)
    return notation.best(text) if number.best else text


def difference_text(number: Number, notation: Notation) -> str:
    """Return measured − published with a mark for its size, or why there is none."""
    if number.difference is None or number.published is None:
        missing = "" if number.published is None else number.status
        return notation.escape(missing)
    size = abs(number.difference)
    limits = _POINTS if number.metric in ("t-MAP", "MAP") else _SHARES
    scale = 1.0 if limits is _POINTS else max(abs(number.published), 1e-12)
    marks = "*" * sum(size / scale > limit for limit in limits)
    sign = "+" if number.difference >= 0 else "\N{MINUS SIGN}"
    return notation.escape(sign + _value(number.metric, size) + marks)


def caption(grid: Grid, *, differences: bool) -> str:
    """Return what a reader must know about a grid."""
    where = f", {grid.dataset}" if grid.dataset else ""
    setting = grid.setting
    overrides = f" Overrides: {setting.overrides}." if setting.overrides else ""
    title = (
        f"{grid.layout.title}{where}; protocol {setting.protocol}, target labels {setting.policy}, "
        f"{setting.n_queries} queries, ties in database order.{overrides}"
    )
    if not differences:
        return f"{title} Bold: the best attack."
    return (
        f"Measured minus published. {title} One mark: more than 1 point (10 % of the published "
        "value for other metrics); two marks: more than 5 points (50 %)."
    )


def markdown_grids(grids: Sequence[Grid]) -> str:
    """Return the grids, each followed by its differences where the paper has numbers."""
    parts = ["# Tables of the paper\n"]
    for grid in grids:
        parts.append(f"## {grid.layout.id}\n")
        parts.append(_markdown(grid, measured_text, differences=False))
        if grid.has_published:
            parts.append(_markdown(grid, difference_text, differences=True))
    return "\n".join(parts)


def latex_grid(grid: Grid, *, differences: bool = False) -> str:
    r"""Return a grid as a LaTeX table; needs ``\usepackage{booktabs}``."""
    text = difference_text if differences else measured_text
    body = [[text(number, LATEX) for number in _line(grid, row)] for row in grid.rows]
    header = pd.MultiIndex.from_tuples(
        [tuple(LATEX.escape(_name(part)) for part in column) for column in grid.columns]
    )
    index = pd.MultiIndex.from_tuples(
        [tuple(LATEX.escape(part) for part in row) for row in grid.rows],
        names=[LATEX.escape(name) for name in grid.layout.headings],
    )
    frame = pd.DataFrame(body, index=index, columns=header)
    levels = len(grid.layout.rows)
    latex: str = frame.style.to_latex(
        hrules=True,
        clines="skip-last;data" if levels > 1 else None,
        multirow_align="naive",
        multicol_align="c",
        column_format="l" * levels + "r" * len(grid.columns),
        caption=LATEX.escape(caption(grid, differences=differences)),
        label=f"tab:{grid.layout.id}{'-difference' if differences else ''}",
        position="t",
        position_float="centering",
        environment="table*",
    )
    latex = re.sub(r"\\cline\{[^}]*\}\n(?=\\bottomrule)", "", latex)
    latex = re.sub(r"\\cline\{1-\d+\}", r"\\midrule", latex)
    return latex.replace("10⁻²", "$10^{-2}$").replace("\N{MINUS SIGN}", "$-$")


def _markdown(grid: Grid, text: Text, *, differences: bool) -> str:
    rows = [
        [*map(MARKDOWN.escape, row), *(text(number, MARKDOWN) for number in _line(grid, row))]
        for row in grid.rows
    ]
    columns = ("<br>".join(MARKDOWN.escape(_name(part)) for part in key) for key in grid.columns)
    header = [*grid.layout.headings, *columns]
    table = tabulate(rows, header, tablefmt="pipe", disable_numparse=True)
    return f"{MARKDOWN.escape(caption(grid, differences=differences))}\n\n{table}\n"


def _line(grid: Grid, row: tuple[str, ...]) -> list[Number]:
    empty = Number(metric="", status="")
    return [grid.numbers.get((row, column), empty) for column in grid.columns]


def _value(metric: str, value: float) -> str:
    if metric in _PLACES:
        return f"{value:.{_PLACES[metric]}f}"
    return f"{value:.3g}"


def _name(part: str) -> str:
    return _METRIC_NAMES.get(part, part)
