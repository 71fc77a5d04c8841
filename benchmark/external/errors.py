"""The error of everything that comes from outside. Imports no torch."""

from __future__ import annotations

from hashattack.datasets.errors import UserError


class OutsideError(UserError):
    """Trials, images or codes that do not fit; the text names every fault and the remedy."""
