"""The program itself as a digest: its sources, and the libraries that compute. Imports no torch."""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent
_COMPUTING = ("datasets", "targets", "attacks", "benchmark")  # the rooms that numbers depend on
_LIBRARIES = (
    *("torch", "torchvision", "numpy", "numba", "pandas", "scipy", "matplotlib", "seaborn"),
    *("jinja2", "mlxtend", "pillow", "pydantic", "tabulate"),
)


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
    libraries = [f"{name} {version(name)}" for name in _LIBRARIES]
    paths = sorted([*found, ROOT / "run_benchmark.py"])
    return _digest(paths, [platform.python_version(), *libraries])


def _digest(paths: Sequence[Path], more: Sequence[str] = ()) -> str:
    found = hashlib.sha256("\0".join(more).encode())
    for path in paths:
        found.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()
