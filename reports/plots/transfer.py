"""Transfer matrices: a panel an attack, sources in rows, victims in columns."""

from __future__ import annotations

import functools
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from hashattack.reports.pictures import INK
from hashattack.reports.plots.panels import WIDTH, Margins, Panel
from hashattack.reports.plots.styles import PlotStyles
from hashattack.reports.plots.theme import NAME, SMALL, fitted, text_width

_KEYS = ["dataset", "protocol", "policy", "label"]
_ANNOTATED = 16  # hashers at most whose values are written into the cells
_LIGHT, _DARK = "#fefefe", "#101010"  # text on a cell, whatever the page's colours are


def sides(points: pd.DataFrame) -> list[str]:
    """Return all hashers of a figure, in the order of its rows and columns."""
    return list(dict.fromkeys([*points["source"], *points["victim"]]))


def _name(side: str) -> str:
    return fitted(side, NAME, SMALL)


def matrix_size(points: pd.DataFrame) -> tuple[float, Margins]:
    """Return the height of a panel and its margins in inches: names have room, cells are square."""
    names = max(text_width(_name(side), SMALL) for side in sides(points)) / 72
    bar = 0.0 if len(sides(points)) <= _ANNOTATED else 0.5
    margins = Margins(left=names + 0.12, right=0.1 + bar, bottom=names + 0.12)
    return WIDTH - margins.left - margins.right + margins.bottom + margins.top, margins


def transfer_map(points: pd.DataFrame, styles: PlotStyles, value: str) -> list[Panel]:
    """Return a panel an attack; the white-box cells are outlined.

    Args:
        points: of :func:`transfer_points`.
        styles: of the attacks.
        value: ``t_map`` or ``gain``.
    """
    reach = 100 * (float(points["gain"].abs().max()) or 1.0)
    scale = Normalize(0, 100) if value == "t_map" else Normalize(-reach, reach)
    colours = mpl.colormaps["cividis" if value == "t_map" else "PuOr_r"]
    unit = "t-MAP in percent" if value == "t_map" else "gain in points"
    every = sides(points)

    def draw(axis: Axes, part: pd.DataFrame) -> None:
        matrix = 100 * part.pivot(index="source", columns="victim", values=value)
        rows, victims = ([side for side in every if side in one] for one in (matrix.index, matrix))
        cells = matrix.reindex(index=rows, columns=victims).to_numpy(dtype="float64")
        image = axis.pcolormesh(cells, norm=scale, cmap=colours, linewidth=0.5, edgecolor="face")
        axis.set(aspect="equal", ylim=(len(rows), 0), anchor="NW")
        axis.set_xticks([n + 0.5 for n in range(len(victims))], map(_name, victims), rotation=90)
        axis.set_yticks([n + 0.5 for n in range(len(rows))], map(_name, rows))
        axis.tick_params(length=0)
        axis.grid(visible=False)
        axis.spines[:].set_visible(False)
        for row, source in enumerate(rows):
            for column, victim in enumerate(victims):
                number = cells[row, column]
                if not np.isnan(number) and len(every) <= _ANNOTATED:
                    red, green, blue, _ = colours(scale(number))
                    light = 0.3 * red + 0.59 * green + 0.11 * blue
                    axis.text(
                        column + 0.5,
                        row + 0.5,
                        f"{number:.0f}" if value == "t_map" else f"{number:+.0f}",
                        ha="center",
                        va="center_baseline",
                        size=SMALL,
                        color=_DARK if light > 0.45 else _LIGHT,
                    )
                if source == victim:
                    style: dict[str, Any] = {"fill": False, "edgecolor": INK, "linewidth": 1.8}
                    axis.add_patch(Rectangle((column, row), 1, 1, clip_on=False, **style))
        if len(every) > _ANNOTATED:
            place = axis.inset_axes((1.04, 0.25, 0.05, 0.5))
            axis.figure.colorbar(image, cax=place)

    several = [name for name in _KEYS[:-1] if points[name].nunique() > 1]
    panels = []
    for _, part in points.groupby(_KEYS, sort=False):
        first = part.iloc[0]
        title = " ".join([*(str(first[name]) for name in several), styles.name(first["label"])])
        panels.append(
            Panel(title, functools.partial(draw, part=part), f"{unit}; source ↓ victim →")
        )
    return panels
