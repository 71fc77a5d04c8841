"""Transfer matrices: one panel per attack, sources in rows, victims in columns."""

from __future__ import annotations

import functools
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from hashattack.benchmark.columns import Column
from hashattack.datasets.texts import TOGETHER
from hashattack.reports.pictures import INK
from hashattack.reports.plots.panels import WIDTH, Margins, Panel
from hashattack.reports.plots.styles import PlotStyles
from hashattack.reports.plots.theme import SMALL, fitted, text_width

_KEYS = ["dataset", "protocol", "policy", "label"]
_ANNOTATED = 16  # hashers at most whose values are written into the cells
_LINES = 3  # of a name


def sides(points: pd.DataFrame) -> list[str]:
    """Return all hashers of a figure, in the order of its rows and columns."""
    return list(dict.fromkeys([*points["source"], *points["victim"]]))


def side_name(side: str) -> str:
    """Return the name of a hasher as a figure has it; of several together, one below the other."""
    names = side.split(TOGETHER)
    if len(names) > _LINES:
        names = [*names[: _LINES - 1], f"and {len(names) - _LINES + 1} more"]
    return f" {TOGETHER}\n".join(map(fitted, names))


def matrix_size(points: pd.DataFrame) -> tuple[float, Margins]:
    """Return the height of a panel and its margins in inches, for square cells and their names.

    It is as high as it is wide, or higher where several hashers together add rows.
    """
    lines = [line for side in sides(points) for line in side_name(side).split("\n")]
    names = max(text_width(line, SMALL) for line in lines) / 72
    bar = 0.0 if len(sides(points)) <= _ANNOTATED else 0.5
    margins = Margins(left=names + 0.12, right=0.1 + bar, bottom=names + 0.12)
    rows, columns = (points[name].nunique() for name in ("source", "victim"))
    cells = (WIDTH - margins.left - margins.right) * max(1.0, rows / columns)
    return cells + margins.bottom + margins.top, margins


def transfer_map(
    points: pd.DataFrame, styles: PlotStyles, value: str, metric: Column
) -> list[Panel]:
    """Return one panel per attack; the white-box cells are outlined.

    Args:
        points: of :func:`transfer_points`.
        styles: of the attacks.
        value: ``score`` or ``gain``.
        metric: the score.
    """
    reach = 100 * (float(points["gain"].abs().max()) or 1.0)
    scale: dict[str, Any] = (
        {"vmin": 0, "vmax": 100, "cmap": "cividis"}
        if value == "score"
        else {"vmin": -reach, "vmax": reach, "cmap": "PuOr_r"}
    )
    unit = f"{metric.title} in percent" if value == "score" else "gain in points"
    every = sides(points)

    def draw(axis: Axes, part: pd.DataFrame) -> None:
        matrix = 100 * part.pivot(index="source", columns="victim", values=value)
        rows, victims = ([side for side in every if side in one] for one in (matrix.index, matrix))
        sns.heatmap(
            matrix.reindex(index=rows, columns=victims),
            ax=axis,
            square=True,
            linewidths=0.5,
            linecolor="face",
            annot=len(every) <= _ANNOTATED,
            fmt=".0f" if value == "score" else "+.0f",
            annot_kws={"size": SMALL},
            xticklabels=list(map(side_name, victims)),
            yticklabels=list(map(side_name, rows)),
            cbar=len(every) > _ANNOTATED,
            cbar_ax=axis.inset_axes((1.04, 0.25, 0.05, 0.5)) if len(every) > _ANNOTATED else None,
            **scale,
        )
        axis.set(anchor="NW", xlabel="", ylabel="")
        axis.tick_params(length=0)
        axis.tick_params(axis="y", labelrotation=0)  # seaborn turns them where it thinks they fit
        axis.tick_params(axis="x", labelrotation=90)
        axis.grid(visible=False)
        for side in (side for side in rows if side in victims):
            corner = (victims.index(side), rows.index(side))
            style: dict[str, Any] = {"fill": False, "edgecolor": INK, "linewidth": 1.8}
            axis.add_patch(Rectangle(corner, 1, 1, clip_on=False, **style))

    several = [name for name in _KEYS[:-1] if points[name].nunique() > 1]
    panels = []
    for _, part in points.groupby(_KEYS, sort=False):
        first = part.iloc[0]
        title = " ".join([*(str(first[name]) for name in several), styles.name(first["label"])])
        panels.append(
            Panel(title, functools.partial(draw, part=part), f"{unit}; source ↓ victim →")
        )
    return panels
