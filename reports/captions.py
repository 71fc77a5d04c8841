"""What rows were measured under, as captions say it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from hashattack.benchmark.columns import COLUMNS

Rows = Sequence[Mapping[Any, Any]]  # of results.csv


def protocol_text(rows: Rows) -> str:
    """Return the protocol of some rows, ``shortened`` where a row has fewer steps or epochs."""
    protocol = str(rows[0]["protocol"])
    shortened = any(row.get("shortened") is True for row in rows)
    return f"{protocol}, shortened" if shortened else protocol


def target_labels_text(rows: Rows) -> str:
    """Return the policy of some rows, how many label rows it draws from, and chance.

    Like ``frequent (316 eligible label rows, chance 57.17 %)``, by data set where there are
    several; a span where attacks or seeds have draws of their own.
    """
    datasets = dict.fromkeys(row["dataset"] for row in rows)
    parts = []
    for dataset in datasets:
        own = [row for row in rows if row["dataset"] == dataset]
        eligible = _span((row["eligible_rows"] for row in own), ",.0f")
        chance = chance_text(own)
        if eligible and chance:
            name = f"{dataset}: " if len(datasets) > 1 else ""
            parts.append(f"{name}{eligible} eligible label rows, chance {chance} %")
    policy = str(rows[0]["policy"])
    return f"{policy} ({'; '.join(parts)})" if parts else policy


def chance_text(rows: Rows) -> str:
    """Return the t-MAP of equal codes in percent, like ``57.17``; "" where it is not known."""
    return _span((100 * row["chance"] for row in rows), COLUMNS["chance"].format)


def _span(values: Iterable[float], form: str) -> str:
    """Return the smallest and the largest of the values that are known, or the only one."""
    known = [value for value in values if not pd.isna(value)]
    ends = (min(known), max(known)) if known else ()
    return " to ".join(dict.fromkeys(f"{value:{form}}" for value in ends))
