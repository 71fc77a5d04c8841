"""Each transfer hook against its formula written out, and all of them together under the rules."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve
from torch import Tensor
from torch.nn import functional

from hashattack.attacks.adapters.torchattacks_adapter import (
    TorchattacksMIFGSM,
    TorchattacksNIFGSM,
    TorchattacksSINIFGSM,
)
from hashattack.attacks.base import Attack, AttackError, Batch
from hashattack.attacks.gradient import ProjectedGradient
from hashattack.attacks.gradient_transforms import Moment
from hashattack.attacks.input_transforms import diverse
from hashattack.attacks.protocols import EPSILON, PROTOCOLS, Protocol
from hashattack.benchmark.contract.plugin import check_attack
from hashattack.benchmark.contract.world import World
from hashattack.benchmark.registry import registry
from hashattack.benchmark.suites.loading import override
from hashattack.datasets.seeds import generator
from hashattack.targets.hasher import Hasher
from tests.conftest import untrained
from tests.test_gradient import some_batch

STEPS, SIZE, DECAY = 5, 2 / 255, 0.9
PLAIN = ProjectedGradient(steps=STEPS, rule="sign", step_size=SIZE)
ALL: dict[str, Any] = {"momentum": 1.0, "nesterov": True, "diversity": 0.5, "scale_copies": 2}
ALL |= {"translation_kernel": 5, "variance_samples": 1, "random_start": True}


@functools.cache
def exact() -> Hasher:
    return untrained(dtype=torch.float64)


def crafted(batch: Batch, **settings: Any) -> Tensor:
    return replace(PLAIN, **settings).perturb(batch, exact(), EPSILON)


def slope(images: Tensor, batch: Batch) -> Tensor:
    """Return the gradient of the loss of each image."""
    assert batch.codes is not None
    pixels = images.detach().requires_grad_()
    loss = -(exact()(pixels) * batch.codes).mean(dim=1).sum()
    return torch.autograd.grad(loss, pixels)[0]


def by_hand(batch: Batch, direction: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Return what sign steps against a direction give, of the images and the number of the step."""
    out, clean = batch.images, batch.images
    for step in range(STEPS):
        out = out - SIZE * direction(out, step).sign()
        out = clean + (out - clean).clamp(-EPSILON, EPSILON)
        out = out.clamp(0, 1)
    return out


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def norm1(gradient: Tensor) -> Tensor:
    return gradient.abs().sum(dim=(1, 2, 3), keepdim=True)


def test_momentum_is_mi_fgsm() -> None:
    batch, memory = some_batch([1, 2, 3]), torch.zeros(1)

    def direction(images: Tensor, _: int) -> Tensor:
        nonlocal memory
        gradient = slope(images, batch)
        memory = DECAY * memory + gradient / norm1(gradient)
        return memory

    ours = crafted(batch, momentum=DECAY)
    close(ours, by_hand(batch, direction))
    assert not torch.equal(ours, crafted(batch))


def test_nesterov_is_ni_fgsm_and_copies_are_si() -> None:
    batch, memory, copies = some_batch([1, 2, 3]), torch.zeros(1), 1

    def direction(images: Tensor, _: int) -> Tensor:
        nonlocal memory
        there = images - SIZE * DECAY * memory
        gradient = sum((slope(there / 2**i, batch) / 2**i for i in range(copies)), torch.zeros(1))
        memory = DECAY * memory + gradient / norm1(gradient) * gradient[0].numel()
        return memory

    close(crafted(batch, momentum=DECAY, nesterov=True), by_hand(batch, direction))
    copies, memory = 3, torch.zeros(1)
    close(crafted(batch, momentum=DECAY, nesterov=True, scale_copies=3), by_hand(batch, direction))


@pytest.mark.parametrize(
    ("adapter", "settings"),
    [
        (TorchattacksMIFGSM, {}),
        (TorchattacksNIFGSM, {"nesterov": True}),
        (TorchattacksSINIFGSM, {"nesterov": True, "scale_copies": 5}),
    ],
)
def test_torchattacks_has_the_same(
    adapter: type[TorchattacksMIFGSM], settings: dict[str, Any]
) -> None:
    pytest.importorskip("torchattacks", reason="no torchattacks")
    batch = some_batch([1, 2, 3])
    theirs = adapter(steps=STEPS, step_size=SIZE, decay=DECAY).perturb(batch, exact(), EPSILON)
    close(crafted(batch, momentum=DECAY, **settings), theirs)


def resized_and_padded(image: Tensor, draw: np.random.Generator, smallest: float) -> Tensor:
    """Return what input diversity makes of an image ``[3, S, S]``, drawn after the chance."""
    side = image.shape[-1]
    size = int(draw.integers(math.ceil(smallest * side), side + 1))
    top, left = (int(draw.integers(0, side - size + 1)) for _ in range(2))
    small = functional.interpolate(image[None], size=(size, size), mode="bilinear")
    return functional.pad(small, (left, side - size - left, top, side - size - top))[0]


def test_diversity_resizes_and_pads_each_image_by_draws_of_its_own() -> None:
    batch = some_batch(list(range(40)))
    shown = diverse(batch.images, batch, "here", 0.5, 0.8)
    changed = 0
    for row, image, made in zip(batch.rows, batch.images, shown, strict=True):
        draw = generator(batch.seed, "here", int(row))
        if draw.random() < 0.5:
            image = resized_and_padded(image, draw, 0.8)
            changed += 1
        close(made, image)
    assert 10 < changed < 30
    alone = some_batch([7])
    close(diverse(alone.images, alone, "here", 0.5, 0.8), shown[7:8])
    assert torch.equal(diverse(batch.images, batch, "here", 0.0, 0.8), batch.images)


def test_diversity_draws_anew_at_each_step() -> None:
    batch = some_batch([1, 2, 3])
    assert batch.codes is not None

    def direction(images: Tensor, step: int) -> Tensor:
        pixels = images.detach().requires_grad_()
        shown = []
        for row, image in zip(batch.rows, pixels, strict=True):
            draw = generator(batch.seed, f"diversity 0/0/{step}/0", int(row))
            draw.random()
            shown.append(resized_and_padded(image, draw, 0.9))
        loss = -(exact()(torch.stack(shown)) * batch.codes).mean(dim=1).sum()
        return torch.autograd.grad(loss, pixels)[0]

    close(crafted(batch, diversity=1.0), by_hand(batch, direction))


def test_a_translation_kernel_is_a_gaussian_over_the_gradient() -> None:
    batch, side = some_batch([1, 2, 3]), 7
    line = np.exp(-(np.linspace(-3, 3, side) ** 2) / 2)
    kernel = np.outer(line, line) / np.outer(line, line).sum()

    def direction(images: Tensor, _: int) -> Tensor:
        gradient = slope(images, batch).numpy()
        return torch.from_numpy(convolve(gradient, kernel[None, None], mode="constant"))

    close(crafted(batch, translation_kernel=side), by_hand(batch, direction))


def test_variance_tuning_adds_what_the_neighbours_had() -> None:
    batch, samples, variance = some_batch([1, 2, 3]), 3, torch.zeros(1)

    def direction(images: Tensor, step: int) -> Tensor:
        nonlocal variance
        gradient = slope(images, batch)
        tuned, around = gradient + variance, torch.zeros_like(images)
        for number in range(1, samples + 1):
            purpose = f"neighbour/0/{step}/{number}"
            draws = [generator(batch.seed, purpose, int(row)) for row in batch.rows]
            noise = np.stack([draw.uniform(-1, 1, (3, 32, 32)) for draw in draws])
            around = around + slope(images + 2 * EPSILON * torch.from_numpy(noise), batch)
        variance = around / samples - gradient
        return tuned

    close(crafted(batch, variance_samples=3, variance_radius=2.0), by_hand(batch, direction))


def test_off_they_change_nothing() -> None:
    batch = some_batch([1, 2])
    assert list(PLAIN.views(batch.images, batch, Moment(0, 0))) == [batch.images]

    def slopes(delta: Tensor, moment: Moment) -> Tensor:
        return PLAIN.gradient(delta, moment, batch, batch.images, exact())

    assert PLAIN.transferable(slopes, batch, EPSILON, SIZE) is slopes


def test_together_they_keep_the_contract_from_a_suite_on(world: World) -> None:
    def build(protocol: Protocol) -> Attack:
        attack = registry().attacks["dhta-ifgsm"].build(protocol)
        return override(attack, ALL, "test")

    results = list(check_attack(build, world))
    assert [one for one in results if one.status != "passed"] == []
    crafting = build(PROTOCOLS["paper"]).crafting
    assert isinstance(crafting, ProjectedGradient)
    assert crafting.gradients_per_step == 4


def test_settings_that_make_no_sense_are_refused() -> None:
    for settings, rule in (
        ({"momentum": -1}, "momentum must be 0 or more"),
        ({"nesterov": True}, "nesterov needs a momentum"),
        ({"diversity": 1.5}, "diversity must be a probability"),
        ({"diversity_resize": 0}, "diversity_resize must be above 0"),
        ({"scale_copies": 0}, "scale_copies must be positive"),
        ({"translation_kernel": 4}, "translation_kernel must be odd"),
        ({"variance_samples": -1}, "variance_samples must be 0 or more"),
    ):
        with pytest.raises(AttackError, match=rule):
            replace(PLAIN, **settings)
