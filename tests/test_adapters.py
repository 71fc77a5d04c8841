"""Attacks of other libraries against our projected gradient and the formulae of their papers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hashattack.attacks.adapters.base import Adapter
from hashattack.attacks.adapters.foolbox_adapter import FoolboxFGSM, FoolboxMIFGSM, FoolboxPGD
from hashattack.attacks.adapters.torchattacks_adapter import (
    CodeClassifier,
    TorchattacksFGSM,
    TorchattacksMIFGSM,
    TorchattacksNIFGSM,
    TorchattacksPGD,
    TorchattacksSINIFGSM,
)
from hashattack.attacks.base import AttackError, Batch
from hashattack.attacks.gradient import ProjectedGradient
from hashattack.attacks.protocols import EPSILON, PROTOCOLS
from hashattack.benchmark.registry import registry
from hashattack.benchmark.results.frame import load_results
from hashattack.reports.records import provenance
from hashattack.targets.hasher import Hasher
from tests.conftest import run_inline, small_suite, untrained

STEPS, SIZE, DECAY, COPIES = 6, 2 / 255, 0.9, 3
SIGN = ProjectedGradient(steps=STEPS, rule="sign", step_size=SIZE)
ONE_STEP = ProjectedGradient(steps=1, rule="sign", step_size=EPSILON)


def some_batch(dtype: torch.dtype = torch.float64) -> Batch:
    """Return images that touch both ends of the pixel range, and codes."""
    draw = torch.Generator().manual_seed(1)
    images = torch.rand(5, 3, 32, 32, generator=draw, dtype=torch.float64) * 1.1 - 0.05
    codes = torch.randint(0, 2, (5, 12), generator=draw).to(torch.int8) * 2 - 1
    rows = np.arange(5)
    nothing = torch.zeros(5, 3, dtype=torch.uint8)
    return Batch(images.clamp(0, 1).to(dtype), codes, nothing, rows, seed=0)


@functools.cache
def exact() -> Hasher:
    """Return a hasher in double precision, which tests only look through."""
    return untrained(dtype=torch.float64)


def slope(images: Tensor, codes: Tensor) -> Tensor:
    """Return the gradient of the mean over bits of code times output, image by image."""
    pixels = images.detach().requires_grad_()
    outputs = exact()(pixels)
    return torch.autograd.grad((outputs * codes).mean(dim=1).sum(), pixels)[0]


def by_the_paper(batch: Batch, step: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return what sign steps along a momentum give; ``step`` makes the new momentum."""
    images, momentum = batch.images, torch.zeros_like(batch.images)
    out = images
    for _ in range(STEPS):
        momentum = step(out, momentum)
        moved = (out + SIZE * momentum.sign() - images).clamp(-EPSILON, EPSILON)
        out = (images + moved).clamp(0, 1)
    return out


def over_mean(gradient: Tensor) -> Tensor:
    return gradient / gradient.abs().mean(dim=(1, 2, 3), keepdim=True)


def codes_of(batch: Batch) -> Tensor:
    assert batch.codes is not None
    return batch.codes.to(batch.images)


def crafted(adapter: Adapter | ProjectedGradient, batch: Batch, scale: float = 1.0) -> Tensor:
    """Return what a crafting makes, of a hasher whose tanh is so many times steeper."""
    if isinstance(adapter, Adapter):
        pytest.importorskip(adapter.requires.module, reason=f"no {adapter.requires.module}")
    hasher = untrained(dtype=batch.images.dtype)
    hasher.scale.fill_(scale)
    return adapter.perturb(batch, hasher, EPSILON)


@pytest.mark.parametrize(
    ("adapter", "loop"),
    [
        (TorchattacksFGSM(), ONE_STEP),
        (TorchattacksPGD(steps=STEPS, step_size=SIZE), SIGN),
        (FoolboxFGSM(), ONE_STEP),
        (FoolboxPGD(steps=STEPS, step_size=SIZE), SIGN),
        (FoolboxMIFGSM(steps=STEPS, step_size=SIZE, momentum=0.0), SIGN),
    ],
    ids=lambda part: type(part).__name__,
)
def test_a_library_takes_the_same_sign_steps_as_the_gradient_loop(
    adapter: Adapter, loop: ProjectedGradient
) -> None:
    batch = some_batch()
    ours = crafted(loop, batch)
    assert (ours - batch.images).abs().max() > EPSILON / 2
    torch.testing.assert_close(crafted(adapter, batch), ours, atol=1e-12, rtol=0)


def test_momentum_is_dongs_in_torchattacks_and_of_signs_in_foolbox() -> None:
    batch = some_batch()
    codes = codes_of(batch)
    dong = by_the_paper(batch, lambda x, m: DECAY * m + over_mean(slope(x, codes)))
    signs = by_the_paper(batch, lambda x, m: DECAY * m + slope(x, codes).sign())
    assert not torch.equal(dong, signs)
    ours = TorchattacksMIFGSM(steps=STEPS, step_size=SIZE, decay=DECAY)
    torch.testing.assert_close(crafted(ours, batch), dong, atol=1e-12, rtol=0)
    theirs = FoolboxMIFGSM(steps=STEPS, step_size=SIZE, momentum=DECAY)
    torch.testing.assert_close(crafted(theirs, batch), signs, atol=1e-12, rtol=0)


def test_nesterov_momentum_looks_ahead_and_scalings_weigh_the_same() -> None:
    batch = some_batch()
    codes = codes_of(batch)

    def ahead(x: Tensor, m: Tensor) -> Tensor:
        return DECAY * m + over_mean(slope(x + DECAY * SIZE * m, codes))

    def scaled(x: Tensor, m: Tensor) -> Tensor:
        there = x + DECAY * SIZE * m
        gradients = [slope(there / 2**i, codes) / 2**i for i in range(COPIES)]
        return DECAY * m + over_mean(torch.stack(gradients).sum(dim=0))

    settings: dict[str, Any] = {"steps": STEPS, "step_size": SIZE, "decay": DECAY}
    nesterov = crafted(TorchattacksNIFGSM(**settings), batch)
    torch.testing.assert_close(nesterov, by_the_paper(batch, ahead), atol=1e-12, rtol=0)
    scalings = crafted(TorchattacksSINIFGSM(**settings, copies=COPIES), batch)
    torch.testing.assert_close(scalings, by_the_paper(batch, scaled), atol=1e-12, rtol=0)


def test_the_cross_entropy_torchattacks_descends_is_the_hashing_loss() -> None:
    batch = some_batch()
    codes = codes_of(batch)
    pixels = batch.images.clone().requires_grad_()
    has_code = torch.zeros(len(pixels), dtype=torch.int64)
    model = CodeClassifier(exact(), codes)
    loss = torch.nn.CrossEntropyLoss(reduction="none")(model(pixels), has_code)
    expected = 2 + SIGN.loss(exact()(pixels), codes)
    torch.testing.assert_close(loss, expected, atol=1e-12, rtol=0)
    (gradient,) = torch.autograd.grad(loss.sum(), pixels)
    torch.testing.assert_close(gradient, -slope(pixels, codes), atol=1e-14, rtol=1e-9)


@pytest.mark.parametrize(
    "adapter",
    [TorchattacksMIFGSM(), TorchattacksNIFGSM(), TorchattacksSINIFGSM(), FoolboxMIFGSM()],
    ids=lambda part: type(part).__name__,
)
def test_an_image_without_gradient_stays_as_it_is(adapter: Adapter) -> None:
    batch = some_batch(torch.float32)
    assert torch.equal(crafted(adapter, batch, scale=1e6), batch.images)


class Flat(torch.nn.Module):
    """Outputs the mean pixel, up to a limit, beyond which it is flat."""

    def __init__(self, limit: Tensor) -> None:
        super().__init__()
        self.limit = torch.nn.Parameter(limit, requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        return torch.minimum(images.mean(dim=(1, 2, 3)), self.limit).unsqueeze(1)


def test_an_image_whose_gradient_vanishes_on_the_way_stays_where_it_came() -> None:
    pytest.importorskip("torchattacks", reason="no torchattacks")
    images = some_batch().images.clamp(0.2, 0.8)
    hasher: Any = Flat(images.mean(dim=(1, 2, 3)) + torch.tensor([1.5, 9, 9, 9, 9]) / 255)
    codes = torch.ones(5, 1, dtype=torch.float64)
    out = TorchattacksMIFGSM(steps=5, step_size=1 / 255).drive(images, codes, hasher, EPSILON)
    moved = torch.tensor([2, 5, 5, 5, 5], dtype=torch.float64).view(-1, 1, 1, 1) / 255
    torch.testing.assert_close(out, images + moved, atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("adapter", "training"),
    [
        (TorchattacksPGD(steps=2), False),
        (TorchattacksPGD(steps=2), True),
        (FoolboxPGD(steps=2), False),  # in training mode foolbox warns
    ],
    ids=["torchattacks", "torchattacks-training", "foolbox"],
)
def test_a_hasher_keeps_its_mode(adapter: Adapter, training: bool) -> None:
    pytest.importorskip(adapter.requires.module, reason=f"no {adapter.requires.module}")
    hasher = untrained(dtype=torch.float64).train(training)
    adapter.perturb(some_batch(), hasher, EPSILON)
    assert {module.training for module in hasher.modules()} == {training}


def test_settings_are_checked_and_a_budget_is_needed() -> None:
    with pytest.raises(AttackError, match="must be positive"):
        FoolboxPGD(steps=0)
    with pytest.raises(AttackError, match="copies must be positive"):
        TorchattacksSINIFGSM(copies=0)
    with pytest.raises(AttackError, match="needs target codes and an epsilon"):
        TorchattacksFGSM().perturb(some_batch(), untrained(), None)
    assert TorchattacksSINIFGSM(steps=10).passes == 5 * TorchattacksMIFGSM(steps=10).passes == 100


@pytest.mark.parametrize("name", ["torchattacks-mifgsm", "foolbox-linf-pgd"])
def test_it_runs_from_a_suite_and_the_report_names_the_version(
    name: str, cache: Path, tmp_path: Path
) -> None:
    library = registry().attacks[name].build(PROTOCOLS["released"]).libraries[0]
    pytest.importorskip(library.module, reason=f"no {library.module}")
    ours = {"attack": "dhta-ifgsm", "params": {"steps": 3}}
    suite = small_suite(attacks=["original", ours, {"attack": name, "params": {"steps": 3}}])
    run_inline(suite, cache, tmp_path)
    rows = load_results(tmp_path).set_index("attack")
    assert set(rows["status"]) == {"ok"}
    assert rows.loc[name, "linf"] == pytest.approx(3 / 255, abs=1e-6)
    assert library.version in provenance(tmp_path)["versions"]
