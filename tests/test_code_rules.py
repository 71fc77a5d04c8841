"""Target-code rules of later papers, each against its formula written out as loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from hashattack.attacks.base import Knowledge, Pool
from hashattack.attacks.gradient import DHTA_SCHEDULE, ProjectedGradient
from hashattack.attacks.iao_code import IaoCode, iao_loss
from hashattack.attacks.mainstay_code import MainstayCode, mainstay_codes
from hashattack.attacks.optimisers import adam, sgd
from hashattack.attacks.protocols import PROTOCOLS
from hashattack.attacks.tha import ThaCode, circle_loss
from hashattack.benchmark.registry import registry
from hashattack.datasets.seeds import generator
from tests.conftest import untrained


def a_pool(images: int = 60, classes: int = 5, bits: int = 7, seed: int = 0) -> Pool:
    """Return a pool of random label rows, some of them without a label, and random codes."""
    draws = np.random.Generator(np.random.PCG64(seed))
    labels = (draws.random((images, classes)) < 0.35).astype(np.uint8)
    codes = torch.from_numpy(draws.choice([-1, 1], (images, bits)).astype(np.int8))
    return Pool(labels, codes)


def a_mainstay_code(pool: Pool, row: list[int], weights: str) -> list[int]:
    """Return SAAT's closed form of one label row, in plain Python."""
    own = {label for label, carried in enumerate(row) if carried}
    pairs: list[tuple[set[int], list[int]]] = [
        ({label for label, carried in enumerate(labels) if carried}, code)
        for labels, code in zip(pool.labels.tolist(), pool.codes.tolist(), strict=True)
    ]
    code = []
    for bit in range(pool.codes.shape[1]):
        above = below = total = 0.0
        others = []
        for labels, b in pairs:
            if not labels & own:
                others.append(b[bit])
                continue
            shared = len(labels & own)
            weight = {
                "equal": 1.0,
                "jaccard": shared / len(labels | own),
                "cosine": shared / math.sqrt(len(labels) * len(own)),
            }[weights]
            above += weight * b[bit]
            total += weight
        if total:
            below += above / total
        if others:
            below -= sum(others) / len(others)
        code.append(1 if below > -1e-9 else -1)
    return code


@pytest.mark.parametrize("weights", ["equal", "jaccard", "cosine"])
def test_a_mainstay_code_is_its_closed_form(weights: Any) -> None:
    for seed in range(4):
        pool = a_pool(seed=seed)
        rows = np.unique(a_pool(seed=seed + 9).labels, axis=0)
        found = mainstay_codes(pool, rows, weights)
        assert found.tolist() == [a_mainstay_code(pool, row, weights) for row in rows.tolist()]
        assert torch.equal(
            found, torch.cat([mainstay_codes(pool, row[None], weights) for row in rows])
        )


def test_the_mean_over_an_empty_set_is_zero() -> None:
    labels = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0]], dtype=np.uint8)
    pool = Pool(labels, torch.tensor([[1, 1, -1], [1, -1, -1], [-1, 1, -1]], dtype=torch.int8))
    rows = np.array([[1, 0, 0], [0, 0, 1], [0, 0, 0]], dtype=np.uint8)
    majority = [1, 1, -1]
    opposite = [-bit for bit in majority]
    assert mainstay_codes(pool, rows, "equal").tolist() == [majority, opposite, opposite]


def test_a_tie_is_plus_one_whatever_the_rounding() -> None:
    """Each bit has the same mean on both sides; in floating point the two may differ."""
    labels = np.repeat(np.eye(2, dtype=np.uint8), [3, 7 * 3], axis=0)
    code = torch.tensor([[1], [1], [-1]], dtype=torch.int8)
    pool = Pool(labels, code.repeat(8, 1))
    assert mainstay_codes(pool, np.eye(2, dtype=np.uint8), "cosine").tolist() == [[1], [1]]


def test_the_opposite_turns_every_bit() -> None:
    pool = a_pool()
    seen = Knowledge("t", untrained(bits=7), pool)
    rows, numbers = pool.labels[:4], np.arange(4)
    code, other = (
        MainstayCode(opposite=opposite).codes(seen, rows, numbers, 0) for opposite in (False, True)
    )
    assert torch.equal(code, -other)


def an_iao_code(pool: Pool, row: Any, steps: int, seed: int, source: str) -> list[int]:
    """Return TTA-GAN's anchor of one label row: its gradient and Adam written out in NumPy."""
    codes = pool.codes.numpy().astype(float)
    similar = (pool.labels * row).sum(axis=1) > 0
    bits = codes.shape[1]
    logit: Any = generator(seed, f"iao/{source}/{row.tobytes().hex()}").normal(size=bits)
    first, second = np.zeros(bits), np.zeros(bits)
    for step in range(steps):
        done = [round(end * steps) for end, _ in DHTA_SCHEDULE]
        alpha = next(a for (_, a), end in zip(DHTA_SCHEDULE, done, strict=True) if step < end)
        a = np.tanh(alpha * logit)
        w = codes @ a / bits
        pull = np.zeros(len(codes))
        for members, factor in ((similar, w - 2), (~similar, w + 2)):
            if members.any():
                powers = np.exp(factor[members] * w[members])
                pull[members] = factor[members] * powers / powers.sum()
        gradient = codes.T @ pull / bits * alpha * (1 - a**2)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        mean, spread = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.999 ** (step + 1))
        logit = logit - mean / (np.sqrt(spread) + 1e-8)
    return [1 if bit >= 0 else -1 for bit in logit]


def test_the_iao_loss_is_its_formula() -> None:
    pool = a_pool()
    draws = torch.rand(2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows = np.array([[1, 0, 0, 0, 0], [0, 1, 1, 0, 0]])
    similar = torch.from_numpy(rows @ pool.labels.T > 0)
    for anchor, members, loss in zip(
        draws.tolist(), similar.tolist(), iao_loss(draws, pool.codes.double(), similar), strict=True
    ):
        near = far = 0.0
        for code, member in zip(pool.codes.tolist(), members, strict=True):
            w = sum(a * b for a, b in zip(anchor, code, strict=True)) / 7
            near += math.exp(-(2 - w) * w) if member else 0.0
            far += 0.0 if member else math.exp((2 + w) * w)
        assert loss.item() == pytest.approx(math.log(near) + math.log(far), abs=1e-12)


def test_an_iao_code_is_its_descent_written_out() -> None:
    pool = a_pool(images=40, bits=9)
    seen = Knowledge("t", untrained(bits=9), pool)
    rows = np.concatenate([np.unique(pool.labels, axis=0), np.zeros((1, 5), dtype=np.uint8)])
    rule = IaoCode(steps=20)
    found = rule.codes(seen, rows, np.arange(len(rows)), 3)
    assert found.tolist() == [an_iao_code(pool, row, 20, 3, "t") for row in rows]
    alone = [rule.codes(seen, row[None], np.array([7]), 3) for row in rows[-3:]]
    assert torch.equal(found[-3:], torch.cat(alone))


def test_the_optimisers_are_those_of_torch() -> None:
    """Twelve steps on a quartic, whose gradients change."""
    start = torch.rand(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for direction, rate, make in (
        (adam(), 0.1, lambda x: torch.optim.Adam([x], lr=0.1)),
        (sgd(momentum=0.9), 0.01, lambda x: torch.optim.SGD([x], lr=0.01, momentum=0.9)),
    ):
        mine, its = start.clone(), start.clone().requires_grad_()
        optimiser = make(its)
        for _ in range(12):
            mine = mine - rate * direction(4 * mine**3)
            optimiser.zero_grad()
            (its**4).sum().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        assert torch.allclose(mine, its, rtol=0, atol=1e-12)


def test_thas_loss_is_its_formula() -> None:
    """The circle loss over all pairs, and the distance of the outputs from their signs."""
    pool = a_pool()
    rows = np.array([[1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 0]])
    h = torch.rand(3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    similar = torch.from_numpy(rows @ pool.labels.T > 0).double()
    near = far = 0.0
    for prototype, members in zip(h.tolist(), similar.tolist(), strict=True):
        length = math.sqrt(sum(value**2 for value in prototype))
        for code, member in zip(pool.codes.tolist(), members, strict=True):
            s = sum(a * b for a, b in zip(prototype, code, strict=True)) / length / math.sqrt(7)
            near += math.exp(max(1 - s, 0) * (1 - s)) if member else 0.0
            far += 0.0 if member else math.exp(max(s, 0) * s)
    wanted = math.log(1 + near * far)
    wanted += sum((math.copysign(1, value) - value) ** 2 for value in h.flatten().tolist()) / 3e4
    rule = ThaCode(prototype_rows="train")
    found = rule.loss((h, h, h), torch.from_numpy(rows), pool.codes.double(), similar)
    assert found.item() == pytest.approx(wanted, abs=1e-12)


def test_thas_factors_are_constants_and_one_kind_of_pair_alone_has_no_loss() -> None:
    codes = a_pool().codes.double()
    h = torch.rand(2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    similar = (torch.arange(len(codes)) % 2).expand(2, -1)
    leaf = h.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(circle_loss(leaf, codes, similar), leaf)
    cosines = torch.nn.functional.normalize(h) @ codes.T / math.sqrt(7)

    def with_factors_of_h(other: torch.Tensor) -> torch.Tensor:
        s = torch.nn.functional.normalize(other) @ codes.T / math.sqrt(7)
        same, rest = similar > 0, similar == 0
        near = ((1 - cosines).clamp_min(0) * (1 - s))[same].exp().sum()
        far = (cosines.clamp_min(0) * s)[rest].exp().sum()
        return (1 + near * far).log()

    for place in ((0, 0), (1, 4)):
        step = torch.zeros_like(h)
        step[place] = 1e-6
        slope = (with_factors_of_h(h + step) - with_factors_of_h(h - step)) / 2e-6
        assert gradient[place].item() == pytest.approx(slope.item(), abs=1e-8)
    alone = circle_loss(leaf, codes, torch.ones_like(similar))
    (gradient,) = torch.autograd.grad(alone, leaf)
    assert (alone.item(), gradient.abs().max().item()) == (0.0, 0.0)


def test_thas_published_settings() -> None:
    for protocol in PROTOCOLS.values():
        attack = registry().attacks["tha"].build(protocol)
        assert isinstance(rule := attack.target_code, ThaCode)
        assert (rule.prototype_steps, rule.prototype_batch) == (100 * 300, 64)
        assert (rule.prototype_rate, rule.prototype_decay) == (1e-4, True)
        assert isinstance(loop := attack.crafting, ProjectedGradient)
        assert (loop.steps, loop.rule, loop.step_size) == (100, "sign", 1 / 255)
        assert loop.schedule == DHTA_SCHEDULE
