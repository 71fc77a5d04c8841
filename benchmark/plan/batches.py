"""The batch for suites that say ``batch: auto``: tried once a machine and kept in the cache.

It is tried on a worker of the slot it is for, with the passes that crafting makes. On a GPU the
largest that fits with a margin is taken, on a CPU the largest that is still faster than half of
it. It is part of every key like a number in a suite, so it stays until ``batches.json`` is deleted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from hashattack.benchmark.engines.base import EngineError, Slot
from hashattack.benchmark.engines.local import LocalEngine
from hashattack.benchmark.jobs import Compute
from hashattack.benchmark.networks import memory_format, numerics, out_of_memory, synchronise
from hashattack.benchmark.store.files import read_json, write_json
from hashattack.benchmark.store.keys import canonical_json
from hashattack.targets.backbones import Backbone

_LARGEST = 1024
_FILLED = 0.8  # of a GPU's memory, or of a slot's share of it
_GAIN = 1.05  # images a second, over half the batch
_NAME = "batches.json"


@dataclass(frozen=True)
class Batches:
    """Finds batches on a slot of this machine that has a share of its device's memory."""

    cache: Path
    slot: Slot
    share: float
    echo: Callable[[str], None]

    def find(self, backbone: Backbone, side: int, compute: Compute) -> int:
        """Return the images a batch for a network and images of a side, whatever ``compute`` has.

        Raises:
            EngineError: the worker was killed while it tried.
        """
        how = [compute.threads, compute.dtype, compute.precision]
        place = [torch.device(self.slot.torch_device).type, self.share]
        name = canonical_json([place, backbone, side, how])
        known = read_json(self.cache / _NAME) or {}
        if name not in known:
            engine = LocalEngine([self.slot])
            try:
                known[name] = engine.submit(
                    self.slot.name,
                    largest_batch,
                    backbone=backbone,
                    side=side,
                    compute=compute,
                    device=self.slot.torch_device,
                    share=self.share,
                ).result()
            except BrokenExecutor as error:  # by the guard of the system's memory, for example
                raise EngineError(
                    f"compute.batch: auto could not be tried for {backbone.name} ({error}); give "
                    "a number"
                ) from None
            finally:
                engine.close()
            write_json(self.cache / _NAME, known)
            self.echo(f"{backbone.name} at {side} pixels: {known[name]} images a batch")
        return int(known[name])


def largest_batch(
    *, backbone: Backbone, side: int, compute: Compute, device: str, share: float
) -> int:
    """Return a power of two, at least 1, found by doubling; runs in a process of its own."""
    torch.set_num_threads(compute.threads)
    where, dtype = torch.device(device), getattr(torch, compute.dtype)
    form = memory_format(compute.precision, where)
    trunk = backbone.build(side)[0].eval().requires_grad_(False)
    trunk = trunk.to(where, dtype).to(memory_format=form)

    def seconds(batch: int) -> float:
        images = torch.zeros(batch, 3, side, side, device=where, dtype=dtype)
        images = images.to(memory_format=form)
        taken = []
        for _ in range(2):
            began = time.perf_counter()
            with numerics(compute.precision, where):
                torch.autograd.grad(trunk(pixels := images.requires_grad_()).sum(), pixels)
            synchronise(where)
            taken.append(time.perf_counter() - began)
        return min(taken)

    def fits() -> bool:
        if where.type != "cuda":
            return True
        total = torch.cuda.get_device_properties(where).total_memory
        return torch.cuda.max_memory_reserved(where) <= _FILLED * share * total

    return double(seconds, fits, greedy=where.type == "cuda")


def double(seconds: Callable[[int], float], fits: Callable[[], bool], *, greedy: bool) -> int:
    """Return the last batch of 1, 2, 4 … that fits and is worth it.

    Args:
        seconds: of a pass over so many images; raises where memory runs out.
        fits: whether the pass just made left enough memory.
        greedy: take what fits, whether or not it is faster.
    """
    best, rate = 1, 0.0
    batch = 1
    while batch <= _LARGEST:
        try:
            now = batch / seconds(batch)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            break
        if not fits() or not (greedy or now >= _GAIN * rate):
            break
        best, rate, batch = batch, now, 2 * batch
    return best
