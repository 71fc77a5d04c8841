"""Where a result comes from: code, versions, device. Recorded beside it, never part of its key."""

from __future__ import annotations

import functools
import hashlib
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).parent.parent
_COMPUTING = ("datasets", "targets", "attacks", "benchmark")  # the packages numbers depend on
_KINDS = ("*.py", "*.yaml", "*.csv", "*.html", "*.css", "*.js")


@functools.cache
def code_digest() -> str:
    """Return the SHA-256 of the sources that compute numbers, 16 hexadecimal digits."""
    return _digest(path for name in _COMPUTING for path in (ROOT / name).rglob("*.py"))[:16]


@functools.cache
def program_digest() -> str:
    """Return the SHA-256 of the program's files, Python, and all installed distributions.

    An attack may need any of them. Their versions are in the names of their folders, as reading
    their files takes longer than all else that a finished run does.
    """
    installed = sorted(
        {info.name for place in sys.path for info in Path(place).glob("*.dist-info")}
    )
    folders = [ROOT / name for name in (*_COMPUTING, "reports")]
    files = (path for folder in folders for kind in _KINDS for path in folder.rglob(kind))
    return _digest(files, [platform.python_version(), *installed])


def _digest(paths: Iterable[Path], more: Iterable[str] = ()) -> str:
    found = hashlib.sha256("\0".join(more).encode())
    for path in sorted(paths):
        found.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions results may depend on, the program's own sources among them."""
    import torch

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": metadata.version("torchvision"),
        "machine": platform.machine(),
        "code": code_digest(),
    }


def device_name(device: torch.device) -> str:
    """Return a device's name for the result row."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def revision() -> str | None:
    """Return the git revision of this program, where it runs from a checkout."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
