"""The strip of the first screen: one query, and what it retrieves before and after an attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hashattack.benchmark.names import budget_text
from hashattack.reports.galleries import Gallery, Place, Query, place_of
from hashattack.reports.leaderboard import Board

_RESULTS = 6  # that are shown


@dataclass(frozen=True)
class Strip:
    """The one query of the first screen, chosen by rule: see :func:`best_places`."""

    gallery: Gallery
    query: Query

    @property
    def caption(self) -> str:
        """What is seen, and how it was chosen."""
        budget = budget_text(str(self.gallery.row["budget_class"]))
        return (
            f"{self.gallery.title}, {self.query.outcome}. The query is drawn by a seed, not by "
            f"success; the attack is ranked first of its budget ({budget})."
        )


def best_places(boards: Sequence[Board]) -> list[Place]:
    """Return the places of the attacks ranked first on the first board.

    In the order of the board: the lowest budget first; of an attack, the first hasher first.
    """
    return [
        place_of({**line.facts, "source": source})
        for board in boards[:1]
        for line in board.lines
        if line.rank is not None and line.rank.number == 1
        for source in board.targets
    ]


def strip_of(boards: Sequence[Board], shown: Sequence[Gallery]) -> Strip | None:
    """Return the first query of the first of the :func:`best_places` that has pictures, if any."""
    places = {gallery.place: gallery for gallery in reversed(shown)}
    for gallery in (places[place] for place in best_places(boards) if place in places):
        query = gallery.queries[0]
        before, after = query.before[:_RESULTS], query.after[:_RESULTS]
        return Strip(gallery, replace(query, before=before, after=after))
    return None
