"""Measured minus published, as a figure: a strip a metric, a point a number of the paper."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from hashattack.reports.palette import colours
from hashattack.reports.published import KEYS, measured, published

_TITLES = {
    "t-MAP": "t-MAP (points)",
    "MAP": "MAP (points)",
    "perceptibility_x100": "100 perceptibility",
    "seconds_per_image": "seconds an image",
}


def delta_points(results: pd.DataFrame) -> pd.DataFrame:
    """Return measured minus published for every number that has both.

    Columns: ``metric``, ``attack``, ``difference``; a row a protocol and policy.
    """
    theirs = published().drop_duplicates(KEYS)[[*KEYS, "value"]]
    theirs = theirs.rename(columns={"value": "published"})
    parts = [
        measured(rows).merge(theirs, on=KEYS)
        for _, rows in results.groupby(["protocol", "policy"], sort=False)
    ]
    both = pd.concat(parts) if parts else pd.DataFrame(columns=[*KEYS, "value", "published"])
    both = both[both["value"].notna()]
    return pd.DataFrame(
        {
            "metric": both["metric"],
            "attack": both["attack"].str.replace(" + ", "+"),  # as it is called elsewhere
            "difference": both["value"] - both["published"],
        }
    )


def measured_minus_published(points: pd.DataFrame) -> Figure:
    """Draw the differences, a panel a metric, a line an attack."""
    points = points.assign(panel=points["metric"].map(_TITLES))
    names = [name for name in _TITLES.values() if name in set(points["panel"])]
    with sns.axes_style("whitegrid"):
        grid = sns.catplot(
            points,
            kind="strip",
            x="difference",
            y="attack",
            hue="attack",
            palette=colours(points["attack"]),
            col="panel",
            col_order=names,
            col_wrap=min(2, len(names)),
            height=2.6,
            aspect=1.4,
            alpha=0.6,
            size=4,
            legend=False,
            sharex=False,
        )
    for axis in grid.axes_dict.values():
        axis.axvline(0, color="0.4", linewidth=1)
    grid.set_titles("{col_name}")
    grid.set_axis_labels("measured minus published", "")
    figure: Figure = grid.figure
    return figure
