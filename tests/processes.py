"""Starting the command line as a process, finding its workers, waiting with a deadline."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.conftest import ROOT


def start(*arguments: str, cwd: Path = ROOT) -> subprocess.Popen[str]:
    """Start the command line; what it prints can be read from ``communicate``."""
    command = [sys.executable, str(ROOT / "run_benchmark.py"), *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd
    )


def children(pid: int) -> list[int]:
    """Return a process's descendants."""
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    direct = [int(word) for word in listed.stdout.split()]
    return direct + [below for child in direct for below in children(child)]


def alive(pids: list[int]) -> Iterator[int]:
    """Yield those of the processes that still run."""
    for pid in pids:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            continue
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[-1].split()[0]
        if state != "Z":
            yield pid


def wait_until(true: Callable[[], object], what: str, seconds: float = 120) -> None:
    """Wait until something is true; fail where it takes longer."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what} in {seconds} s: it did not"
        time.sleep(0.02)
