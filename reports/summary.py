"""The leaderboard in few columns, narrow enough for a terminal and for a page of a paper."""

from __future__ import annotations

from collections.abc import Sequence

from hashattack.benchmark.columns import Column
from hashattack.benchmark.names import counted
from hashattack.benchmark.terminal import Part, Table, folded_heading
from hashattack.reports.captions import UNDERTRAINED, labels_name
from hashattack.reports.leaderboard import Board
from hashattack.reports.tables import (
    LATEX_MARKS,
    caption_of,
    latex_text,
    marks_of,
    summary_of,
    used_columns,
)


def terminal_parts(boards: Sequence[Board], not_shown: str = "") -> list[Part]:
    """Return the leaderboards for a terminal: texts and tables, which end with what is missing.

    Args:
        boards: of a report.
        not_shown: what the folder holds beside them, a sentence or "".
    """
    parts: list[Part] = []
    for board in boards:
        columns = used_columns(board, "summary")
        rows: list[Sequence[str]] = []
        for group in board.groups:
            rows += [("", group.title), *(summary_of(line, columns) for line in group.lines)]
        headings = _headings(board, columns)
        parts += [_heading(board), Table(headings, "lf" + "r" * (len(columns) + 2), rows)]
        if board.problems:
            listed = (f"- {problem}" for problem in board.problems)
            parts.append("\n".join(["Cells without a result:", *listed]))
    return [*parts, not_shown] if not_shown else parts


def latex_leaderboard(board: Board) -> str:
    r"""Return a leaderboard as a ``table*`` as wide as the text.

    Needs ``\usepackage{booktabs,tabularx}``. The best score of a budget is bold, the second
    underlined.
    """
    columns = used_columns(board, "summary")
    headings, lines = _headings(board, columns), []
    for group in board.groups:
        title = latex_text(group.title)
        lines += [r"\midrule", rf"\multicolumn{{{len(headings)}}}{{@{{}}l}}{{{title}}} \\"]
        for line, marks in zip(group.lines, marks_of(group, board), strict=True):
            rank, name, mean, *others = map(latex_text, summary_of(line, columns))
            lines.append(_latex_row(rank, name, LATEX_MARKS[marks[-1]].format(mean), *others))
    cells = zip(*(summary_of(line, columns) for line in board.lines), strict=True)
    first, second, *others = map(_latex_heading, headings, cells)
    score = "in percent, mean over the target hashers"
    return "\n".join(
        [
            r"\begin{table*}[t]",
            r"\centering\small\setlength{\tabcolsep}{4pt}",
            rf"\caption{{{latex_text(caption_of(board, columns, score))}}}\smallskip",
            r"\begin{tabularx}{\textwidth}"
            rf"{{@{{}}l>{{\raggedright\arraybackslash}}X{'r' * len(others)}@{{}}}}",
            r"\toprule",
            _latex_row(first, second, *others),
            *lines,
            r"\bottomrule",
            r"\end{tabularx}",
            r"\end{table*}",
            "",
        ]
    )


def _latex_row(*cells: str) -> str:
    return " & ".join(cells) + r" \\"


def _latex_heading(heading: str, cells: Sequence[str]) -> str:
    lines = r"\\".join(map(latex_text, folded_heading(heading, cells)))
    return rf"\shortstack[r]{{{lines}}}"


def _heading(board: Board) -> str:
    """Return what a reader must know, in four short lines at most."""
    seeds = "" if board.seeds == 1 else f", means of {board.seeds} seeds"
    chance = f"; chance: {board.chance}" if board.chance else ""
    lower = "" if board.metric.sign > 0 else ", lower is stronger"
    tied = any(line.rank and line.rank.tied for line in board.lines)
    lines = [
        f"{board.dataset}: {counted(len(board.targets), 'target hasher')}, "
        f"{counted(board.n_queries, 'query')}{seeds}, protocol {board.protocol}",
        f"{board.score}: mean average precision (%) for {labels_name(board.policy)}{lower}{chance}",
    ]
    if board.policy == "as-published":
        lines.append("not ranked: each attack has target labels of its own")
    elif tied:
        lines.append("=: not significantly different from the best of this rank")
    if any(line.flag for line in board.lines):
        lines.append(f"undertrained: {UNDERTRAINED}")
    return "\n".join(lines)


def _headings(board: Board, columns: Sequence[Column]) -> list[str]:
    return ["#", "attack", board.score, "95 %", *(column.heading for column in columns)]
