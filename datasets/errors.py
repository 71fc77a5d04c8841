"""The one base of all errors that a person can act on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class UserError(Exception):
    """An error whose text names the place and the remedy; shown without a traceback.

    ``data`` is what was measured until then and is kept with the failed job.
    """

    def __init__(self, text: str, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(text)
        self.data = dict(data or {})
