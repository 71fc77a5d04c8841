"""Horizontal bars and dots, one row per attack."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from hashattack.reports.pictures import INK, QUIET
from hashattack.reports.plots.panels import Margins, Panel, panels_of
from hashattack.reports.plots.styles import PlotStyles
from hashattack.reports.plots.theme import NAME, SIZE, SMALL, fitted, text_width

_ROW = 0.26  # inches


def rows_size(names: list[str]) -> tuple[float, Margins]:
    """Return the height of a panel of rows with these names, and its margins, in inches."""
    left = max(text_width(fitted(name, NAME, SIZE), SIZE) for name in names) / 72 + 0.12
    margins = Margins(left=left, right=0.4, top=0.3)
    return _ROW * len(names) + margins.bottom + margins.top, margins


def _rows(axis: Axes, names: list[str]) -> None:
    axis.set_yticks(range(len(names)), [fitted(name, NAME, SIZE) for name in names])
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0, labelcolor=INK, labelsize=SIZE)
    axis.grid(visible=False, axis="y")
    axis.spines["left"].set_visible(False)
    axis.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def side_by_side(points: pd.DataFrame, styles: PlotStyles) -> list[Panel]:
    """Return one panel per hasher: one bar per attack, from zero to its t-MAP, with its interval.

    Args:
        points: of :func:`means`, attacks in their order.
        styles: of the attacks.
    """
    labels = list(dict.fromkeys(points["label"]))

    def draw(here: pd.DataFrame, axis: Axes) -> None:
        _rows(axis, [styles.name(label) for label in labels])
        axis.set_xlim(0, min(100, 100 * float(points["high"].max()) * 1.03))
        axis.set_xlabel("t-MAP in percent")
        for place, label in enumerate(labels):
            row = here.set_index("label").loc[label]
            value, low, high = (100 * float(row[name]) for name in ("score", "low", "high"))
            axis.barh(place, value, height=0.62, color=styles.by_label[label].colour)
            axis.plot([low, high], [place, place], color=INK, linewidth=1.2)
            axis.annotate(
                f"{value:.1f}",
                (1, place),
                xycoords=axis.get_yaxis_transform(),
                xytext=(4, 0),
                textcoords="offset points",
                va="center_baseline",
                size=SMALL,
            )
        chance = 100 * float(here["chance"].mean())
        axis.axvline(chance, color=QUIET, linewidth=1, dashes=(1, 2), label="chance")

    return panels_of(points, "panel", draw)


def measured_minus_published(points: pd.DataFrame, styles: PlotStyles) -> list[Panel]:
    """Return one panel per metric: one row per attack, one stroke per number, and their mean.

    Args:
        points: of :func:`differences`.
        styles: of the attacks.
    """
    names = list(dict.fromkeys(points["attack"]))

    def draw(here: pd.DataFrame, axis: Axes) -> None:
        _rows(axis, names)
        axis.set_xlabel(f"measured minus published {here['metric'].iloc[0]}")
        axis.axvline(0, color=QUIET, linewidth=1)
        for place, name in enumerate(names):
            values = here.loc[here["attack"] == name, "difference"]
            colour = styles.colours.get(name, QUIET)
            axis.plot(values, [place] * len(values), "|", markersize=9, color=colour)
            if len(values):
                axis.plot(values.mean(), place, "D", markersize=4.5, color=colour)

    return panels_of(points, "metric", draw)
