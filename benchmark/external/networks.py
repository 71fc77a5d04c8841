"""A trunk in words, so that other code can build it without this program."""

from __future__ import annotations

import dataclasses
import functools

from torch import nn

from hashattack.benchmark.external.trial_file import TrunkRecord
from hashattack.targets.backbones import Backbone
from hashattack.targets.seeding import seeded


@functools.lru_cache(maxsize=32)
def trunk_record(backbone: Backbone, side: int) -> TrunkRecord:
    """Return a backbone's network as its layers, in the order in which they are declared."""
    with seeded(0, "export"):
        trunk, width = backbone.build(side)
    modules = list(trunk.named_modules(prefix="trunk"))
    inner = [module for _, module in modules if any(True for _ in module.children())]
    about = " ".join((type(backbone).__doc__ or "").split())
    return TrunkRecord(
        told=f"{about} {side} x {side} pixels to {width} features.".strip(),
        params=dataclasses.asdict(backbone),
        layers=[(name, repr(module)) for name, module in modules if module not in inner],
        in_sequence=all(type(module) is nn.Sequential for module in inner),
    )
