"""What t-MAP costs and depends on: perceptibility, time, code length; a point an attack."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from hashattack.reports.palette import colours, markers
from hashattack.reports.sweeps import panel_names

_KEYS = ["dataset", "protocol", "policy", "source", "label", "overrides"]
_SHORT = 4  # the ratio of its ends up to which an axis is labelled with two digits


def t_map_against_perceptibility(rows: pd.DataFrame) -> Figure:
    """Draw t-MAP over perceptibility, a panel a target; the Pareto front and chance as lines."""
    return _against(rows, "perceptibility", "perceptibility")


def t_map_against_seconds(rows: pd.DataFrame) -> Figure:
    """Draw t-MAP over seconds an image (log), a panel a target; the Pareto front and chance."""
    return _against(rows, "seconds_per_image", "seconds an image")


def _against(rows: pd.DataFrame, cost: str, label: str) -> Figure:
    points = _means(rows, [cost, "t_map", "chance"])
    labels = list(points["label"])
    with sns.axes_style("whitegrid"):
        grid = sns.FacetGrid(
            points, col="panel", col_wrap=min(4, points["panel"].nunique()), height=2.8, aspect=1.1
        )
        grid.map_dataframe(
            sns.scatterplot,
            x=cost,
            y="t_map",
            hue="label",
            style="label",
            palette=colours(labels),
            markers=markers(labels),
            s=60,
            zorder=3,
        )
    for panel, axis in grid.axes_dict.items():
        here = points[points["panel"] == panel]
        if here["source"].nunique() == 1:  # between hashers there is no trade-off
            front = pareto_front(here, cost)
            axis.step(front[cost], front["t_map"], where="post", color="0.75")
        axis.axhline(
            here["chance"].mean(), color="0.4", linestyle="--", linewidth=1, label="Chance"
        )
    grid.set_titles("{col_name}")
    grid.set_axis_labels(label, "t-MAP")
    grid.set(ylim=(0, 1.02))
    if cost == "seconds_per_image":
        grid.set(xscale="log")
        for axis in grid.axes.flat:
            ticks = log_ticks(*axis.get_xlim())
            axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axis.xaxis.set_minor_formatter(NullFormatter())
    else:  # a small margin so that the point at zero is not cut by the axis
        grid.set(xlim=(-0.05 * points[cost].max() - 1e-4, None))
    grid.add_legend(title="")
    figure: Figure = grid.figure
    return figure


def log_ticks(low: float, high: float) -> list[float]:
    """Return three round places, evenly spread over a logarithmic axis, whose labels do not touch.

    matplotlib's own are whole decades, of which short axes have none or one, or every digit.
    """
    digits = 1 if high > _SHORT * low else 2
    inner = np.geomspace(low, high, 5)[1:-1]
    return sorted({float(f"{value:.{digits}g}") for value in inner})


def pareto_front(points: pd.DataFrame, cost: str) -> pd.DataFrame:
    """Return the points that no other beats in t-MAP at the same or a lower cost, by cost."""
    ordered = points.sort_values([cost, "t_map"], ascending=[True, False])
    best = ordered["t_map"].cummax().shift(fill_value=float("-inf"))
    return ordered[ordered["t_map"] > best]


def bits_points(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of hashers that differ in their code length alone, where there are such."""
    # Not rpartition, which returns no columns where there are no rows: every cell may be skipped.
    hashers = rows["source"].str.rsplit("-", n=1).str[0]
    rows = rows.assign(hasher=hashers, bits=rows["source_bits"].astype("Int64"))
    keys = ["dataset", "protocol", "policy", "hasher"]
    return rows[rows.groupby(keys)["bits"].transform("nunique") > 1]


def t_map_against_bits(rows: pd.DataFrame) -> Figure:
    """Draw t-MAP over the code length, a panel a method and backbone, a line an attack."""
    rows = rows.assign(source=rows["hasher"], overrides=rows["overrides"].fillna(""))
    points = _means(rows, ["t_map", "chance"], [*_KEYS, "bits"])
    points["bits"] = points["bits"].astype(int)
    labels = list(points["label"])
    with sns.axes_style("whitegrid"):
        grid = sns.relplot(
            points,
            kind="line",
            x="bits",
            y="t_map",
            hue="label",
            style="label",
            palette=colours(labels),
            markers=markers(labels),
            dashes=False,
            errorbar=None,
            col="panel",
            col_wrap=min(3, points["panel"].nunique()),
            height=2.8,
            aspect=1.1,
        )
    for panel, axis in grid.axes_dict.items():
        here = points[points["panel"] == panel]
        axis.axhline(here["chance"].mean(), color="0.4", linestyle="--", linewidth=1)
        ticks = sorted(points["bits"].unique())
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
    grid.set_titles("{col_name}")
    grid.set_axis_labels("code length in bits", "t-MAP")
    grid.set(ylim=(0, 1.02))
    if grid.legend is not None:
        grid.legend.set_title("")
    figure: Figure = grid.figure
    return figure


def _means(rows: pd.DataFrame, values: list[str], keys: list[str] | None = None) -> pd.DataFrame:
    """Return means over seeds, with the panel each belongs to."""
    rows = rows.assign(overrides=rows["overrides"].fillna(""))
    points = rows.groupby(keys or _KEYS, sort=False)[values].mean().reset_index()
    points["panel"] = panel_names(points)
    return points
