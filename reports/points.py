"""The data behind figures: means over seeds and hashers with their intervals, from the results."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from hashattack.benchmark.columns import Column
from hashattack.benchmark.names import REFERENCE, counted
from hashattack.reports.captions import score_text
from hashattack.reports.names import parameters
from hashattack.reports.published import FigureLayout
from hashattack.reports.uncertainty import Uncertainty

SETTING = ["dataset", "protocol", "policy"]
HASHER = [*SETTING, "source"]
MOST_PANELS = 12


def scored(rows: pd.DataFrame, metric: Column) -> pd.DataFrame:
    """Return the rows that are ranked by a column, which is their ``score``, with its chance."""
    own = of_goal(rows, metric)
    return own.assign(score=own[metric.name], chance=own[metric.chance]) if len(own) else own


def named(metric: Column, rows: pd.DataFrame) -> Column:
    """Return the column with the k of MAP@k in its title, where all rows have the same."""
    titles = {score_text(row) for row in rows[["goal", "top"]].drop_duplicates().to_dict("records")}
    return replace(metric, title=titles.pop()) if len(titles) == 1 else metric


def of_goal(rows: pd.DataFrame, metric: Column) -> pd.DataFrame:
    """Return the rows of the goal whose attacks a column ranks."""
    return rows[rows["goal"] == metric.ranks] if len(rows) else rows


def best_of(metric: Column) -> str:
    """Return what the strongest attack has, like ``highest t-MAP``."""
    return f"{'highest' if metric.sign > 0 else 'lowest'} {metric.title}"


def comparable(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of attacks that share their target labels."""
    return rows[rows["policy"] != "as-published"] if len(rows) else rows


def white_box(results: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with a result on the hasher that was attacked."""
    return results[(results["status"] == "ok") & (results["source"] == results["victim"])]


def panel_names(
    rows: pd.DataFrame, also: Sequence[str] = ("policy", "protocol", "dataset")
) -> pd.Series[str]:
    """Name the panels that rows belong to: sources, with what else there are several of.

    Where there are too many for a figure, those that differ in their code length alone go
    together; where that is not enough, all.
    """
    names = rows["source"]
    for coarser in (hashers(rows), names.map(lambda _: "all hashers")):
        if names.nunique() > MOST_PANELS:
            names = coarser
    for column in also:
        if rows[column].nunique() > 1:
            names = rows[column] + " " + names
    return names


def hashers(rows: pd.DataFrame) -> pd.Series[str]:
    """Return the sources of rows without their code lengths."""
    return rows["source_method"] + "-" + rows["source_backbone"]


def means(
    rows: pd.DataFrame, columns: Sequence[str], uncertainty: Uncertainty, also: Sequence[str] = ()
) -> pd.DataFrame:
    """Return means over seeds and over the hashers of each panel.

    An attack that lacks a hasher of its panel is left out: its mean could not be compared.

    Args:
        rows: white-box results with the attacks' ``label`` and their ``panel``.
        columns: what means are taken of, as fractions or in the units of ``results.csv``.
        uncertainty: of the runs.
        also: columns beside panel and label in which rows differ.

    Returns:
        The keys, ``role``, the columns, the ends ``low`` and ``high`` of the 95 % interval of the
        mean score, NaN where there is none, and ``chance``: as in ``results.csv``, not in percent.
    """
    keys = ["panel", *also, "label"]
    whole = rows.groupby(["panel", *also])["source"].transform("nunique")
    own = rows.groupby(keys)["source"].transform("nunique")
    groups = rows[own == whole].groupby([*keys, "source"], sort=False)
    values = groups[[*dict.fromkeys([*columns, "chance"])]].mean()
    found = values.groupby(keys, sort=False).mean()
    by_label = rows[own == whole].groupby(keys, sort=False)
    jobs = by_label["job_key"].agg(list).loc[found.index]
    ends = [uncertainty.interval(tuple(keys)) or (math.nan, math.nan) for keys in jobs]
    found["low"], found["high"] = zip(*ends, strict=True) if ends else ((), ())
    found["role"] = by_label["role"].first().loc[found.index]
    return found.reset_index()


def trade_off_rows(good: pd.DataFrame, column: Column) -> pd.DataFrame:
    """Return the rows with a value of a column, and those of no attack; of a cost, of attacks."""
    rows = good[good[column.name].notna() | (good["role"] == "no-attack")]
    if column.kind == "cost":
        has_cost = (rows[column.name] > 0) & (rows["budget_class"] != REFERENCE)
        rows = rows[has_cost | (rows["role"] == "no-attack")]
    return rows


def with_training(rows: pd.DataFrame) -> pd.Series[float]:
    """Return seconds per image, those of training spread over the queries."""
    return rows["seconds_per_image"] + rows["fit_seconds"].fillna(0.0) / rows["n_queries"]


def pareto_front(points: pd.DataFrame, cost: str, sign: int) -> pd.DataFrame:
    """Return the points that no other beats in the score at the same or a lower cost, by cost.

    ``sign`` is -1 where a lower score is stronger.
    """
    ordered = points.assign(strength=sign * points["score"])
    ordered = ordered.sort_values([cost, "strength"], ascending=[True, False])
    best = ordered["strength"].cummax().shift(fill_value=float("-inf"))
    return ordered[ordered["strength"] > best]


def bits_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of hashers that differ in their code length alone, where there are such."""
    keys = [*SETTING, "source_method", "source_backbone"]
    return rows[rows.groupby(keys)["source_bits"].transform("nunique") > 1]


def transfer_points(results: pd.DataFrame, sign: int) -> pd.DataFrame:
    """Return the score and its gain over no attack by source and victim, for attacks that transfer.

    Args:
        results: with the attacks' ``label``.
        sign: -1 where a lower score is stronger.

    Returns:
        The columns ``dataset``, ``protocol``, ``policy``, ``label``, ``source``, ``victim``,
        ``score`` and ``gain``, means over seeds.
    """
    rows = results[(results["status"] == "ok") & results["score"].notna()]
    keys = [*SETTING, "label", "role", "source", "victim"]
    points = rows.groupby(keys, sort=False)["score"].mean().reset_index()
    crossing = points["source"] != points["victim"]
    groups = points.assign(crossing=crossing).groupby([*SETTING, "label"])
    crosses = groups["crossing"].transform("any")
    clean = points[(points.pop("role") == "no-attack") & ~crossing]
    keys = [*SETTING, "victim"]
    level = clean[[*keys, "score"]].rename(columns={"score": "no_attack"})
    found = points[crosses].merge(level, how="left", on=keys)
    found["gain"] = sign * (found["score"] - found["no_attack"])
    sides = found.loc[found["source"] != found["victim"], ["source", "victim"]]
    return found[found["source"].isin(set(sides["source"]) | set(sides["victim"]))]


def sweep_rows(results: pd.DataFrame, layout: FigureLayout) -> pd.DataFrame:
    """Return the rows of a figure's attacks where a hasher has several values of its parameter.

    The columns of the results, the parameter's and ``no_attack``, one row per seed.
    """
    rows = white_box(results)
    swept = rows[rows["attack"].isin(layout.attacks)].copy()
    values = swept["params"].map(lambda text: parameters(text).get(layout.over))
    swept[layout.over] = values.astype("float64")
    swept = swept[swept.groupby(HASHER)[layout.over].transform("nunique") > 1]
    if not len(swept):
        return swept
    clean = rows[rows["role"] == "no-attack"].groupby(HASHER)["score"].mean().rename("no_attack")
    points = swept.merge(clean, how="left", left_on=HASHER, right_index=True)
    return points.drop_duplicates([*HASHER, layout.over, "draw_seed", "target_seed"])


def side_by_side_rows(results: pd.DataFrame, layout: FigureLayout) -> pd.DataFrame:
    """Return the rows of a figure's attacks on the hashers that have them all."""
    rows = white_box(results)
    rows = rows[rows["attack"].isin(layout.attacks) & (rows["variant"] == "")]
    rows = rows.sort_values("attack", key=lambda ids: ids.map(layout.attacks.index), kind="stable")
    return rows[rows.groupby(HASHER)["attack"].transform("nunique") == len(layout.attacks)]


def curve_points(curves: pd.DataFrame) -> pd.DataFrame:
    """Return precision and recall over ``top``, means over seeds and the hashers of each panel."""
    rows = curves.assign(panel=panel_names(curves))
    keys = ["panel", "label", "top"]
    values = rows.groupby([*keys, "source"], sort=False)[["precision", "recall"]].mean()
    return values.groupby(keys, sort=False).mean().reset_index()


def loss_points(losses: pd.DataFrame) -> pd.DataFrame:
    """Return losses over epochs but those of one epoch, which are no curves."""
    keys = ["label", "source", "attack_seed", "loss"]
    return losses[losses.groupby(keys)["epoch"].transform("nunique") > 1]


def strongest(points: pd.DataFrame, sign: int) -> dict[str, Any]:
    """Return the attack's point with the highest score, the lowest where ``sign`` is -1."""
    attacks = points[points["role"] != "no-attack"]
    return largest(attacks.assign(strength=sign * attacks["score"]), "strength")


def largest(points: pd.DataFrame, column: str) -> dict[str, Any]:
    """Return the first row that has the largest value of a column."""
    (row,) = points.nlargest(1, column).to_dict("records")
    return {str(name): value for name, value in row.items()}


def seen(points: pd.DataFrame, name: Callable[[str], str], metric: Column) -> str:
    """Return how much there is to see, and the strongest attack."""
    attacks, top = points[points["role"] != "no-attack"], strongest(points, metric.sign)
    return (
        f"{counted(attacks['label'].nunique(), 'attack')} on "
        f"{counted(points['panel'].nunique(), 'hasher')}; the {best_of(metric)} is "
        f"{100 * top['score']:.1f} % ({name(top['label'])} on {top['panel']})"
    )
