"""An honest attack of a plug-in file, and how it is changed in one place."""

from __future__ import annotations

HONEST = '''
import inspect
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
import numpy as np
import torch
from hashattack.attacks.base import Attack, Crafting, Fitted, attack
from hashattack.attacks.protocols import EPSILON
from hashattack.attacks.published import anchor_code
from hashattack.attacks.target_codes import AnchorCode
from hashattack.datasets.seeds import generator

KEPT = {}
WEIGHTS = np.linspace(0, 0.005, 9)
UNIVERSAL = torch.linspace(-1, 1, 3 * 32 * 32).view(3, 32, 32)

@dataclass(frozen=True, kw_only=True)
class Rule(AnchorCode):
    pass  # of the rule

@dataclass(frozen=True, kw_only=True)
class Faulty(Crafting):
    scale: float = 1.0

    def perturb(self, batch, hasher, epsilon):
        images, codes = batch.images, batch.codes.to(batch.images)
        weight = torch.arange(1, codes.shape[1] + 1).to(images)
        way = torch.tanh((codes * weight).sum(dim=1)).view(-1, 1, 1, 1)
        out = (images + epsilon * way * (1 - images)).clamp(0, 1)
        return out

@attack
def faulty(protocol):
    """A faulty one."""
    rule = Rule(pool=protocol.anchor_pool, replacement=protocol.anchor_replacement)
    return Attack(
        id="faulty", title="Faulty", target_code=rule, crafting=Faulty(), epsilon=EPSILON
    )
'''
OUT = "        return out\n"
RULE = "    pass  # of the rule\n"
SCALE = "    scale: float = 1.0\n"


def crafts(code: str) -> str:
    """Return the honest attack with another end of its crafting."""
    return HONEST.replace(OUT, "".join(f"        {line}\n" for line in code.split("\n")))


def names(code: str) -> str:
    """Return the honest attack whose rule ends otherwise."""
    head = "    def codes(self, knowledge, targets, rows, seed):\n"
    head += "        codes = super().codes(knowledge, targets, rows, seed)\n"
    return HONEST.replace(RULE, f"{head}        return {code}\n")


def has(code: str) -> str:
    """Return the honest attack with another hyper-parameter."""
    return HONEST.replace(SCALE, f"    {code}\n")


def knows(code: str) -> str:
    """Return the honest attack whose crafting ends by adding what it takes from knowledge."""
    lines = [
        "    def ready(self, knowledge, epsilon):",
        f"        more = {code}",
        "        def perturb(batch):",
        "            out = self.perturb(batch, knowledge.hasher, epsilon / 2)",
        "            return (out + epsilon / 4 * more).clamp(0, 1)",
        "        return perturb",
    ]
    return HONEST.replace(SCALE, SCALE + "\n" + "\n".join(lines) + "\n")


def learns(code: str) -> str:
    """Return the honest attack whose crafting learns, by the body of its fit."""
    lines = [
        "    learns: ClassVar[bool] = True",
        "    def fit(self, knowledge, *, journal, **_):",
        *(f"        {line}" for line in code.split("\n")),
    ]
    return HONEST.replace(SCALE, SCALE + "\n".join(lines) + "\n")


NUMBER = r"[\d.e-]+"


def moves_away(code: str, declared: str) -> str:
    """Return the honest attack as one that only moves away, by the end of its crafting."""
    text = crafts(code).replace(
        "    scale: float = 1.0\n", "    needs_code: ClassVar[bool] = False\n"
    )
    text = text.replace("batch.codes.to(batch.images)", "hasher(batch.images)")
    text = text.replace("target_code=rule", "target_code=None")
    return text.replace("epsilon=EPSILON", f"epsilon=EPSILON, goal='non-targeted'{declared}")


SEEN = "batch.labels.to(images).mean(dim=1).view(-1, 1, 1, 1)"
USES = f"return images + (out - images) * {SEEN}"

# What looks like a fault and is none: how it is written, and the note it gets, if any.
SOUND = {
    "in [-1, 1]": (
        crafts(
            "scaled = images * 2 - 1 + 2 * epsilon * way.sign()\n"
            "return ((scaled + 1) / 2).clamp(0, 1)"
        ),
        {},
    ),
    "ten steps at least": (
        has(
            "steps: int = 20\n"
            "    def __post_init__(self):\n"
            "        if self.steps < 10:\n"
            "            raise ValueError('ten steps at least')"
        ),
        {},
    ),
    "an exit at few steps": (
        has(
            "steps: int = 20\n"
            "    def __post_init__(self):\n"
            "        if self.steps < 10:\n"
            "            raise SystemExit(0)"
        ),
        {},
    ),
    "codes of NumPy": (names("codes.numpy()"), {}),
    "ready alone": (
        HONEST.replace(
            "def perturb(self, batch, hasher, epsilon):",
            "def ready(self, knowledge, epsilon):\n"
            "        return lambda batch: self.moved(batch, epsilon)\n\n"
            "    def moved(self, batch, epsilon):",
        ),
        {},
    ),
    "rounding of the batch": (
        crafts("return out + 2e-9 * len(images) * (1 - out) * out"),
        {
            "batch": r"its images differ by rounding \(\de-09\) between batches of 1 and 6; a "
            "run keeps one batch size, so its numbers repeat"
        },
    ),
    "a seed of its own": (
        crafts("return images + (out - images) * generator(0, 'mine').random()"),
        {"seed": r"its draws for 'mine' are the same under every seed \(they are from seed 0\)"},
    ),
    "away without labels": (moves_away("return out", ""), {}),
    "labels that are not given": (
        moves_away(f"assert not batch.labels.any()\n{USES}", ""),
        {},
    ),
    "labels that are seen": (moves_away(USES, ", sees_query_labels=True"), {}),
    "labels seen for nothing": (
        moves_away("return out", ", sees_query_labels=True"),
        {"query_labels": "it declares that it sees the queries' labels, so it is ranked apart"},
    ),
    "more passes than declared": (
        crafts("hasher(images)\nhasher.trunk.forward(images)\nreturn out").replace(
            SCALE, SCALE + "    passes = property(lambda self: 1)\n"
        ),
        {"passes": "faulty declares 1 pass per image and takes 2$"},
    ),
    "a seed made of its seed": (
        crafts("return images + (out - images) * generator(batch.seed + 1, 'mine').random()"),
        {},
    ),
}
