"""What image files contain, by SHA-256, remembered between runs.

A file whose size and time of change are as they were is not read again, so that a data set of
many gigabytes is hashed once.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hashattack.datasets.image_files import outside

_WORKERS = 8


def content_hashes(root: Path, paths: Sequence[str], cache: Path) -> dict[str, str | None]:
    """Return the SHA-256 of every file below ``root``; None for one that is not there.

    A file that a link leads out of the root counts as not there.
    """
    name = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
    index = cache / "contents" / f"{name}.json"
    known = _read(index)
    unique = sorted(set(paths))

    def look(path: str) -> tuple[int, int, str] | None:
        try:
            status = (root / path).stat()
        except OSError:
            return None
        seen = known.get(path)
        if seen is not None and seen[:2] == [status.st_size, status.st_mtime_ns]:
            return status.st_size, status.st_mtime_ns, str(seen[2])
        if outside(root, path) or not (root / path).is_file():
            return None
        with (root / path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return status.st_size, status.st_mtime_ns, digest

    with ThreadPoolExecutor(_WORKERS) as pool:
        found = dict(zip(unique, pool.map(look, unique), strict=True))
    fresh: dict[str, list[int | str]] = {
        path: [*entry] for path, entry in found.items() if entry is not None
    }
    if any(known.get(path) != entry for path, entry in fresh.items()):
        _write(index, {**known, **fresh})
    return {path: None if entry is None else entry[2] for path, entry in found.items()}


def _read(index: Path) -> dict[str, list[int | str]]:
    try:
        known: dict[str, list[int | str]] = json.loads(index.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known


def _write(index: Path, known: dict[str, list[int | str]]) -> None:
    index.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=index.parent, suffix=".tmp", delete=False, encoding="utf-8"
    ) as file:
        json.dump(known, file)
    os.replace(file.name, index)  # noqa: PTH105 - the atomic call, by its name
