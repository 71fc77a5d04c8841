"""By how much attacks differ: each of a board minus a reference, on the trials both have.

References are DHTA (the board's first) and the best of every budget class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hashattack.reports.leaderboard import Board, Line
from hashattack.reports.uncertainty import Difference, Judge

_USUAL = "dhta"  # what the field compares with


@dataclass(frozen=True)
class Rival:
    """An attack held against a reference.

    Attributes:
        line: its line of the board.
        budget: its budget class.
        difference: its t-MAP minus the reference's.
        targets: on how many targets both have a result.
    """

    line: Line
    budget: str
    difference: Difference
    targets: int


@dataclass(frozen=True)
class Against:
    """A reference, and every other attack of its board that shares trials with it."""

    reference: Line
    budget: str
    rivals: Sequence[Rival]


def compared(board: Board, judge: Judge) -> list[Against]:
    """Return the comparisons of a board, DHTA's first; none where only one attack has results."""
    lines = [
        (line, group.title)
        for group in board.groups
        if group.ranked
        for line in group.lines
        if line.scores
    ]
    found = []
    for reference in _references(board, [line for line, _ in lines]):
        budget = next(title for line, title in lines if line is reference)
        others = [(line, title) for line, title in lines if line is not reference]
        rivals = [rival for other in others for rival in _rivals(*other, reference, judge)]
        if rivals:
            found.append(Against(reference, budget, rivals))
    return found


def _references(board: Board, lines: Sequence[Line]) -> list[Line]:
    usual = [line for line in lines if line.id == _USUAL][:1]
    best = [group.lines[0] for group in board.groups if group.ranked and group.lines[0].standing]
    return [*usual, *(line for line in best if line not in usual)]


def _rivals(line: Line, budget: str, reference: Line, judge: Judge) -> Iterator[Rival]:
    places = [place for place in line.scores if place in reference.scores]
    if places:
        ours, theirs = (
            [job for place in places for job in side.scores[place]] for side in (line, reference)
        )
        targets = len({source for source, *_ in places})
        yield Rival(line, budget, judge.difference(ours, theirs), targets)
