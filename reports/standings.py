"""Ranks, shared where a test cannot tell neighbours apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hashattack.benchmark.statistics import LEVEL
from hashattack.reports.uncertainty import Judge


@dataclass(frozen=True)
class Standing:
    """A place in a ranking; ``tied`` with a neighbour where no test tells them apart."""

    rank: int
    tied: bool

    def __str__(self) -> str:
        """Return it as tables show it: ``2``, or ``2=`` where it is shared."""
        return f"{self.rank}{'=' if self.tied else ''}"


def standings(scores: Sequence[tuple[str, ...]], judge: Judge) -> list[Standing]:
    """Return the standing of each attack of a ranking, best first.

    An attack shares the rank of the one above it where a paired permutation test does not tell it
    (p > .05) from the first that has this rank; so no rank spans a difference that a test finds.

    Args:
        scores: each attack's score jobs; all are on the same queries.
        judge: tests them.
    """
    ranks: list[int] = []
    for place, own in enumerate(scores, start=1):
        first = scores[ranks[-1] - 1] if ranks else own
        same = bool(ranks) and judge.p_value(first, own) > 1 - LEVEL
        ranks.append(ranks[-1] if same else place)
    return [Standing(rank, ranks.count(rank) > 1) for rank in ranks]
