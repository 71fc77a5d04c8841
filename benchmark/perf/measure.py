"""All measurements, and the machine they are made on."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from hashattack.benchmark.perf.comparison import Comparison, Size
from hashattack.benchmark.perf.networks import crafting, encoding, generation, transfer
from hashattack.benchmark.perf.ranking import ranking
from hashattack.benchmark.provenance import device_name, revision, versions

PARTS = {
    "ranking": ranking,
    "crafting": crafting,
    "generator": generation,
    "transfer": transfer,
    "encoding": encoding,
}


def comparisons(size: Size, parts: Sequence[str], device: torch.device) -> Iterator[Comparison]:
    """Yield every comparison of some parts as it is made."""
    for part in parts:
        for one in PARTS[part](size, device):
            # A small size is for tests: its ratios mean nothing.
            yield one if size == "full" else replace(one, wanted=None)


def machine(device: torch.device) -> dict[str, Any]:
    """Return where and with what the ratios are measured."""
    affinity = hasattr(os, "sched_getaffinity")
    return {
        **versions(),
        "revision": revision(),
        "device": device_name(device),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if affinity else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), "")
