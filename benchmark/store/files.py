"""Files of bytes and JSON, hashes, links; memos of computed values. Imports no torch."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hashattack.benchmark.provenance import program_digest
from hashattack.benchmark.store.keys import digest
from hashattack.datasets.files import read_checked, replacing, write_checked

logger = logging.getLogger(__name__)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    with replacing(path) as file:
        file.write(content)


def write_json(path: Path, value: Any) -> None:
    """Write JSON for other programs atomically, with sorted names; NaN is refused."""
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False)
    write_bytes(path, text.encode())


def link_or_copy(file: Path, to: Path) -> None:
    """Link a file, or copy it where that cannot be; an existing one is replaced."""
    to.unlink(missing_ok=True)
    try:
        os.link(file, to)
    except OSError:
        shutil.copy2(file, to)  # with its time of change, which is in its stamp


def stamp(path: Path) -> list[int]:
    """Return a file's size and time of change, which stay the same until it is written to."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read once per process while its stamp stays the same."""
    return _sha256(path, *stamp(path))


@functools.cache
def _sha256(path: Path, size: int, changed: int) -> str:  # noqa: ARG001 - the stamp is in the key
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
        known = read_checked(self._path) or {}
        return dict(known["values"]) if known.get("key") == self._key else {}

    def write(self, values: Mapping[str, Any]) -> None:
        """Replace the values, JSON-able."""
        try:
            write_checked(self._path, {"key": self._key, "values": dict(values)})
        except OSError as error:
            logger.debug("%s is not kept: %s", self._path, error)
