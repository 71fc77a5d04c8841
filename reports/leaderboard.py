"""The leaderboard as data: attacks ranked by mean t-MAP within their budget class.

Rows are compared at equal budget only: an attack that declares none stands apart, with its
measured one, and a code that queries the database itself is an upper bound, not an attack.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from hashattack.reports.names import Names
from hashattack.reports.standings import Standing, standings
from hashattack.reports.uncertainty import Judge

_CLASS_ORDER = {"reference": 0, "unbounded": 2, "code": 3}  # declared budgets stand between
_CLASS_TITLES = {"reference": "no attack", "unbounded": "none declared", "code": "code only"}


_PLACE = ["source", "target_seed", "draw_seed"]
Place = tuple[str, int, int]  # source, target seed, draw seed: where two attacks are paired


@dataclass(frozen=True)
class Line:
    """One attack (with its settings) on every target of a board.

    Averages over targets are None unless every target has a result: they would be of others.
    """

    id: str
    attack: str
    settings: str
    t_map: dict[str, float]  # by target, mean over seeds; targets without a result are absent
    mean: float | None
    note: str = ""
    over_original: float | None = None  # mean t-MAP minus Original's on the same targets
    gain: float | None = None  # that, as a share of Prototype code's
    map: float | None = None
    perceptibility: float | None = None
    linf: float | None = None
    passes: float | None = None  # forward passes of the hasher an image, as declared
    seconds_per_image: float | None = None
    fit_seconds: float | None = None  # training before the first query; None for what learns none
    cheaper_from: int | None = None  # queries from which that is cheaper than DHTA's on the same
    interval: tuple[float, float] | None = None  # of the mean
    standing: Standing | None = None
    scores: Mapping[Place, Sequence[str]] = field(default_factory=dict)  # the jobs behind it all

    @property
    def jobs(self) -> tuple[str, ...]:
        """The score jobs behind the mean."""
        return tuple(job for listed in self.scores.values() for job in listed)


@dataclass(frozen=True)
class Group:
    """The lines of one budget class."""

    title: str
    ranked: bool
    lines: Sequence[Line]


@dataclass(frozen=True)
class Board:
    """A leaderboard: everything measured on the same queries and target labels."""

    dataset: str
    protocol: str
    policy: str
    targets: Sequence[str]
    n_queries: int
    seeds: int
    shared: str  # hyper-parameters the suite sets for every attack that has them
    groups: Sequence[Group]
    problems: Sequence[str]  # failed, invalid and skipped cells with their reasons


def leaderboards(results: pd.DataFrame, judge: Judge) -> list[Board]:
    """Return a board for all that were tried on the same queries and target labels, white-box.

    Args:
        results: rows of ``results.csv``.
        judge: says how sure means are, and which ranks are shared.
    """
    names = Names(results)
    white = results[results["source"] == results["victim"]].copy()
    for name in ("overrides", "variant"):
        white[name] = white[name].fillna("")
    trials = ["dataset", "dataset_fingerprint", "n_queries", "protocol", "policy"]
    groups = white.groupby(trials, sort=False, dropna=False)
    return [_board(part, names, judge) for _, part in groups]


def _board(part: pd.DataFrame, names: Names, judge: Judge) -> Board:
    targets = list(dict.fromkeys(part["source"]))
    good = part[part["status"] == "ok"]
    means = good.groupby(["attack", "overrides", "source"])["t_map"].mean()
    baseline = {name: _by_target(means, name) for name in ("original", "prototype-code")}
    # The suite's first DHTA is what a generator's training must pay off against.
    dhta = good[good["attack"] == "dhta"]
    dhta = dhta[dhta["overrides"] == dhta["overrides"].iloc[0]] if len(dhta) else dhta
    lines: dict[str, list[Line]] = {}
    for (attack, _), rows in part.groupby(["attack", "overrides"], sort=False):
        line = _line(rows, names, targets, baseline["original"], baseline["prototype-code"], dhta)
        if line.mean is not None:
            line = replace(line, interval=judge.interval(line.jobs))
        kind = str(rows["budget_class"].iloc[0])
        lines.setdefault(kind, []).append(line)
        if attack == "original" and len(good):
            lines[kind].insert(0, _chance(good, targets))
    return Board(
        dataset=str(part["dataset"].iloc[0]),
        protocol=str(part["protocol"].iloc[0]),
        policy=str(part["policy"].iloc[0]),
        targets=targets,
        n_queries=int(part["n_queries"].max()),
        seeds=len(part[["target_seed", "draw_seed", "attack_seed"]].drop_duplicates()),
        shared=names.common(part),
        groups=[
            _group(kind, lines[kind], judge)
            for kind in sorted(lines, key=lambda kind: (_CLASS_ORDER.get(kind, 1), kind))
        ],
        problems=_problems(part, names),
    )


def _by_target(means: pd.Series[float], attack: str) -> dict[str, float]:
    names = means.index.get_level_values("attack") == attack
    return {str(key[-1]): float(value) for key, value in means[names].items()}  # type: ignore[index]


def _line(
    rows: pd.DataFrame,
    names: Names,
    targets: Sequence[str],
    original: dict[str, float],
    prototype: dict[str, float],
    dhta: pd.DataFrame,
) -> Line:
    good = rows[rows["status"] == "ok"]
    t_map = {str(name): float(v) for name, v in good.groupby("source")["t_map"].mean().items()}
    name = names.of(rows.iloc[0].to_dict())
    scores: dict[Place, list[str]] = {}
    for source, target, draw, key in good[[*_PLACE, "job_key"]].itertuples(index=False, name=None):
        scores.setdefault((str(source), int(target), int(draw)), []).append(str(key))
    line = Line(
        id=str(rows["attack"].iloc[0]),
        attack=name.title,
        settings=name.settings,
        t_map=t_map,
        mean=None,
        note=_note(rows, good, targets),
        scores=scores,
    )
    if len(t_map) < len(targets) or len(good) < len(rows):
        return line
    over = _difference(t_map, original)
    room = _difference(prototype, original) if set(prototype) == set(t_map) else None
    return replace(
        line,
        mean=_mean(list(t_map.values())),
        over_original=over,
        gain=over / room if over is not None and room else None,
        map=_column(good, "map"),
        perceptibility=_column(good, "perceptibility"),
        linf=None if good["linf"].isna().all() else float(good["linf"].max()),
        passes=_column(good, "passes_per_image"),
        seconds_per_image=_column(good, "seconds_per_image"),
        fit_seconds=_column(good, "fit_seconds") or None,
        cheaper_from=_cheaper_from(good, dhta),
    )


def _note(rows: pd.DataFrame, good: pd.DataFrame, targets: Sequence[str]) -> str:
    """Return why a line has no average and no rank, if so."""
    tried, broken = rows["source"].nunique(), len(rows) - len(good)
    parts = [f"on {tried} of {len(targets)} targets"] if tried < len(targets) else []
    parts += [f"{broken} of {len(rows)} cells without a result"] if broken else []
    return ", ".join(parts)


def _difference(t_map: Mapping[str, float], original: Mapping[str, float]) -> float | None:
    """Return the mean over targets of what is above Original; None where one has none."""
    if not set(t_map) <= set(original):
        return None
    return _mean([t_map[name] - original[name] for name in t_map])


def _cheaper_from(rows: pd.DataFrame, dhta: pd.DataFrame) -> int | None:
    """Return fit / (DHTA's seconds an image − own), rounded up, over the targets both have."""
    own = rows.groupby("source")[["fit_seconds", "seconds_per_image"]].mean().dropna()
    other = dhta.groupby("source")["seconds_per_image"].mean()
    shared = own.index.intersection(other.index)
    fit = float(own.loc[shared, "fit_seconds"].sum())
    saved = float((other[shared] - own.loc[shared, "seconds_per_image"]).sum())
    return math.ceil(fit / saved) if fit > 0 and saved > 0 else None


def _chance(good: pd.DataFrame, targets: Sequence[str]) -> Line:
    original = good[good["attack"] == "original"]
    chance = original.groupby("source")["chance"].mean()
    t_map = {str(name): float(value) for name, value in chance.items()}
    whole = set(t_map) == set(targets)
    return Line(
        id="",
        attack="Chance",
        settings="",
        t_map=t_map,
        mean=_mean(list(t_map.values())) if whole else None,
        map=_column(original, "chance_map") if whole else None,
    )


def _group(kind: str, lines: Sequence[Line], judge: Judge) -> Group:
    if kind == "reference":
        return Group(_CLASS_TITLES[kind], ranked=False, lines=lines)
    complete = sorted(
        (line for line in lines if line.mean is not None), key=lambda line: -(line.mean or 0)
    )
    partial = [line for line in lines if line.mean is None]
    found = zip(complete, standings([line.jobs for line in complete], judge), strict=True)
    ranked = [replace(line, standing=standing) for line, standing in found]
    return Group(_CLASS_TITLES.get(kind, kind), ranked=True, lines=[*ranked, *partial])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _column(rows: pd.DataFrame, name: str) -> float | None:
    values = rows[name].dropna()
    return float(values.mean()) if len(values) else None


def _problems(part: pd.DataFrame, names: Names) -> list[str]:
    """Return one text a reason, with the cells it cost."""
    bad = part[part["status"] != "ok"].copy()
    bad["name"] = [names.of(row).title for row in bad.to_dict("records")]
    texts = []
    for (status, reason), rows in bad.groupby(["status", "reason"], sort=False):
        cells = sorted(set(rows["name"] + " on " + rows["source"]))
        shown = ", ".join(cells[:3]) + (f" and {len(cells) - 3} more" if len(cells) > 3 else "")
        texts.append(f"{status}: {shown}: {reason}")
    return texts
