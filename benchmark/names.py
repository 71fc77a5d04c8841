"""What people type and read: names looked up or suggested, durations. Imports no torch."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from hashattack.datasets.errors import UserError

T = TypeVar("T")
_LISTED = 40  # names a message lists at most
REFERENCE = "reference"  # the budget class of what is no attack, like the unchanged query
WITH_LABELS = "+labels"  # ends the budget class of attacks that see the queries' own labels
_BUDGETS = {REFERENCE: "no attack", "unbounded": "no budget", "code": "codes only (a bound)"}
_HINTS = {"attack": " (--plugin FILE adds the attacks of a file)"}


class UnknownNameError(UserError):
    """A name that is not registered, with the nearest ones that are."""


def nearest(name: str, known: Iterable[str], most: int = _LISTED) -> str:
    """Return ``; did you mean …?`` for a mistyped name, or a list of ``most`` that there are."""
    names = sorted(known)
    lower = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{lower[close[0]]}'?"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"; there is {', '.join(names[:most])}{more}"


def lookup(kind: str, name: str, known: Mapping[str, T]) -> T:
    """Return ``known[name]``.

    Raises:
        UnknownNameError: with the nearest right name.
    """
    if name not in known:
        hint = _HINTS.get(kind, "")
        raise UnknownNameError(f"unknown {kind} '{name}'{nearest(name, known)}{hint}")
    return known[name]


def span(seconds: float) -> str:
    """Return a duration as a person says it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, like ``1 job``, ``2 queries`` or ``3 passes``."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}{'e' * noun.endswith('s')}s"
    return f"{number} {noun if number == 1 else plural}"


def budget_text(budget_class: str) -> str:
    """Return what readers are shown of the column ``budget_class``, like ``L∞ ≤ 8/255``."""
    budget = budget_class.removesuffix(WITH_LABELS)
    text = _BUDGETS.get(budget, f"L∞ ≤ {budget}")
    return text if budget == budget_class else f"{text}, sees the queries' labels"


def first_line(thing: Any) -> str:
    """Return the first docstring line, the help of everything listed."""
    return (inspect.getdoc(thing) or "").split("\n")[0].replace("``", "")
