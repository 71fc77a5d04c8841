"""The one base of all errors that a person can act on."""

from __future__ import annotations


class UserError(Exception):
    """An error whose text names the place and the remedy; shown without a traceback."""
