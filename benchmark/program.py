"""The program itself as a digest: its sources, and the libraries that compute. Imports no torch."""

from __future__ import annotations

import functools
import hashlib
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
_COMPUTING = ("datasets", "targets", "attacks", "benchmark")  # the rooms that numbers depend on
_KINDS = ("*.py", "*.yaml", "*.csv", "*.html", "*.css", "*.js")


@functools.cache
def code_digest() -> str:
    """Return the SHA-256 of the sources that compute numbers, 16 hexadecimal digits."""
    paths = [path for room in _COMPUTING for path in sorted((ROOT / room).rglob("*.py"))]
    return _digest(paths)[:16]


@functools.cache
def program_digest() -> str:
    """Return the SHA-256 of everything a command's answer depends on beside what it is asked."""
    folders = [ROOT / room for room in (*_COMPUTING, "reports")]
    found = [path for folder in folders for kind in _KINDS for path in folder.rglob(kind)]
    paths = sorted(found)
    return _digest(paths, [platform.python_version(), *_installed()])


def _installed() -> list[str]:
    """Return the names of all installed distributions with their versions.

    All of them: an attack may need any, and be skipped where it is absent. From the names of their
    folders, as reading what is in them takes longer than all else a finished run is asked.
    """
    places = {Path(place) for place in sys.path}
    return sorted({info.name for place in places for info in place.glob("*.dist-info")})


def _digest(paths: Sequence[Path], more: Sequence[str] = ()) -> str:
    found = hashlib.sha256("\0".join(more).encode())
    for path in paths:
        found.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()
