"""Leaderboards as Markdown, LaTeX and plain text: the same cells, three notations.

Within a ranked budget class the best value of a t-MAP column is bold, the second underlined.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
from tabulate import tabulate

from hashattack.reports.leaderboard import Board, Group, Line

_MISSING = "\N{EN DASH}"
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "\N{EN DASH}": "--",
}


@dataclass(frozen=True)
class Notation:
    """How a text format escapes, and marks the best and the second."""

    escape: Callable[[str], str]
    best: Callable[[str], str]
    second: Callable[[str], str]


MARKDOWN = Notation(
    # A bracket only where a link would begin, so that what is to be typed can be copied.
    escape=lambda text: re.sub(r"([|*_<>`\\]|\](?=[(\[:]))", r"\\\1", text),
    best=lambda text: f"**{text}**",
    second=lambda text: f"<u>{text}</u>",
)
PLAIN = Notation(escape=str, best=str, second=str)  # for a terminal
LATEX = Notation(
    escape=lambda text: re.sub(r"[\\&%$#_{}~^<>\u2013]", lambda match: _LATEX[match.group()], text),
    best=lambda text: rf"\textbf{{{text}}}",
    second=lambda text: rf"\underline{{{text}}}",
)


def _percent(value: float | None) -> str:
    return _MISSING if value is None else f"{100 * value:.2f}"


def _number(value: float | None, places: int) -> str:
    return _MISSING if value is None else f"{value:.{places}f}"


def _cells(group: Group, board: Board, notation: Notation) -> list[list[str]]:
    """Return a group's lines as marked strings, in the order of :func:`_header`."""
    columns = [[line.t_map.get(target) for line in group.lines] for target in board.targets]
    columns.append([line.mean for line in group.lines])
    marked = [_mark(column, group.ranked, notation) for column in columns]
    return [
        [
            notation.escape(group.title),
            "" if line.standing is None else str(line.standing),
            _name(line, notation),
            *(column[number] for column in marked),
            notation.escape(_interval(line)),
            *(notation.escape(text) for text in _measures(line)),
        ]
        for number, line in enumerate(group.lines)
    ]


def _interval(line: Line) -> str:
    return _MISSING if line.interval is None else " to ".join(map(_percent, line.interval))


def _measures(line: Line) -> list[str]:
    return [
        _percent(line.over_original),
        _percent(line.gain),
        _percent(line.map),
        _number(line.perceptibility, 4),
        _number(None if line.linf is None else 255 * line.linf, 2),
        _MISSING if line.passes is None else f"{line.passes:,.0f}",
        _seconds(line.seconds_per_image),
        _MISSING if line.fit_seconds is None else f"{line.fit_seconds:.0f}",
        _MISSING if line.cheaper_from is None else f"{line.cheaper_from:,}",
    ]


def _seconds(value: float | None) -> str:
    if value is None:
        return _MISSING
    return "< 0.001" if value < 0.0005 else f"{value:.2g}"


def _name(line: Line, notation: Notation) -> str:
    settings = f" ({line.settings})" if line.settings else ""
    note = f" [{line.note}]" if line.note else ""
    return notation.escape(f"{line.attack}{settings}{note}")


def _mark(values: Sequence[float | None], ranked: bool, notation: Notation) -> list[str]:
    present = sorted({round(100 * value, 2) for value in values if value is not None}, reverse=True)
    texts = []
    for value in values:
        text = notation.escape(_percent(value))
        if ranked and value is not None and len(values) > 1:
            place = present.index(round(100 * value, 2))
            text = notation.best(text) if place == 0 else text
            text = notation.second(text) if place == 1 else text
        texts.append(text)
    return texts


def _header(board: Board) -> list[tuple[str, str]]:
    """Return the two header rows, a pair a column; a target's code length stands below it."""
    return [
        ("", "Budget"),
        ("", "#"),
        ("", "Attack"),
        *((target.rpartition("-")[0], target.rpartition("-")[2]) for target in board.targets),
        ("", "mean"),
        ("", "95 %"),
        ("", "over Original"),
        ("", "gain (%)"),
        ("", "MAP (%)"),
        ("", "Perceptibility"),
        ("", "L∞ · 255"),
        ("", "passes / image"),
        ("", "s / image"),
        ("", "training s"),
        ("", "cheaper from"),
    ]


def _shown(header: list[tuple[str, str]], rows: list[list[str]]) -> list[int]:
    """Return the columns that say anything in some row."""
    return [
        number
        for number in range(len(header))
        if any(row[number] not in ("", _MISSING, "--") for row in rows)
    ]


def caption(board: Board) -> str:
    """Return what a reader must know about a board in one sentence."""
    several = "" if board.seeds == 1 else f", mean of {board.seeds} seeds"
    shared = f" Where an attack has them: {board.shared}." if board.shared else ""
    return (
        f"{board.dataset}: t-MAP in percent on each target and its mean, expected over random tie "
        f"order; {board.n_queries} queries{several}, protocol {board.protocol}, target labels "
        f"{board.policy}. 95 %: of the mean, over queries. Attacks are ranked within their "
        "L-infinity budget, and = marks ranks that a paired permutation test does not tell apart; "
        "the codes alone are an upper bound. Passes: through the hasher, forward ones, as the "
        "attack declares; backward ones count double. Cheaper from: queries from which training "
        f"pays off against DHTA.{shared}"
    )


def markdown(boards: Sequence[Board]) -> str:
    """Return the leaderboards as one Markdown page."""
    return _page(boards, MARKDOWN, "pipe")


def plain(boards: Sequence[Board]) -> str:
    """Return the leaderboards as they stand on a terminal, without marks or escapes."""
    return _page(boards, PLAIN, "simple")


def _page(boards: Sequence[Board], notation: Notation, layout: str) -> str:
    parts = ["# Leaderboard\n"] if notation is MARKDOWN else ["Leaderboard\n"]
    for board in boards:
        header = _header(board)
        rows = [row for group in board.groups for row in _cells(group, board, notation)]
        shown = _shown(header, rows)
        body = [[row[i] for i in shown] for row in rows]
        names = ["-".join(filter(None, header[i])) for i in shown]
        parts.append(f"{notation.escape(caption(board))}\n")
        parts.append(tabulate(body, names, tablefmt=layout, disable_numparse=True) + "\n")
        if board.problems:
            parts.append("Cells without a result:\n")
            parts += [f"- {notation.escape(text)}" for text in board.problems]
            parts.append("")
    return "\n".join(parts)


def latex(boards: Sequence[Board]) -> str:
    r"""Return the leaderboards as LaTeX tables; needs ``\usepackage{booktabs}``."""
    return "\n".join(_latex_board(board) for board in boards)


def _latex_board(board: Board) -> str:
    header = [(LATEX.escape(over), _latex_symbol(own)) for over, own in _header(board)]
    rows = [row for group in board.groups for row in _cells(group, board, LATEX)]
    index = [row[0] for row in rows]
    shown = [i for i in _shown(header, rows) if i > 0]  # the budget becomes the row's index
    frame = pd.DataFrame(
        [[row[i] for i in shown] for row in rows],
        columns=pd.MultiIndex.from_tuples([header[i] for i in shown], names=[None, "Budget"]),
        index=pd.MultiIndex.from_arrays([index, range(len(index))]),
    )
    text: str = frame.style.hide(level=1, axis="index").to_latex(
        hrules=True,
        clines="skip-last;data",
        multirow_align="naive",
        multicol_align="c",
        column_format="l" + "".join("l" if header[i][1] == "Attack" else "r" for i in shown),
        caption=LATEX.escape(caption(board)),
        position="t",
        position_float="centering",
        environment="table*",
    )
    # Styler draws \cline between groups; booktabs has \midrule, and no rule before the last.
    return re.sub(r"\\cline\{[^}]*\}\n(?=\\bottomrule)", "", text).replace(
        rf"\cline{{1-{len(shown) + 1}}}", r"\midrule"
    )


def _latex_symbol(name: str) -> str:
    return LATEX.escape(name).replace("L∞ · 255", r"$L_\infty \cdot 255$")
