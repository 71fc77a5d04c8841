"""Encoding a database against the bare network: what decoding and moving the images costs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from hashattack.benchmark.jobs import Compute, Context
from hashattack.benchmark.networks import batches, encode_batch, synchronise
from hashattack.benchmark.numerics import memory_format
from hashattack.benchmark.perf.comparison import Comparison, in_turns, per
from hashattack.benchmark.perf.crafting import BITS, Shape
from hashattack.benchmark.store.journal import Journal
from hashattack.benchmark.store.store import Store
from hashattack.datasets.base import Images
from hashattack.datasets.image_files import DecodedImages, Framing, ImageFiles
from hashattack.datasets.seeds import generator
from hashattack.targets.backbones import Backbone
from hashattack.targets.hasher import TargetSpec, build_hasher
from hashattack.targets.losses import DPSH

_PHOTOGRAPH = (500, 375)  # FLICKR-25K's usual size


def encoding(
    backbone: Backbone, shape: Shape, count: int, rounds: int, device: torch.device
) -> Iterator[Comparison]:
    """Yield encoding JPEG files, and encoding from the decoded cache, over the bare network."""
    spec = TargetSpec(method=DPSH(), backbone=backbone, bits=BITS, weights="none")
    form = memory_format("full", device)
    hasher = build_hasher(spec, shape.side, seed=0).eval().requires_grad_(False).to(device)
    hasher = hasher.to(memory_format=form)
    compute = Compute(batch=shape.batch)
    ready = torch.full((shape.batch, 3, shape.side, shape.side), 0.5, device=device)
    ready = ready.to(memory_format=form)

    def bare() -> None:
        with torch.no_grad():
            for _ in range(0, count, shape.batch):
                hasher(ready)
        synchronise(device)

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = ImageFiles(folder, _photographs(folder, count), Framing(256, shape.side))
        kept = DecodedImages(files, folder / "decoded.npy")
        store = Store(folder / "store")
        context = Context(store, {}, folder, device, lambda *_: None, Journal(folder, ""))

        def encode(images: Images) -> None:
            for pixels, _, _ in batches(images, count, compute, context):
                encode_batch(hasher, pixels, spec.name)

        sources: dict[str, Images] = {"JPEG files": files, "the decoded cache": kept}
        for name, images in sources.items():
            mine, floor = in_turns(rounds, lambda images=images: encode(images), bare)  # type: ignore[misc]
            yield Comparison(
                name=f"encoding, {backbone.name}, from {name}",
                ours=f"read, move and hash {count} images",
                other="forward passes of as many",
                unit="image",
                kind="overhead",
                ours_seconds=per(count, mine),
                other_seconds=per(count, floor),
            )


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
