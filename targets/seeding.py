"""Torch randomness from explicit seeds.

torchvision's initialisers and dropout draw from torch's global state only; it is forked and
seeded here, and restored afterwards, so nothing outside ever notices.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from hashattack.datasets.seeds import derive


@contextmanager
def seeded(seed: int, purpose: str) -> Iterator[None]:
    """Run the body under torch's global state seeded by (seed, purpose), then restore it."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive(seed, purpose))
        yield
