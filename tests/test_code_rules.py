"""Target-code rules of later papers, each against its formula written out as loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from hashattack.attacks.base import Knowledge, Pool
from hashattack.attacks.mainstay_code import MainstayCode, mainstay_codes
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
