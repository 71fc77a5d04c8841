"""Durations in words. Imports nothing."""

from __future__ import annotations


def span(seconds: float) -> str:
    """Return a duration as a person says it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
