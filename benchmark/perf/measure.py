"""What is measured at which size, and the record of it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from hashattack.benchmark.perf.comparison import Comparison
from hashattack.benchmark.perf.crafting import Attacked, Shape, crafting, generation
from hashattack.benchmark.perf.encoding import encoding
from hashattack.benchmark.perf.ranking import Case, ranking
from hashattack.benchmark.perf.transfer import transfer
from hashattack.benchmark.provenance import device_name, revision, versions
from hashattack.targets.backbones import VGG11, AlexNet, Backbone, ResNet18, Tiny

Size = Literal["full", "small"]


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    rounds: int
    cases: tuple[Case, ...]
    attacked: tuple[Attacked, ...]
    shape: Shape
    generator: Shape
    transferred: tuple[Backbone, ...]
    side: int  # of the transfer's images
    steps: int  # of its attack
    queries: int
    encoded: int  # images


FULL = Extent(
    rounds=3,
    cases=(
        Case("FLICKR-25K", 1700, 23_300, 38, sampled=200, expected=60),
        Case("NUS-WIDE", 2100, 193_734, 21, 60, expected=100, stable=30, together=1.3),
        Case("MS-COCO", 5000, 117_218, 80, 60),
    ),
    attacked=(Attacked(VGG11(), full=1.6, bfloat16=3), Attacked(ResNet18()), Attacked(AlexNet())),
    shape=Shape(side=224, batch=16, steps=2, width=64),
    generator=Shape(side=224, batch=4, steps=2, width=64),
    transferred=(AlexNet(), VGG11(), ResNet18()),
    side=64,
    steps=100,
    queries=8,
    encoded=64,
)
SMALL = Extent(
    rounds=2,
    cases=(Case("tiny", 40, 3000, 21, sampled=5),),
    attacked=(Attacked(Tiny()),),
    shape=Shape(side=32, batch=4, steps=2, width=4),
    generator=Shape(side=32, batch=2, steps=2, width=4),
    transferred=(Tiny(),),
    side=32,
    steps=3,
    queries=6,
    encoded=6,
)


def comparisons(size: Size, parts: tuple[str, ...], device: torch.device) -> Iterator[Comparison]:
    """Yield every comparison of some parts as it is made."""
    extent = FULL if size == "full" else SMALL
    rounds, shape = extent.rounds, extent.shape
    backbone = extent.attacked[0].backbone

    def targets() -> list[dict[str, Any]]:
        names = [one.name for one in extent.transferred]
        untrained = {"weights": "none", "training": {"epochs": 1, "learning_rate": 0.001}}
        return [{"method": ["DPSH", "DPH"], "backbone": names, "bits": [32], **untrained}]

    made: dict[str, Callable[[], Iterator[Comparison]]] = {
        "ranking": lambda: (one for case in extent.cases for one in ranking(case, rounds)),
        "crafting": lambda: (
            one for attacked in extent.attacked for one in crafting(attacked, shape, rounds, device)
        ),
        "generator": lambda: generation(backbone, extent.generator, rounds, device),
        "transfer": lambda: transfer(
            targets(), extent.side, extent.steps, extent.queries, rounds, str(device)
        ),
        "encoding": lambda: encoding(backbone, shape, extent.encoded, rounds, device),
    }
    for part in parts:
        for one in made[part]():
            yield one if size == "full" else replace(one, wanted=None)  # too small to mean anything


def machine(device: torch.device) -> dict[str, Any]:
    """Return where and with what the ratios were measured."""
    return {
        **versions(),
        "revision": revision(),
        "device": device_name(device),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def _processor() -> str:
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in told.splitlines() if "model name" in line), ""
    )
