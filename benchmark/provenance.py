"""Where a result comes from: code, versions, device. Recorded beside it, never part of its key."""

from __future__ import annotations

import functools
import platform
import subprocess
from pathlib import Path

import torch
import torchvision

from hashattack.benchmark.program import code_digest


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions results may depend on, the program's own sources among them."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "machine": platform.machine(),
        "code": code_digest(),
    }


def device_name(device: torch.device) -> str:
    """Return a device's name for the result row."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return device.type


def revision() -> str | None:
    """Return the git revision of this program, where it runs from a checkout."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
