"""Ranks, shared where a test cannot tell neighbours apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchmark.statistics import LEVEL, holm
from reports.uncertainty import Uncertainty


@dataclass(frozen=True)
class Standing:
    """A place in a ranking; ``tied`` with a neighbour where no test tells them apart."""

    rank: int
    tied: bool


def standings(scores: Sequence[tuple[str, ...]], uncertainty: Uncertainty) -> list[Standing]:
    """Return the standing of each attack of a ranking, best first.

    Neighbours whose paired permutation test has p > .05, by Holm over the pairs of neighbours,
    share the rank of the first of them.

    Args:
        scores: each attack's score jobs; all are on the same queries.
        uncertainty: tests them.
    """
    p_values = [uncertainty.p_value(one, other) for one, other in pairwise(scores)]
    ties = [value > 1 - LEVEL for value in holm(p_values)]
    found: list[Standing] = []
    for place in range(len(scores)):
        before = place > 0 and ties[place - 1]
        after = place < len(ties) and ties[place]
        rank = found[-1].rank if before else place + 1
        found.append(Standing(rank, before or after))
    return found
