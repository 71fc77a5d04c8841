"""The leaderboard as data: attacks ranked by mean t-MAP within their budget class.

Rows are compared at equal budget only: an attack that declares none stands apart, with its
measured one, and a code that queries the database itself is an upper bound, not an attack.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

_CLASS_ORDER = {"reference": 0, "unbounded": 2, "code": 3}  # declared budgets stand between
_CLASS_TITLES = {
    "reference": "no attack",
    "unbounded": "none declared",
    "code": "code only",
}


@dataclass(frozen=True)
class Line:
    """One attack (with its settings) on every target of a board."""

    attack: str
    settings: str
    t_map: dict[str, float]  # by target, mean over seeds; targets without a result are absent
    mean: float | None  # over the targets; None unless every one has a result
    over_original: float | None  # mean t-MAP minus Original's on the same targets
    gain: float | None  # that, as a share of Prototype code's
    map: float | None
    perceptibility: float | None
    linf: float | None
    seconds_per_image: float | None
    fit_seconds: float | None  # training before the first query; None for what learns nothing
    cheaper_from: int | None  # queries from which that is cheaper than DHTA on the same targets
    note: str
    rank: int | None
    scores: tuple[str, ...] = ()  # the jobs behind the mean, where every target has a result


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


def leaderboards(results: pd.DataFrame) -> list[Board]:
    """Return a board for all that were tried on the same queries and target labels, white-box."""
    white = results[results["source"] == results["victim"]].copy()
    white["base"] = white["protocol"].str.removesuffix("+overrides")
    for name in ("overrides", "variant"):
        white[name] = white[name].fillna("")
    trials = ["dataset", "dataset_fingerprint", "n_queries", "base", "policy"]
    return [
        _board(part, *(str(name) for name in names))
        for _, part in white.groupby(trials, sort=False, dropna=False)
        for names in [part[["dataset", "base", "policy"]].iloc[0]]
    ]


def _board(part: pd.DataFrame, dataset: str, protocol: str, policy: str) -> Board:
    targets = list(dict.fromkeys(part["source"]))
    good = part[part["status"] == "ok"]
    means = good.groupby(["attack", "overrides", "source"])["t_map"].mean()
    baseline = {name: _by_target(means, name) for name in ("original", "prototype-code")}
    # The suite's first DHTA is what a generator's training must pay off against.
    dhta = good[good["attack"] == "dhta"]
    dhta = dhta[dhta["overrides"] == dhta["overrides"].iloc[0]] if len(dhta) else dhta
    lines: dict[str, list[Line]] = {}
    for (attack, _), rows in part.groupby(["attack", "overrides"], sort=False):
        line = _line(rows, targets, baseline["original"], baseline["prototype-code"], dhta)
        kind = str(rows["budget_class"].iloc[0])
        lines.setdefault(kind, []).append(line)
        if attack == "original" and len(good):
            lines[kind].insert(0, _chance(good, targets))
    return Board(
        dataset=dataset,
        protocol=protocol,
        policy=policy,
        targets=targets,
        n_queries=int(part["n_queries"].max()),
        seeds=len(part[["target_seed", "draw_seed", "attack_seed"]].drop_duplicates()),
        shared=_shared(part),
        groups=[
            _group(kind, lines[kind])
            for kind in sorted(lines, key=lambda kind: (_CLASS_ORDER.get(kind, 1), kind))
        ],
        problems=_problems(part),
    )


def _shared(part: pd.DataFrame) -> str:
    """Return what is overridden beyond each row's own variant."""
    texts: dict[str, None] = {}
    for overrides, variant in zip(part["overrides"], part["variant"], strict=True):
        own = set(variant.split(", "))
        texts |= dict.fromkeys(text for text in overrides.split(", ") if text not in own)
    return ", ".join(text for text in texts if text)


def _by_target(means: pd.Series[float], attack: str) -> dict[str, float]:
    names = means.index.get_level_values("attack") == attack
    return {str(key[-1]): float(value) for key, value in means[names].items()}  # type: ignore[index]


def _line(
    rows: pd.DataFrame,
    targets: Sequence[str],
    original: dict[str, float],
    prototype: dict[str, float],
    dhta: pd.DataFrame,
) -> Line:
    good = rows[rows["status"] == "ok"]
    t_map = {str(name): float(v) for name, v in good.groupby("source")["t_map"].mean().items()}
    broken = len(rows) - len(good)
    whole = set(t_map) == set(targets) and not broken
    shared = [name for name in t_map if name in original]
    over = _mean([t_map[name] - original[name] for name in shared])
    room = _mean([prototype[name] - original[name] for name in shared if name in prototype])
    return Line(
        attack=str(rows["title"].iloc[0]),
        settings=str(rows["variant"].iloc[0]),
        t_map=t_map,
        mean=_mean(list(t_map.values())) if whole else None,
        over_original=over,
        gain=over / room if over is not None and room else None,
        map=_column(good, "map"),
        perceptibility=_column(good, "perceptibility"),
        linf=None if good["linf"].isna().all() else float(good["linf"].max()),
        seconds_per_image=_column(good, "seconds_per_image"),
        fit_seconds=_column(good, "fit_seconds") or None,
        cheaper_from=_cheaper_from(good, dhta),
        note=f"{broken} of {len(rows)} cells without a result" if broken else "",
        rank=None,
        scores=tuple(good["job_key"]) if whole else (),
    )


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
        attack="Chance",
        settings="",
        t_map=t_map,
        mean=_mean(list(t_map.values())) if whole else None,
        over_original=None,
        gain=None,
        map=_column(original, "chance_map"),
        perceptibility=None,
        linf=None,
        seconds_per_image=None,
        fit_seconds=None,
        cheaper_from=None,
        note="",
        rank=None,
    )


def _group(kind: str, lines: Sequence[Line]) -> Group:
    if kind == "reference":
        return Group(_CLASS_TITLES[kind], ranked=False, lines=lines)
    complete = sorted(
        (line for line in lines if line.mean is not None), key=lambda line: -(line.mean or 0)
    )
    partial = [line for line in lines if line.mean is None]
    ranked = [replace(line, rank=number) for number, line in enumerate(complete, start=1)]
    return Group(_CLASS_TITLES.get(kind, kind), ranked=True, lines=[*ranked, *partial])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _column(rows: pd.DataFrame, name: str) -> float | None:
    values = rows[name].dropna()
    return float(values.mean()) if len(values) else None


def _problems(part: pd.DataFrame) -> list[str]:
    """Return one text a reason, with the cells it cost."""
    bad = part[part["status"] != "ok"]
    texts = []
    for (status, reason), rows in bad.groupby(["status", "reason"], sort=False):
        cells = sorted(set(rows["title"] + " on " + rows["source"]))
        shown = ", ".join(cells[:3]) + (f" and {len(cells) - 3} more" if len(cells) > 3 else "")
        texts.append(f"{status}: {shown}: {reason}")
    return texts
