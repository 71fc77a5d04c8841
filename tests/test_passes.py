"""Counted passes: every way through a hasher counts, in whole images, and no count is set back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from hashattack.benchmark.audit import InvalidAttackError
from hashattack.benchmark.contract.world import untrained
from hashattack.benchmark.passes import PassCounter
from hashattack.benchmark.results.frame import load_results
from hashattack.targets.hasher import Hasher
from tests.conftest import run_inline, small_suite

N = 4
IMAGES = torch.rand(N, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def gradient(network: Callable[[Tensor], Tensor], images: Tensor = IMAGES) -> Tensor:
    pixels = images.clone().requires_grad_()
    return torch.autograd.grad(network(pixels).sum(), pixels)[0]


def layer_by_layer(hasher: Hasher) -> Tensor:
    def forward(images: Tensor) -> Tensor:
        for layer in hasher.trunk.children():
            images = layer(images)
        return images

    return gradient(forward)


def of_a_gradient(hasher: Hasher) -> None:
    pixels = IMAGES.clone().requires_grad_()
    (first,) = torch.autograd.grad(hasher(pixels).sum(), pixels, create_graph=True)
    torch.autograd.grad(first.square().sum(), pixels)


def two_ways_back(hasher: Hasher) -> None:
    pixels = IMAGES.clone().requires_grad_()
    outputs = hasher(pixels)
    torch.autograd.grad(outputs[:, 0].sum(), pixels, retain_graph=True)
    torch.autograd.grad(outputs[:, 1].sum(), pixels)


def of_each_image(hasher: Hasher) -> None:
    loss: Any = lambda image: hasher(image[None]).sum()  # noqa: E731
    torch.func.vmap(torch.func.grad(loss))(IMAGES)


def after_a_failure(hasher: Hasher) -> None:
    with pytest.raises(RuntimeError, match="channels"):
        hasher.trunk(torch.rand(N, 5, 32, 32))
    gradient(hasher.trunk.forward)


WAYS: dict[str, tuple[Callable[[Hasher], object], float]] = {  # passes per image
    "hasher": (gradient, 2),
    "without a graph": (torch.no_grad()(lambda hasher: hasher(IMAGES)), 1),
    "inference mode": (torch.inference_mode()(lambda hasher: hasher(IMAGES)), 1),
    "three restarts": (lambda hasher: gradient(hasher, torch.cat(3 * [IMAGES])), 6),
    "trunk": (lambda hasher: gradient(hasher.trunk), 2),
    "trunk by name": (lambda hasher: hasher.trunk(input=IMAGES), 1),
    "forward": (lambda hasher: gradient(hasher.forward), 2),
    "forward of the trunk": (lambda hasher: gradient(hasher.trunk.forward), 2),
    "layer by layer": (layer_by_layer, 2),
    "a copy": (lambda hasher: gradient(copy.deepcopy(hasher)), 2),
    "two ways back": (two_ways_back, 3),
    "gradient of a gradient": (of_a_gradient, 4),
    "recomputed": (
        lambda hasher: gradient(lambda x: checkpoint(hasher, x, use_reentrant=False)),
        3,
    ),
    "torch.func.grad": (lambda hasher: torch.func.grad(lambda x: hasher(x).sum())(IMAGES), 2),
    "torch.func.vmap": (of_each_image, 2),
    "torch.func.jvp": (lambda hasher: torch.func.jvp(hasher, (IMAGES,), (IMAGES,)), 2),
    "torch.func.functional_call": (
        lambda hasher: gradient(lambda x: torch.func.functional_call(hasher, {}, (x,))),
        2,
    ),
    "after a failure": (after_a_failure, 3),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_through_a_hasher_counts(way: str) -> None:
    hasher = untrained()
    counter = PassCounter(hasher)
    take, passes = WAYS[way]
    take(hasher)
    assert counter.total == passes * N
    counter.close()
    gradient(hasher)
    assert counter.total == passes * N, "it counts no longer"


@pytest.mark.parametrize("batch", [4, 5, 16])
def test_a_row_has_the_passes_that_were_counted(batch: int, cache: Path, tmp_path: Path) -> None:
    """10 queries: a padded batch, none, and one that is larger."""
    loop = {"steps": 3, "rule": "l2"}
    attacks = [
        *("original", "anchor-code", "dhta-fgsm"),
        *({"attack": name, "params": loop} for name in ("dhta", "dhta-ifgsm")),
        {"attack": "pgd", "params": {**loop, "restarts": 2}},
    ]
    run_inline(small_suite(attacks=attacks, compute={"batch": batch}), cache, tmp_path)
    rows = load_results(tmp_path).set_index("attack")
    assert set(rows["status"]) == {"ok"}
    found = rows["passes_per_image"].to_dict()
    assert np.isnan(found.pop("anchor-code"))
    assert found == {"original": 0, "dhta-fgsm": 2, "dhta": 6, "dhta-ifgsm": 6, "pgd": 14}
    assert set(rows["notes"].fillna("")) == {""}


def test_counting_changes_no_bit() -> None:
    hasher = untrained()
    plain = gradient(hasher)
    PassCounter(hasher)
    assert torch.equal(gradient(hasher), plain)


def test_a_hasher_of_hashers_counts_each() -> None:
    hasher, part = untrained(), untrained()
    hasher.add_module("other", part)
    counter = PassCounter(hasher)
    gradient(hasher)
    gradient(part)
    assert counter.total == 4 * N


@pytest.mark.parametrize("hooks", ["_forward_pre_hooks", "_forward_hooks"])
def test_a_counter_that_was_removed_is_missed(hooks: str) -> None:
    hasher = untrained()
    counter = PassCounter(hasher)
    getattr(hasher.trunk, hooks).clear()
    hasher.trunk.register_forward_pre_hook(lambda *_: None)
    with pytest.raises(InvalidAttackError, match="hasher it was shown: trunk does not count"):
        counter.close()


def test_a_count_does_not_go_back() -> None:
    hasher = untrained()
    counter = PassCounter(hasher)
    gradient(hasher)
    assert counter.since(N) == N
    with pytest.raises(InvalidAttackError, match="set back the count of its passes"):
        counter.since(3 * N)
