"""An attack under examination: it learns once and is run a few times; the checks compare.

Two runs suffice while all is well: one as it is, and one in which everything differs that must not
matter (random states, hidden labels). Only where they differ is it asked which of these it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hashattack.attacks.base import Attack, Batch, Knowledge
from hashattack.attacks.protocols import Protocol
from hashattack.benchmark.audit import InvalidAttackError
from hashattack.benchmark.contract.checks import Broken
from hashattack.benchmark.contract.crafted import perturb_with, perturbed
from hashattack.benchmark.contract.portraits import (
    Portrait,
    chances,
    changes,
    draws,
    of_batch,
    of_knowledge,
)
from hashattack.benchmark.contract.quick import learn, quick
from hashattack.benchmark.contract.world import QUERIES, SEED, World
from hashattack.benchmark.stages.confinement import (
    check_codes,
    check_forwards,
    check_unchanged,
    forwards_of,
)
from hashattack.datasets.base import IntArray
from hashattack.targets.hasher import sign_codes

ROWS = np.arange(QUERIES)


@dataclass(frozen=True)
class Setting:
    """What an attack is run in; nothing of it may matter.

    ``chance`` seeds the global random states, ``shuffled`` permutes hidden labels, and ``attempt``
    tells runs apart that differ in nothing. ``seed`` alone may: it is the attack's own.
    """

    chance: int = 0
    shuffled: bool = False
    attempt: int = 0
    seed: int = SEED


PLAIN = Setting()


@dataclass(frozen=True)
class Taught:
    """What an attack knows once its parts have learnt, and the target codes ``[q, K]`` it names.

    ``shown`` is as it was before; ``moved`` are the global random states that moved, ``drawn`` the
    draws by (seed, purpose, row).
    """

    seen: Knowledge
    codes: Tensor | None
    shown: Portrait
    moved: list[str]
    drawn: list[tuple[int, str, int]]

    @property
    def learnt(self) -> dict[str, Tensor]:
        """Return the arrays its parts learnt, by part and name."""
        return {
            f"{role}/{name}": torch.from_numpy(np.array(array))
            for role, arrays in self.seen.fitted.items()
            for name, array in arrays.items()
        }


@dataclass(frozen=True)
class Run:
    """Images ``[q, 3, S, S]``, the same batch once more, what was moved, changed and drawn."""

    images: Tensor | None
    again: Tensor | None
    moved: list[str]
    touched_hasher: str | None
    touched_inputs: list[str]
    drawn: list[tuple[int, str, int]]


class Subject:
    """An attack under a protocol, in a world.

    Args:
        build: what its file declares.
        protocol: the values it is built with.
        world: where it is examined.
    """

    def __init__(
        self, build: Callable[[Protocol], Attack], protocol: Protocol, world: World
    ) -> None:
        self.build, self.protocol, self.world = build, protocol, world
        built: Any = build(protocol)
        if not isinstance(built, Attack):
            raise Broken(f"its function returns a {type(built).__name__}, not an Attack")
        self.built = built
        self._forwards = forwards_of(world.hasher)
        self._taught: dict[Setting, Taught] = {}
        self._runs: dict[Setting, Run] = {}

    @property
    def name(self) -> str:
        """Attack and protocol, as findings begin."""
        return f"{self.built.id} ({self.protocol.name})"

    @cached_property
    def attack(self) -> Attack:
        """The attack with few steps."""
        return quick(self.built)

    def codes(self, seen: Knowledge, rows: IntArray = ROWS, *, seed: int = SEED) -> Tensor | None:
        """Return the target codes of queries asked for together, as the rule gives them."""
        rule = self.attack.target_code
        return None if rule is None else rule.codes(seen, self.world.targets[rows], rows + 0, seed)

    def batch(
        self,
        rows: IntArray,
        codes: Tensor | None,
        dtype: torch.dtype,
        *,
        mirrored: bool = False,
        seed: int = SEED,
    ) -> Batch:
        """Return queries as a run hands them over."""
        batch = self.world.batch(rows, codes, dtype, blind=self.attack.blind, mirrored=mirrored)
        return replace(batch, seed=seed)

    def taught(self, setting: Setting = PLAIN) -> Taught:
        """Return what is learnt in a setting, in float32."""
        if setting not in self._taught:
            shown = self.world.seen(self.protocol, torch.float32, shuffled=setting.shuffled)
            pools = of_knowledge(shown)
            with chances(setting.chance) as moved, draws() as drawn:
                seen = learn(self.attack, shown, seed=setting.seed)
                codes = self.codes(seen, seed=setting.seed)
                self._taught[setting] = Taught(seen, codes, pools, moved(), drawn)
        return self._taught[setting]

    def run(self, setting: Setting = PLAIN) -> Run:
        """Return what is then crafted, by one function that crafts the same batch twice."""
        if setting not in self._runs:
            taught = self.taught(setting)
            crafted = self._craft(taught, setting)
            self._runs[setting] = replace(
                crafted,
                moved=[*taught.moved, *crafted.moved],
                touched_hasher=self._touched_hasher(taught.seen),
                touched_inputs=[
                    *changes(taught.shown, of_knowledge(taught.seen)),
                    *crafted.touched_inputs,
                ],
                drawn=[*taught.drawn, *crafted.drawn],
            )
        return self._runs[setting]

    def _craft(self, taught: Taught, setting: Setting) -> Run:
        if self.attack.code_only:
            return Run(None, None, [], None, [], [])

        def batch() -> Batch:
            return self.batch(ROWS, taught.codes, torch.float32, seed=setting.seed)

        first = batch()
        given = of_batch(first)
        with chances(setting.chance) as moved, draws() as drawn:
            perturb = perturb_with(self.attack, taught.seen)
            images = perturbed(perturb, first)
            states = moved()
        touched = changes(given, of_batch(first))
        with chances(setting.chance):
            again = perturbed(perturb, batch())
        return Run(images, again, states, None, touched, drawn)

    def _touched_hasher(self, seen: Knowledge) -> str | None:
        """Return why a run would refuse what became of the hasher, or None."""
        try:
            check_unchanged(seen.hasher, self.world.hasher)
            check_forwards(self._forwards)
            with torch.no_grad():
                codes = sign_codes(seen.hasher(self.world.train_pixels))
            check_codes(codes.numpy(), self.world.train_codes)
        except InvalidAttackError as refusal:
            return str(refusal)
        return None

    def restore(self) -> None:
        """Give the classes of the hasher's modules back what they compute with."""
        for kind, forward in self._forwards.items():
            kind.forward = forward

    @cached_property
    def exact(self) -> Knowledge:
        """What it knows, its parts having learnt, all in float64."""
        with chances(0):
            return learn(self.attack, self.world.seen(self.protocol, torch.float64))

    def exact_images(self, rows: IntArray, size: int) -> Tensor:
        """Return float64 images of queries in an order, in batches of ``size``."""
        with chances(0):
            codes = self.codes(self.exact)
            perturb = perturb_with(self.attack, self.exact)
            chunks = [rows[start : start + size] for start in range(0, len(rows), size)]
            batches = [self.batch(chunk, codes, torch.float64) for chunk in chunks]
            return torch.cat([perturbed(perturb, batch) for batch in batches])

    @cached_property
    def whole(self) -> Tensor:
        """The float64 images of all queries, crafted together."""
        return self.exact_images(ROWS, QUERIES)

    def mirrored(self) -> tuple[Tensor, Tensor]:
        """Return float64 images, and what the same function makes of mirrored queries next."""
        with chances(0):
            codes = self.codes(self.exact)
            perturb = perturb_with(self.attack, self.exact)
            plain = perturbed(perturb, self.batch(ROWS, codes, torch.float64))
            mirror = self.batch(ROWS, codes, torch.float64, mirrored=True)
            return plain, perturbed(perturb, mirror)

    def clean(self) -> Tensor:
        """Return the queries as they are, float32."""
        return self.batch(ROWS, None, torch.float32).images

    def at_zero_budget(self) -> Tensor:
        """Return what it crafts where the budget is nothing; its crafting learns for that."""
        attack = replace(self.attack, epsilon=0.0)
        seen = self.taught().seen
        with chances(0):
            seen = replace(seen, hasher=self.world.seen(self.protocol, torch.float32).hasher)
            seen = learn(attack, seen, ["crafting"])
            batch = self.batch(ROWS, self.taught().codes, torch.float32)
            return perturbed(perturb_with(attack, seen), batch)
