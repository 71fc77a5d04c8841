"""The leaderboard as data: attacks ranked by their mean score within their budget class.

Targeted attacks are ranked by t-MAP, non-targeted ones on a board of their own by MAP, lower first.

Rows are compared at equal budget only: an attack that declares none is ranked apart, with its
measured one, and a code that queries the database itself is a bound, not an attack.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from hashattack.benchmark.columns import COLUMNS, Column
from hashattack.benchmark.names import REFERENCE, WITH_LABELS, budget_text, counted
from hashattack.benchmark.statistics import Estimate
from hashattack.reports.captions import chance_text, labels_text, protocol_text, score_text
from hashattack.reports.lines import (
    TRIAL,
    Line,
    Row,
    average,
    grouped,
    levels_of,
    line_of,
    metric_of,
    ranked,
    records,
    shares_draw,
    white_box,
)
from hashattack.reports.names import Name, Names
from hashattack.reports.uncertainty import Uncertainty

_CLASS_ORDER = {REFERENCE: 0, "unbounded": 2, "code": 3}  # declared budgets come between


@dataclass(frozen=True)
class Group:
    """The lines of one budget class.

    Attributes:
        kind: the class as in the results, like ``8/255`` or ``unbounded``.
        title: what tables call it.
        ranked: whether its lines compete.
        lines: the ranked ones first.
    """

    kind: str
    title: str
    ranked: bool
    lines: Sequence[Line]

    @property
    def budget(self) -> str:
        """Its budget, whether its attacks see the queries' labels or not."""
        return self.kind.removesuffix(WITH_LABELS)

    @property
    def epsilon(self) -> float | None:
        """The declared budget in grey levels; None where there is none."""
        levels, _, whole = self.budget.partition("/")
        return float(levels) if whole else None

    @property
    def where(self) -> str:
        """How a sentence about it begins."""
        who = "" if self.budget == self.kind else ", of attacks that see the queries' labels"
        return f"At {budget_text(self.budget)}{who}"

    @property
    def place(self) -> tuple[float, float, bool]:
        """What groups are ordered by."""
        return _CLASS_ORDER.get(self.budget, 1), self.epsilon or 0, self.budget != self.kind


@dataclass(frozen=True)
class Board:
    """A leaderboard: everything measured on the same queries and target labels."""

    dataset: str
    protocol: str
    policy: str
    labels: str  # that scores are for, with what is known of their draws
    chance: str  # the score of equal codes in percent, "" where it is not known
    metric: Column  # the score
    score: str  # what it is called, like t-MAP or MAP@5000
    targets: Mapping[str, tuple[str, str]]  # method and backbone, and code length, by name
    n_queries: int
    seeds: int
    shared: str  # hyper-parameters the suite sets for every attack that has them
    standard: str  # the attack that training costs are compared with, "" where there is none
    groups: Sequence[Group]
    problems: Sequence[str]  # failed, invalid and skipped cells with their reasons

    @property
    def lines(self) -> list[Line]:
        """The lines of all groups."""
        return [line for group in self.groups for line in group.lines]

    @property
    def ranking(self) -> str:
        """How its attacks are ranked."""
        if self.policy == "as-published":
            return (
                "Attacks are not ranked, because each has target labels of its own: compare them "
                "with published numbers only."
            )
        tied = any(line.rank and line.rank.tied for line in self.lines)
        what = " (=: not significantly different from the best of this rank)" if tied else ""
        return f"Attacks are ranked within their budget{what}."


def leaderboards(results: pd.DataFrame, names: Names, uncertainty: Uncertainty) -> list[Board]:
    """Return a board for all that were tried on the same queries and target labels, white-box.

    Args:
        results: rows of ``results.csv``.
        names: of the report's attacks.
        uncertainty: of the runs; it gives intervals and ranks.
    """
    trials = grouped(filter(white_box, records(results)), *TRIAL)
    return [_board(rows, names, uncertainty) for rows in trials.values()]


def _board(rows: Sequence[Row], names: Names, uncertainty: Uncertainty) -> Board:
    first = rows[0]
    targets = {
        str(row["source"]): (f"{row['source_method']}-{row['source_backbone']}", row["source_bits"])
        for row in rows
    }
    good = [row for row in rows if row["status"] == "ok"]
    standard = [row for row in good if row["role"] == "standard"]
    # Of several settings the suite's first.
    standard = [row for row in standard if row["overrides"] == standard[0]["overrides"]]
    levels = levels_of(rows)
    lines: dict[str, list[Line]] = {}
    for own in grouped(rows, "attack", "overrides").values():
        line = _complete(line_of(own, names, levels), own, len(targets), standard)
        if line.jobs:
            line = replace(line, interval=uncertainty.interval(line.jobs))
        group = lines.setdefault(str(line.facts["budget_class"]), [])
        if line.facts["role"] == "no-attack" and line.by_victim and shares_draw(first):
            group.append(_chance(own, line, len(targets)))
        group.append(line)
    return Board(
        dataset=str(first["dataset"]),
        protocol=protocol_text(rows),
        policy=str(first["policy"]),
        labels=labels_text(rows),
        chance=chance_text(rows),
        metric=metric_of(first),
        score=score_text(first),
        targets={name: (hasher, str(bits)) for name, (hasher, bits) in targets.items()},
        n_queries=int(first["n_queries"]),
        seeds=len(grouped(rows, "target_seed", "draw_seed", "attack_seed")),
        shared=names.common(rows),
        standard=names.of(standard[0]).title if standard else "",
        groups=sorted(
            (_group(kind, own, uncertainty) for kind, own in lines.items()),
            key=lambda group: group.place,
        ),
        problems=_problems(rows, names),
    )


def _complete(line: Line, rows: Sequence[Row], n_targets: int, standard: Sequence[Row]) -> Line:
    """Return a line with its training cost; its means are partial where a result is missing.

    Means over fewer hashers cannot be compared with those of other lines.
    """
    tried, broken = len(grouped(rows, "source")), sum(row["status"] != "ok" for row in rows)
    parts = [f"on {tried} of {counted(n_targets, 'hasher')}"] if tried < n_targets else []
    parts += [f"{broken} of {counted(len(rows), 'cell')} without a result"] if broken else []
    if parts:
        note = ", ".join(parts)
        return replace(line, values={}, partial=line.values, status="incomplete", note=note)
    queries = _faster_from(rows, standard)
    more = {} if queries is None else {"faster_from": float(queries)}
    return replace(line, values={**line.values, **more})


def _faster_from(rows: Sequence[Row], standard: Sequence[Row]) -> int | None:
    """Return training seconds / (the standard attack's seconds per image − own), rounded up."""
    training = average(rows, COLUMNS["fit_seconds"], "source")
    own, other = (
        average(side, COLUMNS["seconds_per_image"], "source") for side in (rows, standard)
    )
    shared = [name for name in training if name in own and name in other]
    fit = sum(training[name] for name in shared)
    saved = sum(other[name] - own[name] for name in shared)
    return math.ceil(fit / saved) if fit > 0 and saved > 0 else None


def _chance(rows: Sequence[Row], line: Line, n_targets: int) -> Line:
    """Return the line of chance, the scores of equal codes, beside that of no attack."""
    ranking = [column for column in COLUMNS.values() if column.ranks]
    means = {column.name: average(rows, COLUMNS[column.chance], "source") for column in ranking}
    values = {name: sum(found.values()) / len(found) for name, found in means.items() if found}
    by_victim = means[line.metric.name]
    return Line(
        name=Name("Chance", "", "Chance"),
        facts={**line.facts, "attack": "", "role": ""},
        by_victim=by_victim,
        values=values if len(by_victim) == n_targets else {},
    )


def _group(kind: str, lines: Sequence[Line], uncertainty: Uncertainty) -> Group:
    title = budget_text(kind)
    if kind == REFERENCE or not shares_draw(lines[0].facts):
        return Group(kind, title, ranked=False, lines=lines)
    return Group(kind, title, ranked=True, lines=ranked(lines, uncertainty))


def _problems(rows: Sequence[Row], names: Names) -> list[str]:
    """Return one text a reason, with the cells it cost."""
    texts = []
    bad = grouped((row for row in rows if row["status"] != "ok"), "status", "reason")
    for (status, reason), cost in bad.items():
        cells = sorted({f"{names.of(row).title} on {row['source']}" for row in cost})
        more = f" and {len(cells) - 3} more" if len(cells) > 3 else ""
        texts.append(f"{status}: {', '.join(cells[:3])}{more}: {reason}")
    return texts


@dataclass(frozen=True)
class Rival:
    """An attack compared with a reference, on the trials that both have.

    Attributes:
        line: its line of the board.
        budget: its budget class.
        difference: its score minus the reference's.
        targets: on how many hashers both have a result.
    """

    line: Line
    budget: str
    difference: Estimate
    targets: int


@dataclass(frozen=True)
class Comparison:
    """A reference, and every other attack of its board that shares trials with it."""

    reference: Line
    budget: str
    rivals: Sequence[Rival]


def comparisons(board: Board, uncertainty: Uncertainty) -> list[Comparison]:
    """Return the comparisons of a board with the standard attack and the best of each class.

    The standard attack's is first; there is none where only one attack has results.
    """
    groups = [group for group in board.groups if group.ranked]
    lines = [(line, group.title) for group in groups for line in group.lines if line.scores]
    references = [(line, title) for line, title in lines if line.facts["role"] == "standard"][:1]
    best = [(group.lines[0], group.title) for group in groups if group.lines[0].rank]
    references += [pair for pair in best if all(pair[0] is not one for one, _ in references)]
    found = []
    for reference, budget in references:
        rivals = [
            rival
            for line, title in lines
            if line is not reference
            for rival in _rivals(line, title, reference, uncertainty)
        ]
        if rivals:
            found.append(Comparison(reference, budget, rivals))
    return found


def _rivals(line: Line, budget: str, reference: Line, uncertainty: Uncertainty) -> Iterator[Rival]:
    places = [place for place in line.scores if place in reference.scores]
    if places:
        ours, theirs = (
            tuple(job for place in places for job in side.scores[place])
            for side in (line, reference)
        )
        targets = len({source for source, *_ in places})
        yield Rival(line, budget, uncertainty.difference(ours, theirs), targets)
