"""Figures of panels of one size: each an SVG on the page, all of them in one file for papers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from hashattack.reports.pictures import QUIET, Picture
from hashattack.reports.plots.styles import PlotStyles
from hashattack.reports.plots.theme import (
    SIZE,
    SMALL,
    fitted,
    percent_limits,
    save,
    svg,
    text_width,
    theme,
)

WIDTH = 3.75  # inches of a panel: 360 pixels, what a phone has
_SAMPLE = 34.0  # points of a legend beside a name
_ROW = 0.19  # inches of a row of a legend
_MOST_COLUMNS = 3
_LOGARITHMIC = 5.0  # the ratio of the ends of an axis from which it has two ticks of 1-2-5
_DECADES = 300.0  # and up to which all of them have space


@dataclass(frozen=True)
class Panel:
    """A part of a figure: ``draw`` draws it into axes."""

    title: str
    draw: Callable[[Axes], None]
    y_label: str = ""


def panels_of(
    points: pd.DataFrame, column: str, draw: Callable[[pd.DataFrame, Axes], None], y_label: str = ""
) -> list[Panel]:
    """Return a panel for each value of a column, its title, with the points that have it."""
    return [
        Panel(str(title), functools.partial(draw, here), y_label)
        for title, here in points.groupby(column, sort=False)
    ]


@dataclass(frozen=True)
class Margins:
    """Inches about the axes of a panel."""

    left: float = 0.36
    right: float = 0.14
    bottom: float = 0.46
    top: float = 0.5


@dataclass(frozen=True)
class Chart:
    """A figure before it is drawn.

    Attributes:
        name, title, summary, reading: of its picture.
        panels: its parts, all of one size.
        labels: of the attacks in it.
        height: of a panel in inches.
        margins: about its axes.
    """

    name: str
    title: str
    summary: str
    reading: str
    panels: Sequence[Panel]
    labels: Sequence[str] = ()
    height: float = 3.0
    margins: Margins = Margins()


def draw(chart: Chart, styles: PlotStyles, folder: Path) -> Picture:
    """Draw a figure: the file of all panels, and each alone for the page."""
    count = len(chart.panels)
    columns = min(_MOST_COLUMNS, count) if count != 4 else 2
    rows = -(-count // columns)
    with theme():
        alone = []
        legend: dict[str, Artist] = {}
        for panel in chart.panels:
            figure = Figure(figsize=(WIDTH, chart.height), dpi=72)
            axis = _draw_panel(figure, chart, panel, (0, 0))
            handles, labels = axis.get_legend_handles_labels()
            legend |= {label: handle for handle, label in zip(handles, labels, strict=True)}
            alone.append(figure)
        below = _legend_height(legend, columns * WIDTH)
        whole = Figure(figsize=(columns * WIDTH, rows * chart.height + below), dpi=72)
        for number, panel in enumerate(chart.panels):
            row, column = divmod(number, columns)
            corner = (column * WIDTH, below + (rows - 1 - row) * chart.height)
            _draw_panel(whole, chart, panel, corner)
        _draw_legend(whole, legend)
        files = save(whole, folder / chart.name)
        parts = [svg(one, f"{chart.name}-{number}") for number, one in enumerate(alone)]
        key = ""
        if legend:
            figure = Figure(figsize=(WIDTH, _legend_height(legend, WIDTH)), dpi=72)
            _draw_legend(figure, legend)
            key = svg(figure, f"{chart.name}-legend")
    return Picture(
        chart.name,
        chart.title,
        files,
        summary=chart.summary,
        reading=chart.reading,
        panels=parts,
        legend=key,
        settings=styles.settings_of(map(styles.name, chart.labels)),
    )


def _draw_panel(figure: Figure, chart: Chart, panel: Panel, corner: tuple[float, float]) -> Axes:
    """Draw a panel whose lower left corner is at ``corner``, in inches."""
    margins, (left, bottom) = chart.margins, corner
    width, height = figure.get_size_inches()
    axis = figure.add_axes(
        (
            (left + margins.left) / width,
            (bottom + margins.bottom) / height,
            (WIDTH - margins.left - margins.right) / width,
            (chart.height - margins.bottom - margins.top) / height,
        )
    )
    x = left / width
    y = (bottom + chart.height) / height
    points = 1 / 72 / height
    title = fitted(panel.title, WIDTH - 0.1, SIZE, "bold")
    figure.text(x, y - 12 * points, title, weight="bold", va="center")
    figure.text(x, y - 25 * points, panel.y_label, color=QUIET, size=SMALL, va="center")
    panel.draw(axis)
    return axis


def _legend_columns(names: Iterable[str], width: float) -> int:
    widest = max(text_width(name, SMALL) for name in names) + _SAMPLE
    return max(1, int(72 * width // widest))


def _legend_height(legend: dict[str, Any], width: float) -> float:
    if not legend:
        return 0.0
    return _ROW * -(-len(legend) // _legend_columns(legend, width)) + 0.04


def _draw_legend(figure: Figure, legend: dict[str, Artist]) -> None:
    if legend:
        figure.legend(
            list(legend.values()),
            list(legend),
            loc="lower left",
            bbox_to_anchor=(0, 0),
            borderaxespad=0,
            borderpad=0.2,
            handlelength=2.2,
            handletextpad=0.6,
            columnspacing=1.2,
            ncols=_legend_columns(legend, figure.get_figwidth()),
        )


def level(axis: Axes, value: float, name: str) -> None:
    """Draw a horizontal line of chance, dotted, or another level, dashed."""
    dashes = (1, 2) if name == "chance" else (4, 2)
    axis.axhline(value, color=QUIET, linewidth=1, dashes=dashes, zorder=1, label=name)


def percent_ends(points: pd.DataFrame) -> tuple[float, float]:
    """Return the lowest and the highest of values, intervals and chance in percent."""
    lowest = points[["score", "low", "chance"]].min().min()
    return 100 * float(lowest), 100 * float(points[["score", "high", "chance"]].max().max())


def percent_axis(axis: Axes, low: float, high: float) -> None:
    """Fit the y axis to percentages, with a few round ticks."""
    axis.set_ylim(percent_limits(low, high))
    axis.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def cost_axis(axis: Axes, title: str, values: Sequence[float]) -> None:
    """Fit the x axis to some values above zero and name it; logarithmic where they differ much."""
    low, high = min(values), max(values)
    if high / low < _LOGARITHMIC:
        margin = 0.06 * (high - low) or 0.1 * high
        axis.set_xlim(low - margin, high + margin)
        axis.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axis.set_xlabel(title)
        return
    margin = (high / low) ** 0.06
    axis.set_xscale("log")
    axis.set_xlim(low / margin, high * margin)
    steps = (1.0, 2.0, 5.0) if high / low < _DECADES else (1.0,)
    axis.xaxis.set_major_locator(LogLocator(subs=steps))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel(f"{title}, log scale")
