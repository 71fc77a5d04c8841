"""Tables as Markdown, LaTeX and plain text: the same cells and marks, three notations."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from tabulate import tabulate

from hashattack.benchmark.columns import COLUMNS, MISSING
from hashattack.benchmark.names import counted
from hashattack.reports.leaderboard import Board, Group
from hashattack.reports.lines import Line, columns_of

BEST, SECOND = "best", "second"
_LATEX = {BEST: "textbf:--rwrap;", SECOND: "underline:--rwrap;", "": ""}
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


def _escaped(text: str) -> str:
    """Return a text for Markdown; a bracket is escaped only where a link would begin."""
    return re.sub(r"([|*_<>`\\]|\](?=[(\[:]))", r"\\\1", text)


@dataclass(frozen=True)
class Notation:
    """How tabulate shall lay a table out, and how texts are escaped and marked."""

    layout: str
    heading: str  # before a title
    escape: Callable[[str], str]
    marks: Mapping[str, str]


MARKDOWN = Notation("pipe", "# ", _escaped, {BEST: "**{}**", SECOND: "<u>{}</u>", "": "{}"})
PLAIN = Notation("simple", "", str, {BEST: "{}", SECOND: "{}", "": "{}"})  # for a terminal


def render(table: Table, notation: Notation, join: str = "<br>") -> str:
    """Return a table under its caption; ``join`` stands between the levels of a heading."""
    escape, marks = notation.escape, notation.marks
    keys, columns = (
        [list(map(escape, key)) for key in axis.to_frame().astype(str).to_numpy()]
        for axis in (table.texts.index, table.texts.columns)
    )
    rows = [
        [
            *key[: len(table.headings)],
            *(marks[m].format(escape(t)) for t, m in zip(*row, strict=True)),
        ]
        for key, *row in zip(keys, table.texts.to_numpy(), table.marks.to_numpy(), strict=True)
    ]
    header = [*map(escape, table.headings), *(join.join(filter(None, key)) for key in columns)]
    body = tabulate(rows, header, tablefmt=notation.layout, disable_numparse=True)
    return f"{escape(table.caption)}\n\n{body}\n"


def latex(table: Table) -> str:
    r"""Return a table as LaTeX; needs ``\usepackage{booktabs}``."""
    texts, levels = table.texts.copy(), len(table.headings)
    hidden = range(levels, texts.index.nlevels)
    texts.index.names = [*map(_latex_text, table.headings), *(None for _ in hidden)]
    texts.columns.names = [None] * texts.columns.nlevels
    styles = table.marks.map(lambda mark: _LATEX[mark])
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
        caption=_latex_text(table.caption),
        label=f"tab:{table.label}" if table.label else None,
        position="t",
        position_float="centering",
        environment="table*",
    )
    # Styler draws \cline between groups; booktabs has \midrule, and no rule before the last.
    text = re.sub(r"\\cline\{[^}]*\}\n(?=\\bottomrule)", "", text)
    text = re.sub(r"\\cline\{1-\d+\}", r"\\midrule", text)
    for symbol, command in _SYMBOLS.items():
        text = text.replace(symbol, command)
    return text


def _latex_text(text: str) -> str:
    """Return a text escaped by Styler, which does not do so for captions and names of levels."""
    style = pd.DataFrame([[text]]).style.format(escape="latex")
    return str(style.hide(axis="index").hide(axis="columns").to_string()).removesuffix("\n")


def leaderboard_table(board: Board) -> Table:
    """Return a leaderboard as text; columns that are empty in every line are left out.

    Within a ranked budget class the best value of a t-MAP column is marked, and the second.
    """
    t_map, *others = columns_of("leaderboard")
    heads = [("", "#"), ("", "attack"), *board.targets.values()]
    heads += [("", "mean"), ("", "95 %"), *(("", column.heading) for column in others)]
    keys: list[tuple[str, str]] = []
    texts: list[list[str]] = []
    marks: list[list[str]] = []
    for group in board.groups:
        keys += [(group.title, str(len(keys) + n)) for n in range(len(group.lines))]
        for line, marked in zip(group.lines, marks_of(group, board), strict=True):
            note = f" [{line.note}]" if line.note else ""
            texts.append(
                [
                    "" if line.rank is None else str(line.rank),
                    f"{line.name.full}{note}",
                    *map(t_map.text, _t_maps(line, board)),
                    interval_text(line),
                    *(column.text(line.values.get(column.name)) for column in others),
                ]
            )
            marks.append(["", "", *marked, "", *[""] * len(others)])
    index, columns = pd.MultiIndex.from_tuples(keys), pd.MultiIndex.from_tuples(heads)
    frame = pd.DataFrame(texts, index, columns)
    kept = ~frame.isin(["", MISSING]).all().to_numpy()
    return Table(
        caption=_caption(board),
        headings=["budget"],
        texts=frame.loc[:, kept],
        marks=pd.DataFrame(marks, index, columns).loc[:, kept],
    )


def interval_text(line: Line) -> str:
    """Return the ends of a line's interval."""
    t_map = COLUMNS["t_map"]
    return (
        MISSING
        if line.interval is None or not line.values
        else " to ".join(map(t_map.text, line.interval))
    )


def _t_maps(line: Line, board: Board) -> list[float | None]:
    """Return a line's t-MAP on each target and their mean."""
    return [*(line.t_map.get(target) for target in board.targets), line.values.get("t_map")]


def marks_of(group: Group, board: Board) -> list[list[str]]:
    """Return how each line's t-MAP on each target and its mean are marked; equal texts alike."""
    values = pd.DataFrame([_t_maps(line, board) for line in group.lines], dtype="float64")
    if not group.ranked or len(values) < 2:
        return [[""] * values.shape[1]] * len(values)
    places = (100 * values).round(2).rank(method="dense", ascending=False)
    marks = places.map(lambda place: {1: BEST, 2: SECOND}.get(place, ""))
    return [list(row) for row in marks.itertuples(index=False, name=None)]


def _caption(board: Board) -> str:
    """Return what a reader must know about a board."""
    several = "" if board.seeds == 1 else f", mean of {board.seeds} seeds"
    queries = counted(board.n_queries, "query")
    shared = f" Shared hyper-parameters: {board.shared}." if board.shared else ""
    standard = f" The standard attack is {board.standard}." if board.standard else ""
    notes = " ".join(
        f"{column.title[:1].upper()}{column.title[1:]}: {column.help}."
        for column in columns_of("leaderboard")[1:]
        if column.help
    )
    return (
        f"{board.dataset}: t-MAP in percent on each target and its mean, expected over random tie "
        f"order; {queries}{several}, protocol {board.protocol}, target labels "
        f"{board.target_labels}. 95 %: interval of the mean over queries. {board.ranking} "
        f"{notes}{standard}{shared}"
    )


def leaderboards_text(boards: Sequence[Board], notation: Notation) -> str:
    """Return the leaderboards as one page, with the cells that have no result."""
    parts = [f"{notation.heading}Leaderboard\n"]
    for board in boards:
        parts.append(render(leaderboard_table(board), notation, "-"))
        if board.problems:
            listed = [f"- {notation.escape(text)}" for text in board.problems]
            parts += ["Cells without a result:\n", *listed, ""]
    return "\n".join(parts)
