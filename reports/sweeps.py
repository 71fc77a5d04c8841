"""Figures 4(a) and 4(b): the ablations by code length, and the sweep of alpha."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

_PANEL = ("dataset", "protocol", "policy", "source")  # what is compared within itself
_MOST_PANELS = 12
_ABLATION = ("GAN", "ProS-GAN1", "ProS-GAN")


def alpha_points(results: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ProS-GAN with their alpha, where a target has several.

    The columns ``alpha``, ``t_map``, ``perceptibility``, ``original`` and the panel's keys, a row
    a seed.
    """
    rows = _white_box(results)
    gan = rows[rows["attack"] == "prosgan"].copy()
    gan["alpha"] = gan["params"].map(lambda text: json.loads(text)["alpha"]).astype(float)
    keys = list(_PANEL)
    several = gan.groupby(keys)["alpha"].transform("nunique") > 1
    if not several.any():
        return gan[several]
    original = rows[rows["attack"] == "original"].groupby(keys)["t_map"].mean().rename("original")
    points = gan[several].merge(original, how="left", left_on=keys, right_index=True)
    return points.drop_duplicates([*keys, "alpha", "draw_seed", "target_seed"])


def alpha_sweep(points: pd.DataFrame) -> Figure:
    """Draw t-MAP and perceptibility over alpha (log), a line a target, its band over seeds."""
    names = {"t_map": "t-MAP", "perceptibility": "perceptibility"}
    long = points.melt(["alpha", *_PANEL], list(names), var_name="metric").replace(
        {"metric": names}
    )
    long["target"] = panel_names(long)
    with sns.axes_style("whitegrid"):
        grid = sns.relplot(
            long,
            kind="line",
            x="alpha",
            y="value",
            hue="target",
            style="target",
            markers=True,
            dashes=False,
            palette="colorblind",
            errorbar=("pi", 100),
            col="metric",
            height=2.8,
            aspect=1.2,
            facet_kws={"sharey": False},
        )
    grid.set(xscale="log")
    ticks = sorted(long["alpha"].unique())
    for metric, axis in grid.axes_dict.items():
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
        if metric == "t-MAP" and points["original"].notna().any():
            level = points["original"].mean()
            axis.axhline(level, color="0.4", linestyle="--", linewidth=1)
            axis.annotate("Original", (ticks[0], level), fontsize=7, va="bottom")
    grid.set_titles("{col_name}")
    grid.set_axis_labels("alpha, the weight of the reconstruction", "")
    figure: Figure = grid.figure
    return figure


def ablation_points(results: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the ablations and ProS-GAN on the targets that have them all."""
    rows = _white_box(results)
    rows = rows[rows["title"].isin(_ABLATION) & (rows["variant"] == "")]
    keys = list(_PANEL)
    return rows[rows.groupby(keys)["title"].transform("nunique") == len(_ABLATION)]


def ablation(points: pd.DataFrame) -> Figure:
    """Draw the t-MAP of the ablations, a group of bars a target, their range over seeds."""
    points = points.assign(target=panel_names(points))
    figure = Figure(figsize=(2 + 1.2 * points["target"].nunique(), 3))
    axis = figure.subplots()
    with sns.axes_style("whitegrid"):
        sns.barplot(
            points,
            x="target",
            y="t_map",
            hue="title",
            hue_order=_ABLATION,
            palette="colorblind",
            errorbar=("pi", 100),
            ax=axis,
        )
    chance = points["chance"].mean()
    axis.axhline(chance, color="0.4", linestyle="--", linewidth=1, label="Chance")
    axis.set(xlabel="", ylabel="t-MAP", ylim=(0, 1.02))
    axis.tick_params(axis="x", labelrotation=20)
    axis.legend(title="", loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _white_box(results: pd.DataFrame) -> pd.DataFrame:
    good = results[(results["status"] == "ok") & (results["source"] == results["victim"])].copy()
    good["variant"] = good["variant"].fillna("")
    return good


def panel_names(
    rows: pd.DataFrame, also: Sequence[str] = ("policy", "protocol", "dataset")
) -> pd.Series[str]:
    """Name targets, with what else there are several of.

    Where there are too many for a figure, those that differ in their code length alone go
    together; where that is not enough, all.
    """
    names = rows["source"]
    for coarser in (names.str.rpartition("-")[0], names.map(lambda _: "all targets")):
        if names.nunique() > _MOST_PANELS:
            names = coarser
    for column in also:
        if rows[column].nunique() > 1:
            names = rows[column] + " " + names
    return names
