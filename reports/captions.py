"""What rows were measured under, as captions say it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from hashattack.benchmark.columns import COLUMNS, RANKED_BY
from hashattack.datasets.draws import OWN

Rows = Sequence[Mapping[Any, Any]]  # of results.csv
UNDERTRAINED = "its loss was still falling, or hardly fell; try epochs: auto"


def protocol_text(rows: Rows) -> str:
    """Return the protocol of some rows, ``shortened`` where a row has fewer steps or epochs."""
    protocol = str(rows[0]["protocol"])
    shortened = any(row.get("shortened") is True for row in rows)
    return f"{protocol}, shortened" if shortened else protocol


def undertrained_text(rows: Rows) -> str:
    """Return the flag of some rows of an attack, with their share where it is not that of all."""
    count = sum(row.get("undertrained") is True for row in rows)
    share = f" in {count} of {len(rows)} cells" if count < len(rows) else ""
    return f"undertrained{share}" if count else ""


def labels_name(policy: str) -> str:
    """Return which labels a score is for, like ``frequent target labels``."""
    return "the queries' own labels" if policy == OWN else f"{policy} target labels"


def labels_text(rows: Rows) -> str:
    """Return which labels some rows are scored for, of how many label rows, and chance.

    Like ``frequent target labels (316 eligible label rows, chance 57.17 %)``, by data set where
    there are several; a span where attacks or seeds have draws of their own.
    """
    datasets = dict.fromkeys(row["dataset"] for row in rows)
    policy, parts = str(rows[0]["policy"]), []
    kind = "" if policy == OWN else "eligible "
    for dataset in datasets:
        own = [row for row in rows if row["dataset"] == dataset]
        eligible = _span((row["eligible_rows"] for row in own), ",.0f")
        chance = chance_text(own)
        if eligible and chance:
            name = f"{dataset}: " if len(datasets) > 1 else ""
            parts.append(f"{name}{eligible} {kind}label rows, chance {chance} %")
    labels = labels_name(policy)
    return f"{labels} ({'; '.join(parts)})" if parts else labels


def score_text(row: Mapping[Any, Any]) -> str:
    """Return what the score of a row is called, like ``t-MAP`` or ``MAP@5000``."""
    title, top = COLUMNS[RANKED_BY[row["goal"]]].title, row.get("top")
    return title if top is None or pd.isna(top) else f"{title}@{top:.0f}"


def chance_text(rows: Rows) -> str:
    """Return the score of equal codes in percent, like ``57.17``; "" where it is not known."""
    column = COLUMNS[COLUMNS[RANKED_BY[rows[0]["goal"]]].chance]
    return _span((100 * row[column.name] for row in rows), column.format)


def _span(values: Iterable[float], form: str) -> str:
    """Return the smallest and the largest of the values that are known, or the only one."""
    known = [value for value in values if not pd.isna(value)]
    ends = (min(known), max(known)) if known else ()
    return " to ".join(dict.fromkeys(f"{value:{form}}" for value in ends))
