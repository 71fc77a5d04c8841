"""Tables as Markdown and LaTeX: the same cells and marks, two notations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from tabulate import tabulate

from hashattack.benchmark.columns import MISSING, Column
from hashattack.benchmark.names import counted
from hashattack.reports.captions import UNDERTRAINED
from hashattack.reports.leaderboard import Board, Group
from hashattack.reports.lines import Line, columns_of

BEST, SECOND = "best", "second"
LATEX_MARKS = {BEST: r"\textbf{{{}}}", SECOND: r"\underline{{{}}}", "": "{}"}
_STYLES = {BEST: "textbf:--rwrap;", SECOND: "underline:--rwrap;", "": ""}  # of pandas' Styler
_MARKDOWN = {BEST: "**{}**", SECOND: "<u>{}</u>", "": "{}"}
_SYMBOLS = {  # what Styler's escape leaves as it is
    **{
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "L∞": r"$L_\infty$",
        "≤": r"$\leq$",
        "·": r"$\cdot$",
    },
    **{MISSING: "--", "\N{MINUS SIGN}": "$-$", "⁻²": "$^{-2}$"},
}


@dataclass(frozen=True)
class Table:
    """A table as text without a notation.

    Attributes:
        caption: what a reader must know about it.
        headings: of the levels of its index.
        texts: the cells; levels of index and columns are outermost first, and those of the index
            beyond the headings only keep its rows apart.
        marks: ``best``, ``second`` or "", of the same shape.
        label: by which LaTeX refers to it.
    """

    caption: str
    headings: Sequence[str]
    texts: pd.DataFrame
    marks: pd.DataFrame
    label: str = ""


def markdown_text(text: str) -> str:
    """Return an escaped text; a bracket is escaped only where a link would begin."""
    return re.sub(r"([|*_<>`\\]|\](?=[(\[:]))", r"\\\1", text)


def markdown(table: Table, join: str = "<br>") -> str:
    """Return a table under its caption; ``join`` stands between the levels of a heading."""
    keys, columns = (
        [list(map(markdown_text, key)) for key in axis.to_frame().astype(str).to_numpy()]
        for axis in (table.texts.index, table.texts.columns)
    )
    rows = [
        [
            *key[: len(table.headings)],
            *(_MARKDOWN[m].format(markdown_text(t)) for t, m in zip(*row, strict=True)),
        ]
        for key, *row in zip(keys, table.texts.to_numpy(), table.marks.to_numpy(), strict=True)
    ]
    header = [*map(markdown_text, table.headings), *(join.join(filter(None, k)) for k in columns)]
    body = tabulate(rows, header, tablefmt="pipe", disable_numparse=True)
    return f"{markdown_text(table.caption)}\n\n{body}\n"


def latex(table: Table) -> str:
    r"""Return a table as LaTeX; needs ``\usepackage{booktabs}``."""
    texts, levels = table.texts.copy(), len(table.headings)
    hidden = range(levels, texts.index.nlevels)
    texts.index.names = [*map(latex_text, table.headings), *(None for _ in hidden)]
    texts.columns.names = [None] * texts.columns.nlevels
    styles = table.marks.map(lambda mark: _STYLES[mark])
    style = texts.style.format(escape="latex").apply(lambda _: styles, axis=None)
    for axis in (0, 1):
        style = style.format_index(escape="latex", axis=axis)
    for level in hidden:
        style = style.hide(level=level, axis="index")
    text: str = style.to_latex(
        hrules=True,
        clines="skip-last;data" if texts.index.nlevels > 1 else None,
        multirow_align="naive",
        multicol_align="c",
        column_format="l" * levels + "r" * texts.shape[1],
        caption=latex_text(table.caption),
        label=f"tab:{table.label}" if table.label else None,
        position="t",
        position_float="centering",
        environment="table*",
    )
    # Styler draws \cline between groups; booktabs has \midrule, and no rule before the last.
    text = re.sub(r"\\cline\{[^}]*\}\n(?=\\bottomrule)", "", text)
    text = re.sub(r"\\cline\{1-\d+\}", r"\\midrule", text)
    return _with_symbols(text)


def latex_text(text: str) -> str:
    """Return a text escaped by Styler, which does not do so for captions and names of levels."""
    style = pd.DataFrame([[text]]).style.format(escape="latex")
    escaped = str(style.hide(axis="index").hide(axis="columns").to_string()).removesuffix("\n")
    return _with_symbols(escaped)


def _with_symbols(text: str) -> str:
    for symbol, command in _SYMBOLS.items():
        text = text.replace(symbol, command)
    return text


def leaderboard_table(board: Board) -> Table:
    """Return a leaderboard with every column that a line has a number for, also by hasher.

    Within a ranked budget class the best score of a column is marked, and the second.
    """
    others = used_columns(board, "leaderboard")
    heads = [("", "#"), ("", "attack"), *board.targets.values()]
    heads += [("", "mean"), ("", "95 %"), *(("", column.heading) for column in others)]
    keys: list[tuple[str, str]] = []
    texts: list[list[str]] = []
    marks: list[list[str]] = []
    for group in board.groups:
        keys += [(group.title, str(len(keys) + n)) for n in range(len(group.lines))]
        for line, marked in zip(group.lines, marks_of(group, board), strict=True):
            rank, name, *numbers = summary_of(line, others)
            by_hasher = (board.metric.text(line.by_victim.get(target)) for target in board.targets)
            texts.append([rank, name, *by_hasher, *numbers])
            marks.append(["", "", *marked, "", *[""] * len(others)])
    index, columns = pd.MultiIndex.from_tuples(keys), pd.MultiIndex.from_tuples(heads)
    return Table(
        caption=caption_of(board, others, "in percent on each target hasher and its mean"),
        headings=["budget"],
        texts=pd.DataFrame(texts, index, columns),
        marks=pd.DataFrame(marks, index, columns),
    )


def used_columns(board: Board, table: Literal["summary", "leaderboard"]) -> list[Column]:
    """Return the columns of a table behind the score, those that some line has a number for."""
    columns = columns_of(table, board.metric.name)[1:]
    return [
        column for column in columns if any(column.name in line.numbers for line in board.lines)
    ]


def summary_of(line: Line, columns: Iterable[Column]) -> list[str]:
    """Return rank, name with its flag and note, mean score, interval and some columns of a line.

    Where a hasher or a seed is missing, the numbers are those of what there is.
    """
    note = "".join(f" [{text}]" for text in (line.flag, line.note) if text)
    return [
        "" if line.rank is None else str(line.rank),
        f"{line.name.full}{note}",
        line.metric.text(line.mean),
        interval_text(line),
        *(column.text(line.numbers.get(column.name)) for column in columns),
    ]


def interval_text(line: Line) -> str:
    """Return the ends of a line's interval, like ``68.13–72.34``."""
    if line.interval is None:
        return MISSING
    return "\N{EN DASH}".join(map(line.metric.text, line.interval))


def marks_of(group: Group, board: Board) -> list[list[str]]:
    """Return the marks of the score on each hasher and of its mean, of each line of a group.

    Equal texts have equal marks; the mean of a line with a missing result has none.
    """
    rows = [
        [
            *(line.by_victim.get(target) for target in board.targets),
            line.values.get(board.metric.name),
        ]
        for line in group.lines
    ]
    values = pd.DataFrame(rows, dtype="float64")
    if not group.ranked or len(values) < 2:
        return [[""] * values.shape[1]] * len(values)
    higher = board.metric.sign > 0
    places = (100 * values).round(2).rank(method="dense", ascending=not higher)
    marks = places.map(lambda place: {1: BEST, 2: SECOND}.get(place, ""))
    return [list(row) for row in marks.itertuples(index=False, name=None)]


def caption_of(board: Board, columns: Iterable[Column], score: str) -> str:
    """Return what a reader must know about a board: its trial, and what each column is.

    Args:
        board: of the table.
        columns: behind the score and its interval.
        score: what its numbers are of the score.
    """
    columns = list(columns)
    several = "" if board.seeds == 1 else f", mean of {board.seeds} seeds"
    notes = [
        f"{column.title[:1].upper()}{column.title[1:]}: {column.help}."
        for column in columns
        if column.help
    ]
    standard = [f"The standard attack is {board.standard}."] if board.standard else []
    ranked = any(line.rank for line in board.lines)
    lower = "" if board.metric.sign > 0 else ", lower is stronger"
    compared = any(column.name == "faster_from" for column in columns)
    flagged = any(line.flag for line in board.lines)
    return " ".join(
        [
            f"{board.dataset}: {counted(len(board.targets), 'target hasher')}, "
            f"{counted(board.n_queries, 'query')}{several}, protocol {board.protocol}, "
            f"{board.labels}. {board.score} {score}, expected over random tie order{lower}; "
            "95 %: the interval of the mean.",
            board.ranking,
            *(["Bold: the best of its budget; underlined: the second."] if ranked else []),
            *notes,
            *(standard if compared else []),
            *([f"Undertrained: {UNDERTRAINED}."] if flagged else []),
            *([f"Shared hyper-parameters: {board.shared}."] if board.shared else []),
        ]
    )


def leaderboards_markdown(boards: Sequence[Board]) -> str:
    """Return the leaderboards as one page, with the cells that have no result."""
    parts = ["# Leaderboard\n"]
    for board in boards:
        parts.append(markdown(leaderboard_table(board), "-"))
        if board.problems:
            listed = [f"- {markdown_text(text)}" for text in board.problems]
            parts += ["Cells without a result:\n", *listed, ""]
    return "\n".join(parts)
