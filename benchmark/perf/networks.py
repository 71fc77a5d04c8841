"""Crafting, encoding and transfer against plain loops, bare networks and each other."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from hashattack.attacks.base import Batch
from hashattack.attacks.gradient import ProjectedGradient
from hashattack.attacks.pros_gan.crafting import to_image
from hashattack.attacks.pros_gan.networks import Generator
from hashattack.attacks.pros_gan.prototype_net import SEMANTIC_WIDTH
from hashattack.benchmark.jobs import Compute, Place, Precision
from hashattack.benchmark.networks import (
    batches,
    encode_batch,
    memory_format,
    numerics,
    synchronise,
)
from hashattack.benchmark.perf.comparison import ROUNDS, Comparison, Size, Way, compare
from hashattack.benchmark.plan.plan import Plan, make_plan
from hashattack.benchmark.schedule.execution import RunInfo, execute
from hashattack.benchmark.store.store import Store
from hashattack.benchmark.suites.suite import Suite, validate
from hashattack.datasets.base import Images
from hashattack.datasets.image_files import DecodedImages, Framing, ImageFiles
from hashattack.datasets.seeds import generator
from hashattack.targets.backbones import VGG11, AlexNet, Backbone, ResNet18, Tiny
from hashattack.targets.hasher import TargetSpec, build_hasher
from hashattack.targets.losses import DPSH
from hashattack.targets.seeding import seeded

_BITS = 32
_EPSILON = 8 / 255
_FLOOR = 1.05  # times the bare network
_DHTA_STEPS = 2000
_PHOTOGRAPH = (500, 375)  # FLICKR-25K's usual size


@dataclass(frozen=True)
class Shape:
    """What is measured on."""

    # With the speed-ups over the plain loop that are aimed at, in float32 and in bfloat16.
    backbones: dict[Backbone, tuple[float | None, float | None]]
    side: int
    batch: int
    width: int  # of the generator
    generated: int  # its batch
    encoded: int  # images
    transfer: tuple[int, int, int]  # side, steps and queries of the transfer matrix
    steps: int = 2


SHAPES: dict[Size, Shape] = {
    "full": Shape(
        {VGG11(): (1.6, 3), ResNet18(): (None, None), AlexNet(): (None, None)},
        side=224,
        batch=16,
        width=64,
        generated=4,
        encoded=64,
        transfer=(64, 100, 8),
    ),
    "small": Shape({Tiny(): (None, None)}, 32, 4, 4, 2, 6, (32, 3, 6)),
}


class Scene:
    """One untrained hasher twice, as a plain loop has it and as the program has it, and images."""

    def __init__(
        self, backbone: Backbone, side: int, batch: int, steps: int, device: torch.device
    ) -> None:
        spec = TargetSpec(method=DPSH(), backbone=backbone, bits=_BITS, weights="none")
        self.device, self.steps = device, steps
        self.plain, self.frozen = (
            build_hasher(spec, side, seed=0).eval().to(device) for _ in range(2)
        )
        self.frozen.requires_grad_(False)
        draws = torch.Generator().manual_seed(0)
        images = torch.rand(batch, 3, side, side, generator=draws)
        self.images = images.to(device)
        self.codes = torch.randint(0, 2, (batch, _BITS), generator=draws).to(images) * 2 - 1
        self.codes = self.codes.to(device)

    def usual(self) -> Tensor:
        """Craft as plain loops do, in float32."""
        return self.timed(
            "full", lambda: plain_craft(self.plain, self.images, self.codes, self.steps)
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

        def gradients() -> Tensor:
            gradient = torch.zeros_like(images)
            for _ in range(self.steps):
                pixels = images.detach().requires_grad_()
                (gradient,) = torch.autograd.grad((hasher(pixels) * self.codes).sum(), pixels)
            return gradient

        return self.timed(precision, gradients)

    def timed(self, precision: Precision, work: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Return work that is done at a precision, and complete when it returns."""

        def run() -> Tensor:
            with numerics(precision, self.device):
                done = work()
            synchronise(self.device)
            return done

        return run


def plain_craft(hasher: nn.Module, images: Tensor, codes: Tensor, steps: int) -> Tensor:
    """Return images after sign steps, by a backward pass that reaches the weights, too."""
    delta = torch.zeros_like(images, requires_grad=True)
    for _ in range(steps):
        hasher.zero_grad()
        loss = -(hasher(images + delta) * codes).mean(dim=1).sum()
        loss.backward()
        assert delta.grad is not None
        delta.data = (delta.data - delta.grad.sign() / 255).clamp(-_EPSILON, _EPSILON)
        delta.data = (images + delta.data).clamp(0, 1) - images
        delta.grad.zero_()
    return (images + delta).detach()


def crafting(size: Size, device: torch.device) -> Iterator[Comparison]:
    """Yield, by backbone and precision, gradient steps against a plain loop and their floor."""
    shape, rounds = SHAPES[size], ROUNDS[size]
    attack = ProjectedGradient(steps=shape.steps, rule="sign", step_size=1 / 255)
    passes = shape.batch * shape.steps
    precisions: tuple[Precision, ...] = ("full", "bfloat16")
    for backbone, aims in shape.backbones.items():
        scene = Scene(backbone, shape.side, shape.batch, shape.steps, device)
        for precision, aim in zip(precisions, aims, strict=True):
            run, unit = scene.loop(precision, attack), "image and step"
            crafted = run(), scene.usual()
            with torch.no_grad():
                bits = [scene.plain(images) >= 0 for images in crafted]
            same = float((bits[0] == bits[1]).float().mean())
            ours = Way(f"projected gradient descent, {precision}", run, passes)
            loop = "the same steps with weight gradients, in float32"
            floor = "forward and backward to the image, and nothing else"
            plain, bare = Way(loop, scene.usual, passes), Way(floor, scene.floor(precision), passes)
            name = f"crafting, {backbone.name}, {precision}"
            one = compare(f"{name}, over a plain loop", ours, plain, rounds, unit, "speed-up", aim)
            yield replace(one, facts={"share of equal bits": same})
            yield compare(f"{name}, over its network", ours, bare, rounds, unit, "overhead", _FLOOR)


def generation(size: Size, device: torch.device) -> Iterator[Comparison]:
    """Yield one generator pass against DHTA at its published number of steps."""
    shape, backbone = SHAPES[size], next(iter(SHAPES[size].backbones))
    count = shape.generated
    scene = Scene(backbone, shape.side, count, shape.steps, device)
    with seeded(0, "perf/generator"):
        network = Generator(shape.side, shape.width).eval().requires_grad_(False).to(device)
    semantics = torch.zeros(count, SEMANTIC_WIDTH, device=device)
    dhta = scene.loop("full", ProjectedGradient(steps=shape.steps, rule="l2"))
    generate = scene.timed("full", lambda: to_image(network(semantics, 2 * scene.images - 1)))
    ours = Way(f"one pass of a generator of width {shape.width}", generate, count)
    steps = f"{_DHTA_STEPS} steps of DHTA, extrapolated from {shape.steps}"
    other = Way(steps, dhta, count * shape.steps / _DHTA_STEPS)
    name = f"crafting, {backbone.name}, a generator over DHTA"
    yield compare(name, ours, other, ROUNDS[size], "image", "speed-up")


def encoding(size: Size, device: torch.device) -> Iterator[Comparison]:
    """Yield encoding JPEG files, and encoding from the decoded cache, over the bare network."""
    shape, backbone = SHAPES[size], next(iter(SHAPES[size].backbones))
    count, form = shape.encoded, memory_format("full", device)
    scene = Scene(backbone, shape.side, shape.batch, 0, device)
    hasher = scene.frozen.to(memory_format=form)
    ready = torch.full_like(scene.images, 0.5).to(memory_format=form)

    @torch.no_grad()
    def bare() -> None:
        for _ in range(0, count, shape.batch):
            hasher(ready)
        synchronise(device)

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = ImageFiles(folder, _photographs(folder, count), Framing(256, shape.side))
        place = Place(device=device)

        def encode(images: Images) -> None:
            for pixels, _, _ in batches(images, count, Compute(batch=shape.batch), place):
                encode_batch(hasher, pixels)

        decoded = DecodedImages(files, folder / "decoded.npy")
        sources: dict[str, Images] = {"JPEG files": files, "the decoded cache": decoded}
        for source, images in sources.items():
            work = functools.partial(encode, images)
            ours = Way(f"read, move and hash {count} images", work, count)
            other = Way("forward passes of as many", bare, count)
            name = f"encoding, {backbone.name}, from {source}"
            yield compare(name, ours, other, ROUNDS[size], "image", "overhead")


def _photographs(folder: Path, count: int) -> tuple[str, ...]:
    """Write images as smooth and as noisy as photographs are, and return their names."""
    names = tuple(f"{number}.jpg" for number in range(count))
    width, height = _PHOTOGRAPH
    for number, name in enumerate(names):
        draws = generator(0, "perf/photograph", number)
        coarse = draws.integers(0, 256, (height // 25, width // 25, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize(_PHOTOGRAPH, Image.Resampling.BICUBIC)
        grain = draws.integers(-6, 7, (height, width, 3))
        pixels = np.clip(np.asarray(smooth, dtype=np.int64) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name, quality=90)
    return names


def transfer(size: Size, device: torch.device) -> Iterator[Comparison]:
    """Yield the seconds of a transfer matrix's jobs over those of its diagonal, targets given."""
    shape, rounds = SHAPES[size], ROUNDS[size]
    side, steps, queries = shape.transfer
    backbones = [one.name for one in shape.backbones]
    data = {"n_train": 64, "n_query": queries, "n_database": 1000, "side": side}
    untrained = {"weights": "none", "training": {"epochs": 1, "learning_rate": 0.001}}
    suite = {
        "name": "perf",
        "datasets": [{"dataset": "digits", "params": data}],
        "targets": [
            {"method": ["DPSH", "DPH"], "backbone": backbones, "bits": [_BITS], **untrained}
        ],
        "attacks": [{"attack": "dhta-ifgsm", "params": {"steps": steps}}],
        "victims": "*",
        "seeds": rounds,
        "compute": {"batch": queries},
        "n_t": 1,
    }
    matrices, diagonals = [], []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store, run = Store(folder / "store"), RunInfo("perf", folder, folder, None)
        whole = make_plan(validate(Suite, suite, "perf:"), folder)
        for job in whole.jobs.values():
            answer = execute(job=job, run=run, device=str(device))
            if answer["status"] != "ok":
                raise RuntimeError(answer["reason"])
        names = sorted({str(cell.row["source"]) for cell in whole.cells})
        for seed in range(rounds):
            own = [f"draw_seed={seed},source={name},victim={name}" for name in names]
            matrices.append(_seconds(whole.only([f"draw_seed={seed}"]), store))
            diagonals.append(_seconds(whole.only(own), store))
    yield Comparison(
        name=f"transfer, {len(names)} by {len(names)}",
        ours=f"every source's images of {steps} steps hashed and scored by every victim",
        other="by their own source alone",
        unit="matrix",
        kind="overhead",
        ours_seconds=tuple(matrices),
        other_seconds=tuple(diagonals),
        wanted=1.15,
    )


def _seconds(plan: Plan, store: Store) -> float:
    """Return the seconds of a plan's attacks; the targets are needed either way."""
    attacking = ("draw", "craft", "hash", "score")
    records = (store.record(job.ref) for job in plan.jobs.values() if job.stage in attacking)
    return sum(float(record["provenance"]["seconds"]) for record in records if record is not None)
