"""The score against what an attack costs: a panel per hasher, a point per attack, Pareto front."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from hashattack.benchmark.columns import Column
from hashattack.reports.pictures import QUIET
from hashattack.reports.plots.labels import label_points
from hashattack.reports.plots.panels import (
    Panel,
    cost_axis,
    level,
    panels_of,
    percent_axis,
    percent_ends,
)
from hashattack.reports.plots.styles import PlotStyles
from hashattack.reports.points import pareto_front


def trade_off(
    points: pd.DataFrame, styles: PlotStyles, column: Column, metric: Column
) -> list[Panel]:
    """Return the panels of a trade-off.

    Args:
        points: of :func:`means`; no attack is a level, no point.
        styles: of the attacks.
        column: of the x axis.
        metric: the score.
    """
    cost = column.name
    values = [float(value) for value in points.loc[points["role"] != "no-attack", cost]]

    def draw(here: pd.DataFrame, axis: Axes) -> None:
        attacks = here[here["role"] != "no-attack"]
        percent_axis(axis, *percent_ends(points))
        cost_axis(axis, column.heading, values)
        level(axis, 100 * here["chance"].mean(), "chance")
        for value in here.loc[here["role"] == "no-attack", "score"]:
            level(axis, 100 * value, "no attack")
        front = pareto_front(attacks, cost, metric.sign)
        x = [*front[cost], axis.get_xlim()[1]]
        y = 100 * front["score"].iloc[[*range(len(front)), -1]]
        axis.step(x, y, where="post", color=QUIET, linewidth=0.9, zorder=1.5, label="Pareto front")
        for row in attacks.to_dict("records"):
            own, x, y = styles.by_label[row["label"]], row[cost], 100 * row["score"]
            ends = [100 * row["low"], 100 * row["high"]]
            axis.plot([x, x], ends, color=own.colour, linewidth=1, zorder=2.5)
            axis.plot(x, y, linestyle="none", markersize=6, zorder=3, **own.points)
        named = attacks.sort_values("score", ascending=False)
        names = map(styles.name, named["label"])
        label_points(axis, list(zip(named[cost], 100 * named["score"], names, strict=True)))

    return panels_of(points, "panel", draw, f"{metric.title} in percent")
