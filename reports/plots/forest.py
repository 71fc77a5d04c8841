"""The forest plot of a leaderboard: one line per attack, its mean and interval; and two levels.

Wide beside the text of a page, or narrow for a phone; both have the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hashattack.benchmark.names import counted
from hashattack.reports.leaderboard import Board
from hashattack.reports.lines import Line
from hashattack.reports.pictures import LINE, PAPER, QUIET
from hashattack.reports.plots.theme import (
    HUES,
    SIZE,
    fitted,
    percent_limits,
    quiet_axis,
    text_width,
)

WIDE, NARROW = 6.7, 3.75  # inches: 643 and 360 pixels
_ROW = 0.235  # inches
_HEAD = 0.30  # of the names of the levels
_FOOT = 0.42  # of the axis
_GAP = 10.0  # points between columns
_NAMES = 0.4  # of the width, at most
_INDENT = 8.0  # points, of names below the title of their group

Style = dict[str, Any]  # arguments of matplotlib


@dataclass(frozen=True)
class Row:
    """An attack of a forest plot; percentages.

    Attributes:
        label: its name.
        value: its mean score.
        interval: its 95 % interval, None where there is none.
        rank: as tables show it, "" where it has none.
        best: whether it leads a ranked group of attacks: codes alone are none.
        complete: whether it has a result on every hasher.
    """

    label: str
    value: float
    interval: tuple[float, float] | None
    rank: str
    best: bool
    complete: bool


def forest_rows(board: Board, short: Mapping[str, str]) -> Iterator[tuple[str, list[Row]]]:
    """Yield the groups of a board with the rows that have a result, in its order.

    No attack and chance are no rows but levels.

    Args:
        board: the leaderboard.
        short: the short names of attacks by their labels.
    """
    for group in board.groups:
        attacks = [line for line in group.lines if line.facts["attack"] and line.by_victim]
        rows = [_row(line, short) for line in attacks if line.facts["role"] != "no-attack"]
        if rows:
            yield group.title, rows


def _row(line: Line, short: Mapping[str, str]) -> Row:
    ends = line.interval
    return Row(
        label=short.get(line.name.label, line.name.label),
        value=100 * line.numbers[line.metric.name],
        interval=None if ends is None else (100 * ends[0], 100 * ends[1]),
        rank=str(line.rank or ""),
        best=line.rank is not None and line.rank.number == 1 and not line.facts["code_only"],
        complete=bool(line.values),
    )


def levels(board: Board) -> dict[str, float]:
    """Return the score of chance and of no attack in percent, those that the board has."""
    found = {}
    for line in board.lines:
        if board.metric.name in line.values:
            if not line.facts["attack"]:
                found["chance"] = 100 * line.values[board.metric.name]
            elif line.facts["role"] == "no-attack":
                found["no attack"] = 100 * line.values[board.metric.name]
    return dict(sorted(found.items(), key=lambda level: level[1]))


def forest(board: Board, short: Mapping[str, str], width: float = WIDE) -> Figure:
    """Draw a forest plot ``width`` inches wide."""
    entries: list[str | Row] = []
    for title, group in forest_rows(board, short):
        entries += [title, *group]
    rows = [entry for entry in entries if isinstance(entry, Row)]
    size = SIZE + (0.8 if width > NARROW else 0.2)
    labels = {row.label: fitted(row.label, _NAMES * width, size, "bold") for row in rows}
    names = max(text_width(label, size, "bold") for label in labels.values()) + _INDENT
    ranks = max(text_width(text, size, "bold") for text in [*(row.rank for row in rows), "rank"])
    values = text_width("100.0", size, "bold")
    title = board.metric.title
    columns = {"name": -names - _GAP, title: values + _GAP, "rank": values + ranks + 2 * _GAP}

    lower = "" if board.metric.sign > 0 else ", lower is stronger"
    marks = levels(board)
    shown = [*marks.values()]
    shown += [end for row in rows for end in (row.value, *(row.interval or ()))]
    height = _HEAD + _ROW * len(entries) + _FOOT
    figure = Figure(figsize=(width, height))
    left, right = (names + _GAP + 1) / 72 / width, (columns["rank"] + 2) / 72 / width
    axis = figure.add_axes(
        (left, _FOOT / height, 1 - left - right, _ROW * len(entries) / height),
        ylim=(len(entries) - 0.5, -0.5),
        xlim=percent_limits(min(shown), max(shown)),
        yticks=[],
    )
    quiet_axis(axis)
    axis.set_xlabel(f"mean {board.score} in percent{lower}")
    _draw_levels(axis, marks, size - 1)
    for column in (title, "rank"):
        _write(axis, column, -0.6, columns[column], size=size - 1, color=QUIET, va="bottom")
    style: Style
    for place, entry in enumerate(entries):
        if isinstance(entry, Row):
            _draw(axis, entry, place, 5 if width > NARROW else 4)
            style = {"size": size, "weight": "bold" if entry.best else "normal"}
            _write(axis, labels[entry.label], place, columns["name"] + _INDENT, **style)
            _write(axis, f"{entry.value:.1f}", place, columns[title], **style)
            _write(axis, entry.rank, place, columns["rank"], **style)
            continue
        ground = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.5}  # over the levels
        style = {"size": size - 0.6, "color": QUIET, "bbox": ground}
        _write(axis, entry, place, columns["name"], **style)
        if place:
            ends = {"xmin": -left / (1 - left - right), "xmax": 1 + right / (1 - left - right)}
            axis.axhline(place - 0.5, **ends, color=LINE, linewidth=0.6, clip_on=False)
    return figure


def _draw(axis: Axes, row: Row, place: int, size: float) -> None:
    """Draw the interval and the mean of a row, open where a hasher is missing."""
    colour = HUES[0] if row.best else QUIET
    if row.interval is not None:
        wide = 2.4 if row.best else 1.5
        axis.plot(row.interval, (place, place), color=colour, linewidth=wide, solid_capstyle="butt")
    style: Style = {"color": colour, "markerfacecolor": colour if row.complete else PAPER}
    axis.plot(row.value, place, "o", markersize=size, zorder=3, **style)


def _draw_levels(axis: Axes, marks: Mapping[str, float], size: float) -> None:
    """Draw one line per level, from the lowest; their names stand on its outer sides."""
    for number, (name, level) in enumerate(marks.items()):
        dashes = (1, 2) if name == "chance" else (4, 2)
        axis.axvline(level, color=QUIET, linewidth=1, dashes=dashes, zorder=1)
        first = number == 0 and len(marks) > 1
        axis.annotate(
            f"{name} {level:.1f}",
            (level, 1),
            xycoords=axis.get_xaxis_transform(),
            xytext=(-3 if first else 3, 3),
            textcoords="offset points",
            ha="right" if first else "left",
            size=size,
            color=QUIET,
        )


def _write(axis: Axes, text: str, place: float, right: float, **style: Any) -> None:
    """Write a text ``right`` points from the nearer side of the axes, left or right-aligned."""
    axis.annotate(
        text,
        (0 if right < 0 else 1, place),
        xycoords=axis.get_yaxis_transform(),
        xytext=(right, 0),
        textcoords="offset points",
        ha="left" if right < 0 else "right",
        **{"va": "center_baseline", **style},
    )


def forest_summary(board: Board, short: Mapping[str, str]) -> str:
    """Return what is seen in the forest plot of a board."""
    groups = list(forest_rows(board, short))
    count = sum(len(rows) for _, rows in groups)
    texts = [f"{counted(count, 'line')} on {counted(len(board.targets), 'hasher')}"]
    for title, rows in groups:
        top = max(rows, key=lambda row: board.metric.sign * row.value)
        between = (
            f", interval {top.interval[0]:.1f} to {top.interval[1]:.1f}" if top.interval else ""
        )
        best = "highest" if board.metric.sign > 0 else "lowest"
        texts.append(f"{title}: {best} {top.label} with {top.value:.1f} %{between}")
    texts += [f"{name}: {level:.1f} %" for name, level in levels(board).items()]
    return "; ".join(texts)
