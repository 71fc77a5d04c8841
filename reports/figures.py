"""Figures from the tidy table, each as SVG and PDF."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from reports.drawings import Drawings
from reports.sweeps import ablation, ablation_points, alpha_points, alpha_sweep, panel_names

mpl.use("Agg")
# One colour and marker an attack in every figure, from a colour-blind-safe palette.
_ORDER = (
    "Original",
    "Noise",
    "P2P",
    "DHTA",
    "DHTA+FGSM",
    "DHTA+I-FGSM",
    "ProS-GAN",
    "ProS-GAN-eps",
    "GAN",
    "ProS-GAN1",
    "Prototype+I-FGSM",
    "Anchor code",
    "Prototype code",
)
_MARKERS = ("o", "X", "s", "D", "^", "v", "P", "*", "<", ">", "h", "p")


def draw_figures(
    results: pd.DataFrame, losses: pd.DataFrame, curves: pd.DataFrame, drawings: Drawings
) -> list[Path]:
    """Draw every figure the results, loss and retrieval curves allow; return their files."""
    good = results[(results["status"] == "ok") & (results["source"] == results["victim"])]
    wanted: list[tuple[str, pd.DataFrame, Callable[[pd.DataFrame], Figure]]] = [
        (
            "t_map_against_perceptibility",
            good[good["perceptibility"].notna()],
            t_map_against_perceptibility,
        ),
        ("loss_curves", losses, loss_curves),
        ("alpha_sweep", alpha_points(results), alpha_sweep),
        ("ablation", ablation_points(results), ablation),
        ("precision_recall", curves, functools.partial(retrieval, x="recall")),
        ("precision_at_top", curves, functools.partial(retrieval, x="top")),
    ]
    files: list[Path] = []
    for name, points, draw in wanted:
        if len(points):
            names = [f"{name}.svg", f"{name}.pdf"]
            made = functools.partial(_saved, draw, points, name)
            files += drawings.draw(names, [name, _timeless(points)], made)
    return files


def _timeless(points: pd.DataFrame) -> pd.DataFrame:
    """Return what figures show: no seconds, which change when a job is made again."""
    return points.drop(columns=["seconds_per_image", "fit_seconds"], errors="ignore")


def retrieval(curves: pd.DataFrame, x: str) -> Figure:
    """Draw precision for the target label over ``recall`` or ``top`` (log), a panel a target."""
    keys = ["dataset", "protocol", "policy", "source", "attack", "top"]
    points = curves.groupby(keys, sort=False)[["precision", "recall"]].mean().reset_index()
    points["panel"] = panel_names(points)
    with sns.axes_style("whitegrid"):
        grid = sns.relplot(
            points,
            kind="line",
            x=x,
            y="precision",
            hue="attack",
            style="attack",
            palette=_colours(points["attack"]),
            dashes=_dashes(points["attack"]),
            col="panel",
            col_wrap=min(4, points["panel"].nunique()),
            height=2.8,
            aspect=1.1,
            facet_kws={"sharex": False},
        )
    grid.set_titles("{col_name}")
    grid.set_axis_labels("recall" if x == "recall" else "results looked at", "precision")
    grid.set(ylim=(0, 1.02))
    if x == "top":
        grid.set(xscale="log")
    figure: Figure = grid.figure
    return figure


def _dashes(attacks: pd.Series[str]) -> dict[str, tuple[int, ...]]:
    """Give each attack its dashes: lines that lie on each other stay visible."""
    patterns: tuple[tuple[int, ...], ...] = ((), (4, 1), (1, 1), (3, 1, 1, 1))
    return {title: patterns[n % len(patterns)] for n, title in enumerate(_colours(attacks))}


def loss_curves(losses: pd.DataFrame) -> Figure:
    """Draw each loss over epochs, a row of panels a source, a colour an attack, a line a seed."""
    with sns.axes_style("whitegrid"):
        grid = sns.relplot(
            losses,
            kind="line",
            x="epoch",
            y="value",
            hue="attack",
            palette=_colours(losses["attack"]),
            units="attack_seed",
            estimator=None,
            row="source",
            col="loss",
            marker="o",
            markersize=4,
            height=2.6,
            aspect=1.1,
            facet_kws={"sharey": False},
        )
    grid.set_titles("{col_name} loss, {row_name}")
    grid.set_axis_labels("epoch", "")
    if grid.legend is not None:
        sns.move_legend(grid, "upper center", bbox_to_anchor=(0.45, 0), ncol=1, title="")
    figure: Figure = grid.figure
    return figure


def _colours(attacks: pd.Series[str]) -> dict[str, tuple[float, float, float]]:
    """Give each attack its colour, the paper's first and in a fixed order."""
    listed = [title for title in _ORDER if title in set(attacks)]
    listed += [title for title in dict.fromkeys(attacks) if title not in listed]
    return dict(zip(listed, sns.color_palette("colorblind", len(listed)), strict=True))


def t_map_against_perceptibility(rows: pd.DataFrame) -> Figure:
    """Draw t-MAP over perceptibility, a panel a target, a point an attack; chance as a line."""
    keys = ["dataset", "protocol", "policy", "source", "title", "overrides"]
    rows = rows.assign(
        overrides=rows["overrides"].fillna(""),
        protocol=rows["protocol"].str.removesuffix("+overrides"),
    )
    points = rows.groupby(keys, sort=False)[["t_map", "perceptibility", "chance"]].mean()
    points = points.reset_index()
    points["panel"] = panel_names(points)
    colours = _colours(points["title"])
    markers = {title: _MARKERS[n % len(_MARKERS)] for n, title in enumerate(colours)}
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


def _saved(
    draw: Callable[[pd.DataFrame], Figure], points: pd.DataFrame, name: str
) -> dict[str, bytes]:
    """Draw a figure as SVG and PDF without dates, so that unchanged results give equal files."""
    figure = draw(points)
    contents = {}
    for suffix, metadata in (("svg", {"Date": None}), ("pdf", {"CreationDate": None})):
        buffer = io.BytesIO()
        with mpl.rc_context({"svg.hashsalt": name}):
            figure.savefig(buffer, format=suffix, metadata=metadata, bbox_inches="tight")
        contents[f"{name}.{suffix}"] = buffer.getvalue()
    figure.clear()
    return contents
