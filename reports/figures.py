"""Figures from the tidy table, each as SVG and PDF."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from benchmark.store import write_bytes

mpl.use("Agg")
# One colour and marker an attack in every figure, from a colour-blind-safe palette.
_ORDER = (
    "Original",
    "Noise",
    "P2P",
    "DHTA",
    "DHTA+FGSM",
    "DHTA+I-FGSM",
)
_MARKERS = ("o", "X", "s", "D", "^", "v", "P", "*", "<", ">", "h", "p")


def draw_figures(results: pd.DataFrame, folder: Path) -> list[Path]:
    """Draw every figure the results allow and return the files written."""
    good = results[(results["status"] == "ok") & (results["source"] == results["victim"])]
    images = good[good["perceptibility"].notna()]
    if images.empty:
        return []
    return _save(t_map_against_perceptibility(images), folder / "t_map_against_perceptibility")


def t_map_against_perceptibility(rows: pd.DataFrame) -> Figure:
    """Draw t-MAP over perceptibility, a panel a target, a point an attack; chance as a line."""
    keys = ["dataset", "protocol", "source", "title", "overrides"]
    rows = rows.assign(
        overrides=rows["overrides"].fillna(""),
        protocol=rows["protocol"].str.removesuffix("+overrides"),
    )
    points = rows.groupby(keys, sort=False)[["t_map", "perceptibility", "chance"]].mean()
    points = points.reset_index()
    points["panel"] = _panels(points)
    attacks = [title for title in _ORDER if title in set(points["title"])]
    attacks += [title for title in dict.fromkeys(points["title"]) if title not in attacks]
    colours = dict(zip(attacks, sns.color_palette("colorblind", len(attacks)), strict=True))
    markers = {title: _MARKERS[n % len(_MARKERS)] for n, title in enumerate(attacks)}
    with sns.axes_style("whitegrid"):
        grid = sns.FacetGrid(
            points, col="panel", col_wrap=min(4, points["panel"].nunique()), height=2.8, aspect=1.1
        )
        grid.map_dataframe(
            sns.scatterplot,
            x="perceptibility",
            y="t_map",
            hue="title",
            style="title",
            palette=colours,
            markers=markers,
            s=60,
        )
    for panel, axis in grid.axes_dict.items():
        chance = points.loc[points["panel"] == panel, "chance"].mean()
        axis.axhline(chance, color="0.4", linestyle="--", linewidth=1, label="Chance")
    grid.set_titles("{col_name}")
    grid.set_axis_labels("perceptibility", "t-MAP")
    grid.set(ylim=(0, 1.02))
    # A small margin so that the point at zero is not cut by the axis.
    grid.set(xlim=(-0.05 * points["perceptibility"].max() - 1e-4, None))
    grid.add_legend(title="")
    figure: Figure = grid.figure
    return figure


def _panels(points: pd.DataFrame) -> pd.Series[str]:
    """Name panels by target, and by data set and protocol where there are several."""
    names = points["source"]
    for column in ("protocol", "dataset"):
        if points[column].nunique() > 1:
            names = points[column] + " " + names
    return names


def _save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as SVG and PDF without dates, so that unchanged results give equal files."""
    import io

    paths = []
    for suffix, metadata in ((".svg", {"Date": None}), (".pdf", {"CreationDate": None})):
        buffer = io.BytesIO()
        with mpl.rc_context({"svg.hashsalt": stem.name}):
            figure.savefig(buffer, format=suffix[1:], metadata=metadata, bbox_inches="tight")
        path = stem.with_suffix(suffix)
        write_bytes(path, buffer.getvalue())
        paths.append(path)
    figure.clear()
    return paths
