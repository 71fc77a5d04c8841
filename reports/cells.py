"""The cells of the page: one an attack, source and victim, its seeds together, with its standing.

Within a target and a budget class, attacks are ranked by t-MAP.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from hashattack.reports.names import Names
from hashattack.reports.runs import Runs
from hashattack.reports.standings import Standing, standings
from hashattack.reports.uncertainty import Uncertainty

_KEYS = [  # a line: everything but the seeds
    *(
        "dataset",
        "dataset_fingerprint",
        "protocol",
        "policy",
        "source",
        "victim",
        "attack",
        "variant",
    ),
    *("overrides", "budget_class", "n_queries", "batch", "threads", "dtype", "precision"),
    "compiled",
]
_COMPUTE = ("batch", "threads", "dtype", "precision", "compiled")
_UNRANKED = "reference"


@dataclass(frozen=True)
class CellLine:
    """A cell, means over its seeds; fractions as in ``results.csv``."""

    dataset: str
    protocol: str
    policy: str
    method: str
    backbone: str
    bits: int
    source: str
    victim: str
    attack: str
    id: str
    settings: str
    overrides: str
    budget: str
    status: str
    reason: str
    seeds: int
    queries: int
    fingerprint: str
    compute: str  # batch, threads, dtype, precision, compiled
    values: dict[str, float] = field(default_factory=dict)  # by column of results.csv
    interval: tuple[float, float] | None = None
    original: float | None = None
    seed_range: tuple[float, float] | None = None
    standing: Standing | None = None
    scores: tuple[str, ...] = ()

    @property
    def white_box(self) -> bool:
        """Whether the hasher that is queried is the one that was attacked."""
        return self.source == self.victim

    @property
    def over_original(self) -> float | None:
        """t-MAP minus that of the unchanged queries on the same victim."""
        if self.original is None or "t_map" not in self.values:
            return None
        return self.values["t_map"] - self.original


FIELDS = (  # of results.csv, whose means stand on the page
    *("t_map", "chance", "t_map_8bit", "map", "perceptibility", "linf"),
    *("passes_per_image", "seconds_per_image", "fit_seconds"),
)


def cell_lines(runs: Runs, uncertainty: Uncertainty) -> list[CellLine]:
    """Return every cell of the runs, those that failed, are invalid or missing among them."""
    rows = pd.concat([runs.results, runs.missing], ignore_index=True)
    for name in ("variant", "overrides"):
        rows[name] = rows[name].fillna("")
    names = Names(rows)
    groups = rows.groupby(_KEYS, sort=False, dropna=False)
    lines = [_line(part, names, uncertainty) for _, part in groups]
    return list(_ranked(_with_original(_told_apart(lines)), uncertainty))


def _line(part: pd.DataFrame, names: Names, uncertainty: Uncertainty) -> CellLine:
    name = names.of(part.iloc[0].to_dict())
    first, good = part.iloc[0], part[part["status"] == "ok"]
    bad = part[part["status"] != "ok"]
    values = {name: float(good[name].mean()) for name in FIELDS if good[name].notna().any()}
    if "linf" in values:
        values["linf"] = float(good["linf"].max())
    several = len(good) > 1
    scores = tuple(good["job_key"])
    return CellLine(
        dataset=str(first["dataset"]),
        protocol=str(first["protocol"]),
        policy=str(first["policy"]),
        method=str(first["source_method"]),
        backbone=str(first["source_backbone"]),
        bits=int(first["source_bits"]),
        source=str(first["source"]),
        victim=str(first["victim"]),
        attack=name.title,
        id=str(first["attack"]),
        settings=name.settings,
        overrides=str(first["overrides"]),
        budget=str(first["budget_class"]),
        status="ok" if not len(bad) else str(bad["status"].iloc[0]),
        reason="; ".join(dict.fromkeys(str(reason) for reason in bad["reason"])),
        seeds=len(good),
        queries=int(part["n_queries"].iloc[0]),
        fingerprint=str(first["dataset_fingerprint"]),
        compute=", ".join(f"{name} {first[name]}" for name in _COMPUTE),
        values=values,
        interval=uncertainty.interval(scores) if scores else None,
        seed_range=(float(good["t_map"].min()), float(good["t_map"].max())) if several else None,
        scores=scores,
    )


def _trials(line: CellLine) -> tuple[str, ...]:
    """Return what two lines have in common when they are of the same queries and targets."""
    data = (line.dataset, line.fingerprint, str(line.queries))
    return (*data, line.protocol, line.policy)


def _told_apart(lines: Sequence[CellLine]) -> Iterator[CellLine]:
    """Yield the lines; where two would look the same, with all that differs from the protocol."""
    names = [
        (*_trials(line), line.source, line.victim, line.attack, line.settings) for line in lines
    ]
    counts = Counter(names)
    for line, name in zip(lines, names, strict=True):
        if counts[name] > 1:
            settings = "; ".join(filter(None, (line.overrides, line.compute)))
            yield replace(line, settings=settings)
        else:
            yield line


def _with_original(found: Iterator[CellLine]) -> Iterator[CellLine]:
    lines = list(found)
    known = {
        (*_trials(line), line.victim): line.values["t_map"]
        for line in lines
        if line.id == "original" and line.white_box and "t_map" in line.values
    }
    for line in lines:
        yield replace(line, original=known.get((*_trials(line), line.victim)))


def _ranked(lines: Iterator[CellLine], uncertainty: Uncertainty) -> Iterator[CellLine]:
    """Yield the lines, white-box ones ranked within their class."""
    groups: dict[tuple[str, ...], list[CellLine]] = {}
    for line in lines:
        beside = (*_trials(line), line.source, line.victim, line.budget)
        groups.setdefault(beside, []).append(line)
    for group in groups.values():
        if group[0].budget == _UNRANKED or not group[0].white_box:
            yield from group
            continue
        complete = [line for line in group if line.status == "ok"]
        ordered = sorted(complete, key=lambda line: -line.values["t_map"])
        found = standings([line.scores for line in ordered], uncertainty)
        for line, standing in zip(ordered, found, strict=True):
            yield replace(line, standing=standing)
        yield from (line for line in group if line.status != "ok")
