"""Files: written whole or not at all, read, hashed. Imports no torch."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

from hashattack.datasets.files import replacing


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    with replacing(path) as file:
        file.write(content)


def write_json(path: Path, value: Any, *, ordered: bool = False) -> None:
    """Write JSON atomically, with sorted names unless ``ordered``; NaN is refused."""
    text = json.dumps(value, indent=1, sort_keys=not ordered, allow_nan=False)
    write_bytes(path, text.encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """Return a JSON object, or None where the file is absent or damaged."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


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
