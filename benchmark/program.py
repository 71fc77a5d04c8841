"""The program itself as a digest: its sources, and the libraries that compute. Imports no torch."""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent
_COMPUTING = ("datasets", "targets", "attacks", "benchmark")  # the rooms that numbers depend on
_LIBRARIES = ("torch", "torchvision", "numpy", "numba", "pandas", "matplotlib", "seaborn")


@functools.cache
def code_digest() -> str:
    """Return the SHA-256 of the sources that compute numbers, 16 hexadecimal digits."""
    paths = (path for room in _COMPUTING for path in sorted((ROOT / room).rglob("*.py")))
    return _digest(paths).hexdigest()[:16]


@functools.cache
def program_digest() -> str:
    """Return the SHA-256 of everything a command's answer depends on beside what it is asked."""
    folders = (ROOT / room for room in (*_COMPUTING, "reports"))
    kinds = ("*.py", "*.yaml", "*.csv")
    found = [path for folder in folders for kind in kinds for path in folder.rglob(kind)]
    digest = _digest(sorted([*found, ROOT / "run_benchmark.py"]))
    libraries = [f"{name} {version(name)}" for name in _LIBRARIES]
    digest.update("\0".join([platform.python_version(), *libraries]).encode())
    return digest.hexdigest()


def _digest(paths: Iterable[Path]) -> hashlib._Hash:
    found = hashlib.sha256()
    for path in paths:
        found.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return found
