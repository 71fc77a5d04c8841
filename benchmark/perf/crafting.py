"""Crafting against a plain loop, against the bare network, and against one generator pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hashattack.attacks.base import Batch
from hashattack.attacks.gradient import ProjectedGradient
from hashattack.attacks.pros_gan.adversarial import to_image
from hashattack.attacks.pros_gan.networks import Generator
from hashattack.attacks.pros_gan.prototype_net import SEMANTIC_WIDTH
from hashattack.benchmark.networks import synchronise
from hashattack.benchmark.numerics import Precision, memory_format, numerics
from hashattack.benchmark.perf import plain
from hashattack.benchmark.perf.comparison import Comparison, in_turns, per
from hashattack.targets.backbones import Backbone
from hashattack.targets.hasher import TargetSpec, build_hasher
from hashattack.targets.losses import DPSH
from hashattack.targets.seeding import seeded

BITS = 32
_EPSILON = 8 / 255
_FLOOR = 1.05  # times the bare network
_DHTA_STEPS = 2000


@dataclass(frozen=True)
class Shape:
    """What networks are measured on; ``width`` is the generator's."""

    side: int
    batch: int
    steps: int
    width: int


@dataclass(frozen=True)
class Attacked:
    """A hasher that is attacked, and the speed-ups over the plain loop wanted for it."""

    backbone: Backbone
    full: float | None = None
    bfloat16: float | None = None


class Scene:
    """One untrained hasher twice, as a plain loop has it and as the program has it, and images."""

    def __init__(self, backbone: Backbone, shape: Shape, device: torch.device) -> None:
        spec = TargetSpec(method=DPSH(), backbone=backbone, bits=BITS, weights="none")
        self.device, self.steps = device, shape.steps
        self.plain, self.frozen = (
            build_hasher(spec, shape.side, seed=0).eval().to(device) for _ in range(2)
        )
        self.frozen.requires_grad_(False)
        draws = torch.Generator().manual_seed(0)
        images = torch.rand(shape.batch, 3, shape.side, shape.side, generator=draws)
        self.images = images.to(device)
        self.codes = torch.randint(0, 2, (shape.batch, BITS), generator=draws).to(images) * 2 - 1
        self.codes = self.codes.to(device)

    def usual(self) -> Tensor:
        """Craft as plain loops do, in float32."""
        return self.timed(
            "full",
            lambda: plain.craft(self.plain, self.images, self.codes, self.steps, _EPSILON),
        )()

    def loop(self, precision: Precision, attack: ProjectedGradient) -> Callable[[], Tensor]:
        """Return the program's crafting."""
        form = memory_format(precision, self.device)
        hasher, images = self.frozen.to(memory_format=form), self.images.to(memory_format=form)
        targets = torch.zeros(len(images), 1, dtype=torch.uint8)
        batch = Batch(images, self.codes, targets, np.arange(len(images)), 0)
        return self.timed(precision, lambda: attack.perturb(batch, hasher, _EPSILON))

    def floor(self, precision: Precision) -> Callable[[], Tensor]:
        """Return the bare network's gradients of the images, laid out as the program does."""
        form = memory_format(precision, self.device)
        hasher, images = self.frozen.to(memory_format=form), self.images.to(memory_format=form)
        return self.timed(
            precision, lambda: plain.image_gradients(hasher, images, self.codes, self.steps)
        )

    def timed(self, precision: Precision, work: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Return work that is done at a precision, and over when it returns."""

        def run() -> Tensor:
            with numerics(precision, self.device):
                done = work()
            synchronise(self.device)
            return done

        return run


def crafting(
    attacked: Attacked, shape: Shape, rounds: int, device: torch.device
) -> Iterator[Comparison]:
    """Yield, for each precision, the gradient loop against a plain one and against its floor."""
    name, scene = attacked.backbone.name, Scene(attacked.backbone, shape, device)
    attack = ProjectedGradient(steps=shape.steps, rule="sign", step_size=1 / 255)
    passes = shape.batch * shape.steps
    bars: dict[Precision, float | None] = {"full": attacked.full, "bfloat16": attacked.bfloat16}
    for precision, bar in bars.items():
        ours = scene.loop(precision, attack)
        crafted = ours(), scene.usual()
        with torch.no_grad():
            bits = [scene.plain(images) >= 0 for images in crafted]
        same = float((bits[0] == bits[1]).float().mean())
        mine, usual = in_turns(rounds, ours, scene.usual)
        yield Comparison(
            name=f"crafting, {name}, {precision}, over a plain loop",
            ours=f"the gradient loop, {precision}",
            other="the same steps with weight gradients, in float32",
            unit="image and step",
            kind="speed-up",
            ours_seconds=per(passes, mine),
            other_seconds=per(passes, usual),
            wanted=bar,
            facts={"share of equal bits": same},
        )
        mine, floor = in_turns(rounds, ours, scene.floor(precision))
        yield Comparison(
            name=f"crafting, {name}, {precision}, over its network",
            ours=f"the gradient loop, {precision}",
            other="forward and backward to the image, and nothing else",
            unit="image and step",
            kind="overhead",
            ours_seconds=per(passes, mine),
            other_seconds=per(passes, floor),
            wanted=_FLOOR,
        )


def generation(
    backbone: Backbone, shape: Shape, rounds: int, device: torch.device
) -> Iterator[Comparison]:
    """Yield one generator pass against DHTA at its published number of steps."""
    scene = Scene(backbone, shape, device)
    attack = ProjectedGradient(steps=shape.steps, rule="l2")
    with seeded(0, "perf/generator"):
        generator = Generator(shape.side, shape.width).eval().requires_grad_(False).to(device)
    semantics = torch.zeros(shape.batch, SEMANTIC_WIDTH, device=device)

    generate = scene.timed("full", lambda: to_image(generator(semantics, 2 * scene.images - 1)))
    mine, dhta = in_turns(rounds, generate, scene.loop("full", attack))
    yield Comparison(
        name=f"crafting, {backbone.name}, a generator over DHTA",
        ours=f"one pass of a generator of width {shape.width}",
        other=f"{_DHTA_STEPS} steps of DHTA, reckoned from {shape.steps}",
        unit="image",
        kind="speed-up",
        ours_seconds=per(shape.batch, mine),
        other_seconds=per(shape.batch * shape.steps / _DHTA_STEPS, dhta),
    )
