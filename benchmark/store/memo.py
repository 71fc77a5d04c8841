"""Values that are kept until the program changes, so that they are not computed again. No torch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hashattack.benchmark.provenance import program_digest
from hashattack.benchmark.store.files import read_json, write_json
from hashattack.benchmark.store.keys import digest

logger = logging.getLogger(__name__)


class Memo:
    """Values in a JSON file that hold while this program, and what else is named, is the same.

    Args:
        path: the file; where it cannot be written, nothing is kept.
        names: what the values depend on beside the program, JSON-able.
    """

    def __init__(self, path: Path, *names: Any) -> None:
        self._path, self._key = path, digest([program_digest(), *names])

    def read(self) -> dict[str, Any]:
        """Return the values by name; empty where there are none that still hold."""
        known = read_json(self._path) or {}
        return dict(known["values"]) if known.get("key") == self._key else {}

    def write(self, values: Mapping[str, Any]) -> None:
        """Replace the values, JSON-able."""
        try:
            write_json(self._path, {"key": self._key, "values": dict(values)}, ordered=True)
        except OSError as error:
            logger.debug("%s is not kept: %s", self._path, error)
