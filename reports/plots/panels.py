"""How figures are drawn: data frames in, seaborn grids or matplotlib figures out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullFormatter

from hashattack.benchmark.columns import COLUMNS, Column
from hashattack.reports.names import Names

Colour = tuple[float, float, float]
Style = dict[str, Any]  # arguments of seaborn

_HUES: list[Colour] = list(sns.color_palette("colorblind", 10))
_SPECIAL: dict[str, Colour] = {"no-attack": (0.35, 0.35, 0.35), "bound": (0.0, 0.0, 0.0)}  # by role
_PALE: Colour = (0.62, 0.62, 0.62)
_MARKERS = ("o", "X", "s", "D", "^", "v", "P", "*", "<", ">", "h", "d", "p")
_DASHES: tuple[tuple[int, ...], ...] = ((), (4, 1), (1, 1), (3, 1, 1, 1), (6, 2), (2, 3))
_MOST_PANELS = 12
_ANNOTATED = 16  # hashers at most whose values are written into the cells of a matrix
_SHORT = 4  # the ratio of its ends up to which a logarithmic axis is labelled with two digits
_LONG = 18  # characters of a label up to which it stands in figures as it is
_MATRIX = ["dataset", "protocol", "policy", "label"]


class PlotStyles:
    """One colour, marker and dash an attack, the same in every figure of a report.

    Rows without an attack are grey and the upper bound is black; attacks have the hues of a palette
    for colour-blind readers. Settings of one attack share its colour and differ in their dashes.
    """

    def __init__(self, rows: pd.DataFrame, names: Names) -> None:
        self.colours: dict[str, Colour] = {}
        self.markers: dict[str, str] = {}
        self.dashes: dict[str, tuple[int, ...]] = {}
        self.settings: dict[str, str] = {}  # by short name
        self.short: dict[str, str] = {}  # the short names of long labels
        columns = ["attack", "title", "role", "targeted", "variant", "overrides", "params"]
        hues = iter(_HUES * len(rows))
        for _, attack in rows[columns].groupby("attack", sort=False):
            first = attack.iloc[0]
            default = next(hues) if first["targeted"] and first["role"] != "bound" else _PALE
            known = len(self.dashes)
            for name in map(names.of, attack.drop_duplicates().to_dict("records")):
                for label in (name.title, name.label):
                    self.colours[label] = _SPECIAL.get(first["role"], default)
                if name.label not in self.dashes:
                    if len(name.label) > _LONG:
                        letter = chr(ord("a") + len(self.dashes) - known)
                        self.short[name.label] = f"{name.title} {letter}"
                        self.settings[self.short[name.label]] = name.settings
                    self.markers[name.label] = _MARKERS[len(self.markers) % len(_MARKERS)]
                    self.dashes[name.label] = _DASHES[(len(self.dashes) - known) % len(_DASHES)]


def panel_names(
    rows: pd.DataFrame, also: Sequence[str] = ("policy", "protocol", "dataset")
) -> pd.Series[str]:
    """Name the panels that rows belong to: sources, with what else there are several of.

    Where there are too many for a figure, those that differ in their code length alone go
    together; where that is not enough, all.
    """
    names = rows["source"]
    for coarser in (_hashers(rows), names.map(lambda _: "all targets")):
        if names.nunique() > _MOST_PANELS:
            names = coarser
    for column in also:
        if rows[column].nunique() > 1:
            names = rows[column] + " " + names
    return names


def _hashers(rows: pd.DataFrame) -> pd.Series[str]:
    return rows["source_method"] + "-" + rows["source_backbone"]


def _means(rows: pd.DataFrame, values: Sequence[str], *also: str) -> pd.DataFrame:
    """Return means over seeds, with the panel each belongs to."""
    keys = ["dataset", "protocol", "policy", "source", "source_method", "source_backbone"]
    keys += ["label", *also]
    points = rows.groupby(keys, sort=False, dropna=False)[list(values)].mean().reset_index()
    points["panel"] = panel_names(points)
    return points


def _chance(axis: Axes, points: pd.DataFrame) -> None:
    level = points["chance"].mean()
    axis.axhline(level, color="0.4", linestyle="--", linewidth=1, label="Chance")


def _lines(points: pd.DataFrame, styles: PlotStyles, **more: Any) -> sns.FacetGrid:
    """Draw a line an attack; ``more`` goes to seaborn."""
    defaults: Style = {"kind": "line", "hue": "label", "palette": styles.colours, "height": 2.8}
    grid = sns.relplot(points, **{**defaults, "aspect": 1.1, **more})
    grid.set_titles("{col_name}")
    if grid.legend is not None:
        grid.legend.set_title("")
    return grid


def trade_off(rows: pd.DataFrame, styles: PlotStyles, column: Column) -> sns.FacetGrid:
    """Draw t-MAP over a column, a panel a target; the Pareto front and chance as lines."""
    cost = column.name
    points = _means(rows, [cost, "t_map", "chance"], "overrides")
    grid = sns.FacetGrid(
        points, col="panel", col_wrap=min(4, points["panel"].nunique()), height=2.8, aspect=1.1
    )
    style: Style = {"palette": styles.colours, "markers": styles.markers, "s": 60, "zorder": 3}
    grid.map_dataframe(sns.scatterplot, x=cost, y="t_map", hue="label", style="label", **style)
    for panel, axis in grid.axes_dict.items():
        here = points[points["panel"] == panel]
        if here["source"].nunique() == 1:  # between hashers there is no trade-off
            front = pareto_front(here, cost)
            axis.step(front[cost], front["t_map"], where="post", color="0.75")
        _chance(axis, here)
    grid.set_titles("{col_name}")
    grid.set_axis_labels(column.heading, COLUMNS["t_map"].title)
    grid.set(ylim=(0, 1.02))
    if column.kind == "cost":
        grid.set(xscale="log")
        for axis in grid.axes.flat:
            ticks = log_ticks(*axis.get_xlim())
            axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axis.xaxis.set_minor_formatter(NullFormatter())
    else:  # a small margin so that the point at zero is not cut by the axis
        grid.set(xlim=(-0.05 * points[cost].max() - 1e-4, None))
    return grid.add_legend(title="")


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


def code_lengths(rows: pd.DataFrame, styles: PlotStyles) -> sns.FacetGrid:
    """Draw t-MAP over the code length, a panel a method and backbone, a line an attack."""
    rows = rows.assign(source=_hashers(rows), bits=rows["source_bits"].astype(int))
    points = _means(rows, ["t_map", "chance"], "overrides", "bits")
    style: Style = {"style": "label", "markers": styles.markers, "dashes": False, "errorbar": None}
    wrap = min(3, points["panel"].nunique())
    grid = _lines(points, styles, x="bits", y="t_map", col="panel", col_wrap=wrap, **style)
    for panel, axis in grid.axes_dict.items():
        _chance(axis, points[points["panel"] == panel])
        ticks = sorted(points["bits"].unique())
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
    grid.set_axis_labels("code length in bits", COLUMNS["t_map"].title)
    return grid.set(ylim=(0, 1.02))


def retrieval(curves: pd.DataFrame, styles: PlotStyles, x: str) -> sns.FacetGrid:
    """Draw precision for the target label over ``recall`` or ``top`` (log), a panel a target."""
    points = _means(curves, ["precision", "recall"], "top")
    pooled = points.groupby(["panel", "label", "top"], sort=False)[["precision", "recall"]]
    points = pooled.mean().reset_index()
    style: Style = {"style": "label", "dashes": styles.dashes, "errorbar": None}
    wrap, free = min(4, points["panel"].nunique()), {"sharex": False}
    grid = _lines(
        points, styles, x=x, y="precision", col="panel", col_wrap=wrap, facet_kws=free, **style
    )
    grid.set_axis_labels("recall" if x == "recall" else "k (results in the list)", "precision")
    return grid.set(ylim=(0, 1.02), xscale="log" if x == "top" else "linear")


def loss_curves(losses: pd.DataFrame, styles: PlotStyles) -> sns.FacetGrid:
    """Draw each loss over epochs, a row of panels a source, a colour an attack, a line a training.

    Where there are too many sources for a row each, they share rows as targets do elsewhere.
    """
    losses = losses.assign(
        panel=panel_names(losses, ()),
        training=losses["source"] + " " + losses["attack_seed"].astype(str),
    )
    style: Style = {"units": "training", "estimator": None, "marker": "o", "markersize": 4}
    free = {"sharey": False}
    grid = _lines(
        losses, styles, x="epoch", y="value", row="panel", col="loss", facet_kws=free, **style
    )
    grid.set_titles("{col_name} loss, {row_name}")
    grid.set_axis_labels("epoch", "")
    if grid.legend is not None:
        sns.move_legend(grid, "upper center", bbox_to_anchor=(0.45, 0), ncol=1, title="")
    return grid


def sweep(points: pd.DataFrame, styles: PlotStyles, over: str) -> sns.FacetGrid:
    """Draw t-MAP and perceptibility over a hyper-parameter (log), a line a target.

    The band around a line is the range over seeds.
    """
    names = {name: COLUMNS[name].title for name in ("t_map", "perceptibility")}
    points = points.assign(label=panel_names(points))
    long = points.melt([over, "label"], list(names), var_name="metric").replace({"metric": names})
    style: Style = {"palette": "colorblind", "style": "label", "markers": True, "dashes": False}
    style |= {"errorbar": ("pi", 100), "facet_kws": {"sharey": False}, "aspect": 1.2}
    grid = _lines(long, styles, x=over, y="value", col="metric", **style)
    grid.set(xscale="log")
    ticks = sorted(long[over].unique())
    for metric, axis in grid.axes_dict.items():
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
        if metric == names["t_map"] and points["no_attack"].notna().any():
            level = points["no_attack"].mean()
            axis.axhline(level, color="0.4", linestyle="--", linewidth=1)
            axis.annotate("no attack", (ticks[0], level), fontsize=7, va="bottom")
    return grid.set_axis_labels(over, "")


def side_by_side(points: pd.DataFrame, styles: PlotStyles) -> Figure:
    """Draw the t-MAP of attacks, a group of bars a target, their range over seeds."""
    points = points.assign(target=panel_names(points))
    figure = Figure(figsize=(2 + 1.2 * points["target"].nunique(), 3))
    axis = figure.subplots()
    style: Style = {"palette": styles.colours, "errorbar": ("pi", 100)}
    sns.barplot(points, x="target", y="t_map", hue="title", ax=axis, **style)
    _chance(axis, points)
    axis.set(xlabel="", ylabel=COLUMNS["t_map"].title, ylim=(0, 1.02))
    axis.tick_params(axis="x", labelrotation=20)
    axis.legend(title="", loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def measured_minus_published(points: pd.DataFrame, styles: PlotStyles) -> sns.FacetGrid:
    """Draw the differences, a panel a metric, a line an attack."""
    style: Style = {"palette": styles.colours, "alpha": 0.6, "size": 4, "legend": False}
    style |= {"height": 2.6, "aspect": 1.4, "sharex": False}
    wrap = min(2, points["metric"].nunique())
    keys: Style = {"x": "difference", "y": "attack", "hue": "attack"}
    grid = sns.catplot(points, kind="strip", col="metric", col_wrap=wrap, **keys, **style)
    for axis in grid.axes_dict.values():
        axis.axvline(0, color="0.4", linewidth=1)
    grid.set_titles("{col_name}")
    return grid.set_axis_labels("measured minus published", "")


def transfer_map(points: pd.DataFrame, styles: PlotStyles, value: str) -> Figure:
    """Draw a matrix an attack, ``t_map`` or ``gain``; the white-box diagonal is outlined."""
    del styles
    matrices = list(points.groupby(_MATRIX, sort=False))
    sides = list(dict.fromkeys([*points["source"], *points["victim"]]))
    size, columns = 1.6 + 0.42 * len(sides), min(3, len(matrices))
    lines = -(-len(matrices) // columns)
    figure = Figure(figsize=(size * columns + 0.8, (size + 0.3) * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    reach = 100 * (float(points["gain"].abs().max()) or 1.0)
    scales: dict[str, Style] = {
        "t_map": {"vmin": 0, "vmax": 100, "cmap": "cividis"},
        "gain": {"vmin": -reach, "vmax": reach, "cmap": "vlag"},
    }
    style: Style = {"fmt": ".0f", "annot_kws": {"fontsize": 7}, "square": True, "linewidths": 0.5}
    bar = {"shrink": 0.6, "label": "t-MAP (%)" if value == "t_map" else "gain (points)"}
    several = [name for name in _MATRIX[:-1] if points[name].nunique() > 1]
    for axis, (_, part) in zip(axes, matrices, strict=False):
        matrix = 100 * part.pivot(index="source", columns="victim", values=value)
        rows, victims = ([side for side in sides if side in one] for one in (matrix.index, matrix))
        matrix = matrix.reindex(index=rows, columns=victims)
        written, first = len(sides) <= _ANNOTATED, axis is axes[0]
        style |= {"annot": written, "cbar": first, "cbar_kws": bar, **scales[value]}
        sns.heatmap(matrix, ax=axis, **style)
        for row, source in enumerate(rows):
            if source in victims:
                corner = (victims.index(source), row)
                outline = Rectangle(corner, 1, 1, fill=False, edgecolor="#d55e00", linewidth=1.5)
                axis.add_patch(outline)
        title = " ".join(str(part[name].iloc[0]) for name in [*several, "label"])
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.set(xlabel="victim", ylabel="source")
    for axis in axes[len(matrices) :]:
        axis.set_visible(False)
    return figure
