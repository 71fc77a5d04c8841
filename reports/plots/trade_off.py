"""t-MAP against what an attack costs: a panel per hasher, a point per attack, the Pareto front."""

from __future__ import annotations

import functools

import pandas as pd
from matplotlib.axes import Axes

from hashattack.benchmark.columns import Column
from hashattack.reports.pictures import QUIET
from hashattack.reports.plots.labels import label_points
from hashattack.reports.plots.panels import Panel, cost_axis, level, percent_axis
from hashattack.reports.plots.styles import PlotStyles
from hashattack.reports.plots.theme import percent_limits
from hashattack.reports.points import pareto_front


def trade_off(points: pd.DataFrame, styles: PlotStyles, column: Column) -> list[Panel]:
    """Return the panels of a trade-off.

    Args:
        points: of :func:`means`; no attack is a level, no point.
        styles: of the attacks.
        column: of the x axis.
    """
    cost = column.name
    limits = percent_limits(*percent_ends(points))
    values = [float(value) for value in points.loc[points["role"] != "no-attack", cost]]

    def draw(axis: Axes, panel: str) -> None:
        here = points[points["panel"] == panel]
        attacks = here[here["role"] != "no-attack"]
        percent_axis(axis, limits)
        cost_axis(axis, column.heading, values)
        level(axis, 100 * here["chance"].mean(), "chance")
        for value in here.loc[here["role"] == "no-attack", "t_map"]:
            level(axis, 100 * value, "no attack")
        front = pareto_front(attacks, cost)
        x = [*front[cost], axis.get_xlim()[1]]
        y = 100 * front["t_map"].iloc[[*range(len(front)), -1]]
        axis.step(x, y, where="post", color=QUIET, linewidth=0.9, zorder=1.5, label="Pareto front")
        for row in attacks.to_dict("records"):
            look, x, y = styles.looks[row["label"]], row[cost], 100 * row["t_map"]
            ends = [100 * row["low"], 100 * row["high"]]
            axis.plot([x, x], ends, color=look.colour, linewidth=1, zorder=2.5)
            axis.plot(x, y, linestyle="none", markersize=6, zorder=3, **look.points)
        named = attacks.sort_values("t_map", ascending=False)
        label_points(
            axis,
            [
                (row[cost], 100 * row["t_map"], styles.name(row["label"]))
                for row in named.to_dict("records")
            ],
        )

    return [
        Panel(name, functools.partial(draw, panel=name), "t-MAP in percent")
        for name in dict.fromkeys(points["panel"])
    ]


def percent_ends(points: pd.DataFrame) -> tuple[float, float]:
    """Return the lowest and the highest of values, intervals and chance in percent."""
    lowest = points[["t_map", "low", "chance"]].min().min()
    return 100 * float(lowest), 100 * float(points[["t_map", "high", "chance"]].max().max())
