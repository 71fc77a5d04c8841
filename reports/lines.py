"""Lines of tables: attacks with their settings, means over seeds, ranked within a budget class.

Targeted attacks are ranked by t-MAP, non-targeted ones by MAP; both are called the score here.

A line of the page's table of cells is an attack on one source and victim, a line of a leaderboard
is an attack on every target. Both have the columns that ``benchmark/columns.py`` shows there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from hashattack.benchmark.columns import COLUMNS, RANKED_BY, Column, Table, names_of
from hashattack.benchmark.names import REFERENCE
from hashattack.reports.captions import protocol_text, undertrained_text
from hashattack.reports.names import Name, Names
from hashattack.reports.uncertainty import Rank, Uncertainty

Row = Mapping[str, Any]  # of results.csv
Place = tuple[str, int, int]  # source, target seed, draw seed: where two attacks are paired

VISIBLE = 16 / 255  # above this measured L∞ a perturbation is called visible

# White-box scores by victim: of no attack, and of the bound that gains are shares of.
Levels = tuple[Mapping[str, float], Mapping[str, float]]

TRIAL = ("dataset", "dataset_fingerprint", "n_queries", "protocol", "policy")  # same queries
_COMPUTE = [name for name in names_of("compute") if name != "device"]
_CELL = ("source", "victim", "attack", "variant", "overrides", "budget_class", *_COMPUTE)

# What is derived from several rows: it stands in no file.
_PERCENT = Column("", scale=100, format=".2f", tables=("leaderboard", "cells"))
_GAINS = (
    replace(_PERCENT, name="no_attack", title="no attack", unit="%", tables=("cells",)),
    replace(
        _PERCENT,
        name="gain",
        title="gain over no attack",
        better="higher",
        help="t-MAP minus that of the unchanged queries, in points; of MAP, by how much it falls",
        tables=("summary", "leaderboard", "cells"),
    ),
    replace(
        _PERCENT,
        name="share",
        title="share of the bound",
        unit="%",
        better="higher",
        help="the gain divided by that of the bound's codes",
        tables=("leaderboard",),
    ),
)
_FASTER_FROM = Column(
    "faster_from",
    kind="cost",
    title="faster from",
    unit="queries",
    format=",.0f",
    tables=("leaderboard",),
    help="queries from which it takes less time, training included, than the standard attack",
)


@dataclass(frozen=True)
class Line:
    """An attack with its settings on some targets; numbers are means over seeds.

    Attributes:
        name: what it is called.
        facts: the first of its rows.
        by_victim: its score; victims without a result are absent.
        values: by column of :func:`columns_of`; what is not known is absent. Empty where a hasher
            or a seed is missing.
        partial: the same of what there is, where something is missing: not to be compared.
        scores: the score jobs behind it.
        seeds: how many results a number of one target is of.
        status: ``ok``, or that of its first row without a result.
        note: why there is no result.
        flag: ``undertrained``, with the share of its results where not all of them are.
        seed_range: the lowest and the highest score of several seeds.
        interval: the 95 % interval of the mean score over queries.
        rank: within its budget class; None where a result is missing.
    """

    name: Name
    facts: Row
    by_victim: Mapping[str, float]
    values: Mapping[str, float]
    partial: Mapping[str, float] = field(default_factory=dict)
    scores: Mapping[Place, Sequence[str]] = field(default_factory=dict)
    seeds: int = 1
    status: str = "ok"
    note: str = ""
    flag: str = ""
    seed_range: tuple[float, float] | None = None
    interval: tuple[float, float] | None = None
    rank: Rank | None = None

    @property
    def metric(self) -> Column:
        """The column that it is ranked by, its score."""
        return metric_of(self.facts)

    @property
    def mean(self) -> float | None:
        """Its mean score, or that of what there is."""
        return self.numbers.get(self.metric.name)

    @property
    def strength(self) -> float:
        """Its mean score, the sign changed where lower is stronger; of lines with any result."""
        return self.metric.sign * self.numbers[self.metric.name]

    @property
    def protocol(self) -> str:
        """Its protocol."""
        return protocol_text([self.facts])

    @property
    def numbers(self) -> Mapping[str, float]:
        """Its values, or those of what there is."""
        return self.values or self.partial

    @property
    def visible(self) -> bool:
        """Whether its largest perturbation can be seen."""
        return self.numbers.get("linf", 0.0) > VISIBLE

    @property
    def jobs(self) -> tuple[str, ...]:
        """The score jobs behind it."""
        return tuple(job for listed in self.scores.values() for job in listed)


def metric_of(row: Row) -> Column:
    """Return the column that rows of its goal are ranked by."""
    return COLUMNS[RANKED_BY[row["goal"]]]


def white_box(row: Row) -> bool:
    """Return whether the hasher that is queried is the one that was attacked."""
    return bool(row["source"] == row["victim"])


def shares_draw(row: Row) -> bool:
    """Return whether all attacks of a trial have the same target labels, and can be compared."""
    return bool(row["policy"] != "as-published")


def records(rows: pd.DataFrame) -> list[Row]:
    """Return the rows of a frame, which are many and grouped into few: faster than pandas."""
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def grouped(rows: Iterable[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    """Return rows by their values in some columns, in the order of appearance."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


def average(rows: Iterable[Row], column: Column, by: str) -> dict[str, float]:
    """Return a column's mean over the rows that have it, by another column."""
    groups = grouped((row for row in rows if not pd.isna(row[column.name])), by)
    return {str(key): _of(column, group) for (key,), group in groups.items()}


def _of(column: Column, rows: Iterable[Row]) -> float:
    """Return what the values of several rows become, as the column declares."""
    values = [float(row[column.name]) for row in rows]
    return max(values) if column.mean == "max" else float(np.mean(values))


def levels_of(rows: Iterable[Row]) -> Levels:
    """Return the levels of the rows of one trial, none where attacks cannot be compared."""
    good = (row for row in rows if row["status"] == "ok" and white_box(row) and shares_draw(row))
    roles = grouped(good, "role")
    levels = {role: average(own, metric_of(own[0]), "victim") for (role,), own in roles.items()}
    return levels.get("no-attack", {}), levels.get("bound", {})


def _gains(scores: Mapping[str, float], sign: int, levels: Levels) -> dict[str, float]:
    """Return the derived columns of scores by victim, those that are known."""
    no_attack, bound = levels
    if not scores or not scores.keys() <= no_attack.keys():
        return {}
    gain = _mean(sign * (value - no_attack[name]) for name, value in scores.items())
    values = {"no_attack": _mean(no_attack[name] for name in scores), "gain": gain}
    if scores.keys() <= bound.keys():
        most = _mean(sign * (bound[name] - no_attack[name]) for name in scores)
        values |= {"share": gain / most} if most else {}
    return values


def columns_of(table: Table, score: str = "t_map") -> list[Column]:
    """Return the columns of numbers of a table: the score, what a summary has, costs, others."""
    first = COLUMNS[score]
    others = [one for one in COLUMNS.values() if table in one.tables and one.name != score]
    derived = [column for column in _GAINS if table in column.tables]
    rest = [*derived, *others, *([_FASTER_FROM] if table in _FASTER_FROM.tables else [])]
    return [first, *sorted(rest, key=_place)]


def _place(column: Column) -> int:
    return 0 if "summary" in column.tables else 1 if column.kind == "cost" else 2


def line_of(rows: Sequence[Row], names: Names, levels: Levels) -> Line:
    """Return the line of some rows of one attack; its numbers are those of the rows with a result.

    Args:
        rows: of one trial, at least one; they differ in targets and seeds.
        names: of the report's attacks.
        levels: of the trial.
    """
    good = [row for row in rows if row["status"] == "ok"]
    bad = [row for row in rows if row["status"] != "ok"]
    metric = metric_of(rows[0])
    scores = average(good, metric, "victim")
    values = {}
    for column in (one for one in COLUMNS.values() if one.tables):
        known = [row for row in good if not pd.isna(row[column.name])]
        if known:
            values[column.name] = _of(column, known)
    if scores:
        values[metric.name] = _mean(scores.values())
    jobs = grouped(good, "source", "target_seed", "draw_seed")
    seeds = [float(row[metric.name]) for row in good]
    return Line(
        name=names.of(rows[0]),
        facts=rows[0],
        by_victim=scores,
        values=values | _gains(scores, metric.sign, levels),
        scores={
            (source, target, draw): [str(row["job_key"]) for row in found]
            for (source, target, draw), found in jobs.items()
        },
        seeds=len(good),
        status=str(bad[0]["status"]) if bad else "ok",
        note="; ".join(dict.fromkeys(str(row["reason"]) for row in bad)),
        flag=undertrained_text(good),
        seed_range=(min(seeds), max(seeds)) if len(seeds) > 1 else None,
    )


def ranked(lines: Iterable[Line], uncertainty: Uncertainty) -> list[Line]:
    """Return the lines of one budget class, the complete ones first with their ranks, by score."""
    lines = list(lines)
    complete = [line for line in lines if line.status == "ok"]
    complete.sort(key=lambda line: -line.strength)
    ranks = uncertainty.ranks([line.jobs for line in complete])
    with_ranks = [replace(line, rank=rank) for line, rank in zip(complete, ranks, strict=True)]
    return [*with_ranks, *(line for line in lines if line.status != "ok")]


def cell_lines(rows: pd.DataFrame, names: Names, uncertainty: Uncertainty) -> list[Line]:
    """Return the lines of the table of all cells: an attack on a source and a victim.

    Args:
        rows: of ``results.csv``, those of cells that failed or were not run among them.
        names: of the report's attacks.
        uncertainty: of the runs.
    """
    lines: list[Line] = []
    for trial in grouped(records(rows), *TRIAL).values():
        levels = levels_of(trial)
        cells = [line_of(part, names, levels) for part in grouped(trial, *_CELL).values()]
        groups: dict[tuple[str, ...], list[Line]] = {}
        for line in _distinct(cells):
            key = tuple(str(line.facts[name]) for name in ("source", "victim", "budget_class"))
            groups.setdefault(key, []).append(line)
        for group in groups.values():  # attacks on one hasher as white box compete
            first = group[0].facts
            compete = white_box(first) and first["budget_class"] != REFERENCE and shares_draw(first)
            lines += ranked(group, uncertainty) if compete else group
    return [
        replace(line, interval=uncertainty.interval(line.jobs)) if line.jobs else line
        for line in lines
    ]


def _distinct(lines: Sequence[Line]) -> list[Line]:
    """Return the lines; those that are called the same with their overrides and compute."""
    seen = [(line.facts["source"], line.facts["victim"], line.name.full) for line in lines]
    counts = Counter(seen)
    distinct = []
    for line, key in zip(lines, seen, strict=True):
        compute = ", ".join(f"{name} {line.facts[name]}" for name in _COMPUTE)
        settings = "; ".join(filter(None, (str(line.facts["overrides"]), compute)))
        name = replace(line.name, settings=settings)
        distinct.append(replace(line, name=name) if counts[key] > 1 else line)
    return distinct


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
