"""Figures from the tidy table, each as SVG and PDF."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from hashattack.reports.deltas import delta_points, measured_minus_published
from hashattack.reports.drawings import Drawings
from hashattack.reports.names import Names
from hashattack.reports.palette import colours, dashes
from hashattack.reports.sweeps import (
    ablation,
    ablation_points,
    alpha_points,
    alpha_sweep,
    panel_names,
)
from hashattack.reports.tradeoffs import (
    bits_points,
    t_map_against_bits,
    t_map_against_perceptibility,
    t_map_against_seconds,
)
from hashattack.reports.transfers import transfer_map, transfer_points

mpl.use("Agg")


@dataclass(frozen=True)
class Drawn:
    """A figure that a report has."""

    title: str
    files: list[Path]  # SVG, PDF


def draw_figures(
    results: pd.DataFrame, losses: pd.DataFrame, curves: pd.DataFrame, drawings: Drawings
) -> list[Drawn]:
    """Draw every figure that the results, loss and retrieval curves allow."""
    known = Names(results)
    results, losses, curves = (
        rows.assign(label=known.labels(rows)) if len(rows) else rows
        for rows in (results, losses, curves)
    )
    good = results[(results["status"] == "ok") & (results["source"] == results["victim"])]
    seen = good[good["perceptibility"].notna()]
    timed = good[good["seconds_per_image"].notna() & (good["seconds_per_image"] > 0)]
    timed = timed[timed["budget_class"] != "reference"]
    matrix = transfer_points(results)
    wanted: list[tuple[str, str, pd.DataFrame, Callable[[pd.DataFrame], Figure]]] = [
        (
            "t_map_against_perceptibility",
            "t-MAP against perceptibility, with the Pareto front",
            seen,
            t_map_against_perceptibility,
        ),
        ("t_map_against_seconds", "t-MAP against time", timed, t_map_against_seconds),
        ("t_map_against_bits", "t-MAP against code length", bits_points(good), t_map_against_bits),
        (
            "transfer",
            "Transfer: t-MAP by source and victim, white-box outlined",
            matrix,
            functools.partial(transfer_map, value="t_map"),
        ),
        (
            "transfer_gain",
            "Transfer: t-MAP over Original on the victim",
            matrix[matrix["gain"].notna()],
            functools.partial(transfer_map, value="gain"),
        ),
        (
            "precision_recall",
            "Precision and recall for the target label",
            curves,
            functools.partial(retrieval, x="recall"),
        ),
        (
            "precision_at_top",
            "Precision for the target label over results looked at",
            curves,
            functools.partial(retrieval, x="top"),
        ),
        ("alpha_sweep", "Figure 4(b): alpha", alpha_points(results), alpha_sweep),
        ("ablation", "Figure 4(a): ablations", ablation_points(results), ablation),
        ("loss_curves", "Losses of generators in training", losses, loss_curves),
        (
            "measured_minus_published",
            "Measured minus published",
            delta_points(results),
            measured_minus_published,
        ),
    ]
    figures = []
    for name, title, points, draw in wanted:
        if len(points):
            names = [f"{name}.svg", f"{name}.pdf"]
            made = functools.partial(_saved, draw, points, name)
            shown = points if name == "t_map_against_seconds" else _timeless(points)
            figures.append(Drawn(title, drawings.draw(names, [name, shown], made)))
    return figures


def _timeless(points: pd.DataFrame) -> pd.DataFrame:
    """Return what figures show: no seconds, which change when a job is made again."""
    return points.drop(columns=["seconds_per_image", "fit_seconds"], errors="ignore")


def retrieval(curves: pd.DataFrame, x: str) -> Figure:
    """Draw precision for the target label over ``recall`` or ``top`` (log), a panel a target."""
    keys = ["dataset", "protocol", "policy", "source", "label", "top"]
    points = curves.groupby(keys, sort=False)[["precision", "recall"]].mean().reset_index()
    points["panel"] = panel_names(points)
    pooled = points.groupby(["panel", "label", "top"], sort=False)[["precision", "recall"]]
    points = pooled.mean().reset_index()
    with sns.axes_style("whitegrid"):
        grid = sns.relplot(
            points,
            kind="line",
            x=x,
            y="precision",
            hue="label",
            style="label",
            palette=colours(points["label"]),
            dashes=dashes(points["label"]),
            errorbar=None,
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
    if grid.legend is not None:
        grid.legend.set_title("")
    figure: Figure = grid.figure
    return figure


def loss_curves(losses: pd.DataFrame) -> Figure:
    """Draw each loss over epochs, a row of panels a source, a colour an attack, a line a training.

    Where there are too many sources for a row each, they share rows as targets do elsewhere.
    """
    losses = losses.assign(
        panel=panel_names(losses, ()),
        training=losses["source"] + " " + losses["attack_seed"].astype(str),
    )
    with sns.axes_style("whitegrid"):
        grid = sns.relplot(
            losses,
            kind="line",
            x="epoch",
            y="value",
            hue="label",
            palette=colours(losses["label"]),
            units="training",
            estimator=None,
            row="panel",
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


def _saved(
    draw: Callable[[pd.DataFrame], Figure], points: pd.DataFrame, name: str
) -> dict[str, bytes]:
    """Draw a figure as SVG and PDF without dates, so that unchanged results give equal files."""
    figure = draw(points)
    contents = {}
    for suffix, metadata in (("svg", {"Date": None}), ("pdf", {"CreationDate": None})):
        buffer = io.BytesIO()
        with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
            figure.savefig(buffer, format=suffix, metadata=metadata, bbox_inches="tight")
        contents[f"{name}.{suffix}"] = buffer.getvalue()
    figure.clear()
    return contents
