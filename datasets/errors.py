"""The base class of all errors that a user can act on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class UserError(Exception):
    """An error whose text names the place and the remedy; shown without a traceback.

    ``data`` holds what was measured before the error; it is stored with the failed job.
    """

    def __init__(self, text: str, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(text)
        self.data = dict(data or {})
