"""Lines over an axis: code lengths, lengths of the result list, epochs, a hyper-parameter."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from hashattack.benchmark.columns import Column
from hashattack.reports.plots.labels import label_ends
from hashattack.reports.plots.panels import (
    Margins,
    Panel,
    cost_axis,
    level,
    panels_of,
    percent_axis,
    percent_ends,
)
from hashattack.reports.plots.styles import PlotStyles
from hashattack.reports.plots.theme import HUES, SMALL, fitted, text_width

_NAMED = 12  # lines of a panel up to which their names fit beside it
_APART = 2.0  # points between the intervals of two lines at the same place


def code_lengths(points: pd.DataFrame, styles: PlotStyles, metric: Column) -> list[Panel]:
    """Return panels of the score over the code length, one per hasher, a line per attack.

    Args:
        points: of :func:`means` with ``bits``.
        styles: of the attacks.
        metric: the score.
    """

    def draw(here: pd.DataFrame, axis: Axes) -> None:
        ticks = sorted(here["bits"].unique())
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        margin = 0.08 * (ticks[-1] - ticks[0])
        axis.set_xlim(ticks[0] - margin, ticks[-1] + margin)
        axis.set_xlabel("code length in bits")
        percent_axis(axis, *percent_ends(points))
        level(axis, 100 * here["chance"].mean(), "chance")
        ends = []
        lines = list(here.groupby("label", sort=False))
        for number, (label, line) in enumerate(lines):
            ordered = line.sort_values("bits")
            _line(axis, ordered, "bits", styles, str(label), number - (len(lines) - 1) / 2)
            last = ordered.iloc[-1]
            ends.append((last["bits"], 100 * last["score"], styles.name(str(label))))
        label_ends(axis, ends)

    return panels_of(points, "panel", draw, f"{metric.title} in percent")


def _line(
    axis: Axes, line: pd.DataFrame, x: str, styles: PlotStyles, label: str, place: float
) -> None:
    """Draw an attack's scores with intervals, moved aside so that these do not cover others'."""
    own, scale = styles.by_label[label], axis.figure.dpi_scale_trans
    moved = axis.transData + ScaledTranslation(place * _APART / 72, 0, scale)
    axis.vlines(line[x], 100 * line["low"], 100 * line["high"], color=own.colour, transform=moved)
    axis.collections[-1].set_linewidth(1)
    axis.plot(
        line[x], 100 * line["score"], markersize=5, transform=moved, **own.points, **own.pattern
    )


def end_margins(names: Sequence[str]) -> Margins:
    """Return margins with space for names at the ends of lines."""
    longest = max(text_width(fitted(name), SMALL) for name in names)
    return Margins(right=(longest + 12) / 72)


def retrieval(points: pd.DataFrame, styles: PlotStyles, x: str) -> list[Panel]:
    """Return panels of precision over ``recall`` or ``top`` (log), one per hasher.

    Args:
        points: of :func:`curve_points`.
        styles: of the attacks.
        x: the column of the x axis.
    """
    ends = 100 * float(points["precision"].min()), 100 * float(points["precision"].max())

    def draw(here: pd.DataFrame, axis: Axes) -> None:
        percent_axis(axis, *ends)
        if x == "top":
            cost_axis(axis, "k, the length of the list", [float(top) for top in points["top"]])
        else:
            axis.set_xlim(0, 100)
            axis.set_xlabel("recall in percent")
        for label, line in here.groupby("label", sort=False):
            values = line["top"] if x == "top" else 100 * line["recall"]
            own = styles.by_label[str(label)]
            axis.plot(values, 100 * line["precision"], label=styles.name(str(label)), **own.line)

    return panels_of(points, "panel", draw, "precision in percent")


def loss_curves(points: pd.DataFrame, styles: PlotStyles) -> list[Panel]:
    """Return one panel per loss, one line per training in its attack's colour, named by hasher.

    Args:
        points: of :func:`loss_points`.
        styles: of the attacks.
    """

    def draw(here: pd.DataFrame, axis: Axes) -> None:
        ends = []
        for (label, source, _), line in here.groupby(
            ["label", "source", "attack_seed"], sort=False
        ):
            own = styles.by_label[str(label)]
            style = {**own.points, **own.pattern, "label": styles.name(str(label))}
            axis.plot(line["epoch"], line["value"], markersize=3, linewidth=1.2, **style)
            ends.append((line["epoch"].iloc[-1], line["value"].iloc[-1], str(source)))
        axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axis.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axis.set_xlabel("epoch")
        if len(ends) <= _NAMED:
            label_ends(axis, ends)

    return panels_of(points.assign(loss=points["loss"] + " loss"), "loss", draw, "loss")


def sweep(points: pd.DataFrame, over: str) -> list[Panel]:
    """Return panels of t-MAP and perceptibility over a hyper-parameter, one line per hasher.

    Args:
        points: of :func:`means` of both, the hasher as ``label``.
        over: the hyper-parameter's column.
    """

    def draw(axis: Axes, column: str) -> None:
        scale = 100 if column == "score" else 1
        cost_axis(axis, over, [float(value) for value in points[over]])
        ticks = sorted(points[over].unique())
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
        if column == "score":
            low, high = percent_ends(points)
            percent_axis(axis, np.fmin(low, 100 * points["no_attack"].min()), high)
            if points["no_attack"].notna().any():
                level(axis, 100 * points["no_attack"].mean(), "no attack")
        ends = []
        for number, (label, line) in enumerate(points.groupby("label", sort=False)):
            ordered, colour = line.sort_values(over), HUES[number % len(HUES)]
            axis.plot(
                ordered[over], scale * ordered[column], marker="o", markersize=4, color=colour
            )
            if column == "score":
                bounds = 100 * ordered["low"], 100 * ordered["high"]
                axis.fill_between(ordered[over], *bounds, color=colour, alpha=0.15, linewidth=0)
            last = ordered.iloc[-1]
            ends.append((last[over], scale * last[column], str(label)))
        axis.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        label_ends(axis, ends)

    titles = {"score": "t-MAP in percent", "perceptibility": "perceptibility"}
    return [
        Panel(title.partition(" ")[0], functools.partial(draw, column=column), title)
        for column, title in titles.items()
    ]
