"""Random starts and restarts of the gradient loop; its steps are in test_attacks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from hashattack.attacks.base import AttackError, Batch
from hashattack.attacks.gradient import ProjectedGradient
from hashattack.attacks.protocols import EPSILON, PROTOCOLS
from hashattack.benchmark.registry import registry
from hashattack.datasets.seeds import generator
from hashattack.targets.hasher import Hasher
from tests.conftest import untrained

STEPS = 4
LOOP = ProjectedGradient(steps=STEPS, rule="sign", step_size=1 / 255, random_start=True)


def some_batch(rows: list[int]) -> Batch:
    """Return images and codes of some rows, which touch both ends of the pixel range."""
    draws = [torch.Generator().manual_seed(row) for row in rows]
    images = [torch.rand(3, 32, 32, generator=one, dtype=torch.float64) for one in draws]
    codes = [torch.randint(0, 2, (12,), generator=one).to(torch.int8) * 2 - 1 for one in draws]
    pixels = (torch.stack(images) * 1.1 - 0.05).clamp(0, 1)
    nothing = torch.zeros(len(rows), 3, dtype=torch.uint8)
    return Batch(pixels, torch.stack(codes), nothing, np.array(rows), seed=7)


def hasher_of(batch: Batch) -> Hasher:
    return untrained(dtype=batch.images.dtype)


def crafted(loop: ProjectedGradient, batch: Batch, epsilon: float | None = EPSILON) -> Tensor:
    return loop.perturb(batch, hasher_of(batch), epsilon)


def losses(batch: Batch, images: Tensor) -> Tensor:
    assert batch.codes is not None
    outputs: Tensor = hasher_of(batch)(images)
    return -(outputs * batch.codes).mean(dim=1).detach()


def by_hand(batch: Batch, restart: int) -> Tensor:
    """Return PGD written out, image by image: a uniform start in the budget, then sign steps."""
    out, hasher = [], hasher_of(batch)
    assert batch.codes is not None
    for row, clean, code in zip(batch.rows, batch.images, batch.codes, strict=True):
        draw = generator(batch.seed, f"start/{restart}", int(row)).uniform(-1, 1, (3, 32, 32))
        image = (clean + EPSILON * torch.from_numpy(draw)).clamp(0, 1)
        for _ in range(STEPS):
            pixels = image.clone().requires_grad_()
            loss = -(hasher(pixels[None])[0] * code).sum() / 12
            step = torch.autograd.grad(loss, pixels)[0].sign() / 255
            image = (image - step).clamp(clean - EPSILON, clean + EPSILON).clamp(0, 1)
        out.append(image)
    return torch.stack(out)


def test_pgd_is_madrys_from_a_uniform_start() -> None:
    batch = some_batch([3, 8, 5])
    torch.testing.assert_close(crafted(LOOP, batch), by_hand(batch, 0), rtol=0, atol=1e-12)
    loop = registry().attacks["pgd"].build(PROTOCOLS["released"]).crafting
    assert loop == ProjectedGradient(steps=100, rule="sign", step_size=1 / 255, random_start=True)


def test_restarts_keep_the_image_of_the_lowest_loss() -> None:
    batch = some_batch([3, 8, 5, 1])
    tries = torch.stack([by_hand(batch, restart) for restart in range(3)])
    found = torch.stack([losses(batch, images) for images in tries])  # [restarts, n]
    best = found.argmin(dim=0)
    assert len(set(best.tolist())) > 1
    ours = crafted(replace(LOOP, restarts=3), batch)
    torch.testing.assert_close(ours, tries[best, torch.arange(4)], rtol=0, atol=1e-12)
    torch.testing.assert_close(losses(batch, ours), found.amin(dim=0), rtol=0, atol=1e-12)


def test_a_start_belongs_to_the_query_and_stays_in_the_budget() -> None:
    batch, alone = some_batch([3, 8, 5]), some_batch([8])
    one_step = replace(LOOP, steps=1, step_size=1e-9, restarts=2)
    start = crafted(one_step, batch)
    assert torch.equal(start[1:2], crafted(one_step, alone))
    moved = (start - batch.images).abs()
    assert 0.9 * EPSILON < moved.max() <= EPSILON + 1e-8
    assert not torch.equal(crafted(LOOP, batch), crafted(LOOP, replace(batch, seed=8)))
    free = crafted(one_step, batch, epsilon=None)
    assert (free - batch.images).abs().max() > 0.5
    assert free.min() >= 0
    assert free.max() <= 1


def test_restarts_without_a_random_start_are_refused() -> None:
    with pytest.raises(AttackError, match="needs random_start: true, got restarts 2"):
        ProjectedGradient(steps=1, rule="sign", restarts=2)
    with pytest.raises(AttackError, match="restarts must be positive"):
        replace(LOOP, restarts=0)
