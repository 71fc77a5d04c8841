"""The batch for suites that say ``batch: auto``: tried once a machine and kept in the cache.

It is tried on a worker of the slot it is for, with the passes that crafting makes. On a GPU the
largest that fits with a margin is taken, on a CPU the largest that is still faster than half of
it. It is part of every key like a number in a suite, so it stays until ``batches.json`` is deleted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from pathlib import Path

import torch

from hashattack.benchmark.engines.base import EngineError, Slot
from hashattack.benchmark.engines.local import LocalEngine
from hashattack.benchmark.jobs import Compute
from hashattack.benchmark.networks import memory_format, numerics, out_of_memory, synchronise
from hashattack.benchmark.plan.graph import Sizing
from hashattack.benchmark.store.files import read_json, write_json
from hashattack.benchmark.store.keys import canonical_json
from hashattack.targets.backbones import Backbone

_LARGEST = 1024
_FILLED = 0.8  # of a GPU's memory, or of a slot's share of it
_GAIN = 1.05  # images a second, over half the batch


def batch_finder(cache: Path, slot: Slot, share: float, echo: Callable[[str], None]) -> Sizing:
    """Return what finds batches on a slot of this machine with a share of its device's memory.

    It raises :class:`EngineError` where the worker was killed while it tried.
    """
    path = cache / "batches.json"

    def find(backbone: Backbone, side: int, compute: Compute) -> int:
        how = [compute.threads, compute.dtype, compute.precision]
        place = [torch.device(slot.torch_device).type, share]
        name = canonical_json([place, backbone, side, how])
        known: dict[str, int] = read_json(path) or {}
        if name not in known:
            engine, network = LocalEngine([slot]), (backbone, side, compute, slot.torch_device)
            try:
                found = engine.submit(slot.name, largest_batch, network=network, share=share)
                known[name] = found.result()
            except BrokenExecutor as error:  # by the guard of the system's memory, for example
                raise EngineError(
                    f"compute.batch: auto could not be tried for {backbone.name} ({error}); give "
                    "a number"
                ) from None
            finally:
                engine.close()
            write_json(path, known)
            echo(f"{backbone.name} at {side} pixels: {known[name]} images a batch")
        return known[name]

    return find


def timed_passes(
    backbone: Backbone, side: int, compute: Compute, device: str
) -> Callable[[int], float]:
    """Return a function that measures a pass over so many images, as crafting makes it.

    It returns the seconds of a forward and a backward pass, the lesser of two measurements.
    """
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

    return seconds


def largest_batch(*, network: tuple[Backbone, int, Compute, str], share: float) -> int:
    """Return a power of two, at least 1, found by doubling; runs in a process of its own."""
    _, _, compute, device = network
    torch.set_num_threads(compute.threads)
    on_gpu = torch.device(device).type == "cuda"

    def fits() -> bool:
        if not on_gpu:
            return True
        total = torch.cuda.get_device_properties(device).total_memory
        return torch.cuda.max_memory_reserved(device) <= _FILLED * share * total

    return double(timed_passes(*network), fits, greedy=on_gpu)


def double(seconds: Callable[[int], float], fits: Callable[[], bool], *, greedy: bool) -> int:
    """Return the last batch of 1, 2, 4 … that fits and, unless ``greedy``, is faster.

    ``seconds`` measures a pass over so many images and raises where memory runs out; ``fits`` says
    whether the pass just made left enough.
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
