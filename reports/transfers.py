"""Transfer as heat maps: what images crafted on one hasher retrieve from another."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hashattack.reports.names import Names

_MATRIX = ["dataset", "protocol", "policy", "attack"]
_ANNOTATED = 16  # hashers at most whose values are written into the cells


def transfer_points(results: pd.DataFrame) -> pd.DataFrame:
    """Return t-MAP and its gain over Original by source and victim, for attacks that transfer.

    The columns ``dataset``, ``protocol``, ``policy``, ``attack``, ``source``, ``victim``,
    ``t_map`` and ``gain``, means over seeds.
    """
    rows = results[(results["status"] == "ok") & results["t_map"].notna()].copy()
    rows["clean"] = rows["attack"] == "original"
    rows["attack"] = Names(results).labels(rows)
    keys = [*_MATRIX, "clean", "source", "victim"]
    means = rows.groupby(keys, sort=False)["t_map"].mean().reset_index()
    crossing = means["source"] != means["victim"]
    crosses = means.assign(crossing=crossing).groupby(_MATRIX)["crossing"].transform("any")
    clean = means[means.pop("clean") & ~crossing]
    keys = ["dataset", "protocol", "policy", "victim"]
    level = clean[[*keys, "t_map"]].rename(columns={"t_map": "original"})
    points = means[crosses].merge(level, how="left", on=keys)
    points["gain"] = points["t_map"] - points["original"]
    sides = points.loc[points["source"] != points["victim"], ["source", "victim"]]
    crossed = set(sides["source"]) | set(sides["victim"])
    return points[points["source"].isin(crossed)]


def transfer_map(points: pd.DataFrame, value: str) -> Figure:
    """Draw a matrix an attack, ``t_map`` or ``gain``; the white-box diagonal is outlined."""
    matrices = list(points.groupby(_MATRIX, sort=False))
    sides = list(dict.fromkeys([*points["source"], *points["victim"]]))
    size = 1.6 + 0.42 * len(sides)
    columns = min(3, len(matrices))
    lines = -(-len(matrices) // columns)
    figure = Figure(figsize=(size * columns + 0.8, (size + 0.3) * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    low, high = (0.0, 1.0) if value == "t_map" else _symmetric(points[value])
    for axis, (names, part) in zip(axes, matrices, strict=False):
        matrix = part.pivot(index="source", columns="victim", values=value)
        matrix = matrix.reindex(
            index=[side for side in sides if side in matrix.index],
            columns=[side for side in sides if side in matrix.columns],
        )
        sns.heatmap(
            100 * matrix,
            ax=axis,
            vmin=100 * low,
            vmax=100 * high,
            cmap="cividis" if value == "t_map" else "vlag",
            annot=len(sides) <= _ANNOTATED,
            fmt=".0f",
            annot_kws={"fontsize": 7},
            square=True,
            linewidths=0.5,
            cbar=axis is axes[0],
            cbar_kws={"shrink": 0.6, "label": "t-MAP (%)" if value == "t_map" else "gain (points)"},
        )
        _outline(axis, matrix)
        axis.set_title(_title(names, points), fontsize=9)
        axis.tick_params(labelsize=7)
        axis.set(xlabel="victim", ylabel="source")
    for axis in axes[len(matrices) :]:
        axis.set_visible(False)
    return figure


def _outline(axis: Axes, matrix: pd.DataFrame) -> None:
    for row, source in enumerate(matrix.index):
        if source in matrix.columns:
            place = (list(matrix.columns).index(source), row)
            axis.add_patch(Rectangle(place, 1, 1, fill=False, edgecolor="#d55e00", linewidth=1.5))


def _symmetric(values: pd.Series[float]) -> tuple[float, float]:
    reach = float(values.abs().max())
    reach = reach if reach > 0 else 1.0
    return -reach, reach


def _title(names: Sequence[object], points: pd.DataFrame) -> str:
    """Return the attack, with what else tells the matrices apart."""
    also = [
        name
        for column, name in zip(_MATRIX, names, strict=True)
        if column != "attack" and points[column].nunique() > 1
    ]
    return " ".join(map(str, [*also, names[-1]]))
