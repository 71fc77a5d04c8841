"""Universal perturbations: which label rows have one, how they are learnt, and that fits resume."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from hashattack.attacks.base import Attack, AttackError, Pool
from hashattack.attacks.mainstay_code import mainstay_codes
from hashattack.attacks.protocols import EPSILON, PROTOCOLS
from hashattack.attacks.universal import UniversalPerturbation, frequent_rows, nearest_rows
from hashattack.benchmark.contract.world import MemoryJournal, World, knowledge
from hashattack.benchmark.registry import registry
from hashattack.benchmark.suites.loading import override
from hashattack.datasets.base import RetrievalData
from hashattack.datasets.seeds import generator
from hashattack.targets.hasher import sign_codes
from tests.conftest import untrained
from tests.test_pros_gan import Interrupted, quiet

PART = UniversalPerturbation(pool="train", most_rows=3, steps=4, images_per_step=5)


def rows(*texts: str) -> np.ndarray:
    return np.array([list(map(int, text)) for text in texts], dtype=np.uint8)


def test_the_most_frequent_label_rows_and_every_label_have_one() -> None:
    labels = rows(*5 * ["1100"], *3 * ["1000"], *2 * ["0110"], "0101", "0001", "0000", "0000")
    pool = Pool(labels, torch.zeros(len(labels), 0))
    assert frequent_rows(pool, 9).tolist() == rows("1100", "1000", "0110", "0001", "0101").tolist()
    assert frequent_rows(pool, 1).tolist() == rows("1100", "0110", "0001").tolist()


def test_a_label_row_without_one_takes_the_nearest() -> None:
    known = rows("1100", "1000", "0010")
    assert nearest_rows(rows("1000", "1110", "0011", "1001"), known).tolist() == [1, 0, 2, 1]
    with pytest.raises(AttackError, match=r"one of the target labels \[3\]; choose another"):
        nearest_rows(rows("1000", "0001"), known)


def test_each_is_learnt_by_sign_steps_on_the_sum_of_its_images(digits: RetrievalData) -> None:
    seen = knowledge(digits, untrained(dtype=torch.float64))
    made = PART.fit(seen, epsilon=EPSILON, seed=1, journal=MemoryJournal(), progress=quiet)
    label, found = made.state["labels"][1], made.state["perturbations"][1]
    code = mainstay_codes(seen.train, label[None], "cosine")[0]
    draws = generator(1, "universal/test", 1)
    delta = torch.zeros(3, 32, 32, dtype=torch.float64)
    for _ in range(4):
        picked = draws.integers(len(digits.train), size=5)
        images = torch.from_numpy(digits.train.images.read(picked)).double() / 255
        leaf = delta.clone().requires_grad_()
        similarity = [(seen.hasher((x + leaf).clamp(0, 1)[None]) * code).mean() for x in images]
        (slope,) = torch.autograd.grad(torch.stack(similarity).sum(), leaf)
        delta = (delta + slope.sign() / 255).clamp(-EPSILON, EPSILON)
    torch.testing.assert_close(torch.from_numpy(found), delta, rtol=0, atol=1e-12)
    assert len(made.curves["hash"]) == 4


def test_without_training_images_there_is_nothing_to_learn_from(digits: RetrievalData) -> None:
    seen = replace(knowledge(digits, untrained()), train_images=None)
    with pytest.raises(AttackError, match="needs the training images"):
        PART.fit(seen, epsilon=EPSILON, seed=1, journal=MemoryJournal(), progress=quiet)


def test_a_killed_fit_ends_with_the_same(digits: RetrievalData) -> None:
    seen = knowledge(digits, untrained())
    arguments: dict[str, Any] = {"epsilon": EPSILON, "seed": 1, "progress": quiet}
    whole = PART.fit(seen, journal=MemoryJournal(), **arguments)
    journal = Interrupted(2)
    with pytest.raises(KeyboardInterrupt):
        PART.fit(seen, journal=journal, **arguments)
    resumed = PART.fit(seen, journal=journal, **arguments)
    assert resumed.curves == whole.curves
    for name, array in whole.state.items():
        assert (resumed.state[name] == array).all(), name
    assert journal.saves == len(whole.state["labels"])


def test_it_moves_queries_that_it_has_not_seen(digits: RetrievalData, world: World) -> None:
    """Towards the mainstay codes of their targets, within the budget, without a pass."""
    attack = registry().attacks["universal"].build(PROTOCOLS["paper"])
    attack = override(attack, {"steps": 20, "most_rows": 5}, "test")
    assert isinstance(attack.crafting, UniversalPerturbation)
    assert (attack.passes, attack.learning) == (0, ("crafting",))
    seen = world.seen(PROTOCOLS["paper"], torch.float32)
    made = attack.crafting.fit(
        seen, epsilon=EPSILON, seed=0, journal=MemoryJournal(), progress=quiet
    )
    seen = replace(seen, fitted={"crafting": made.state})
    wanted = np.arange(6)
    batch = world.batch(wanted, None, torch.float32)
    images = Attack.ready(attack, seen)(batch)
    assert (images - batch.images).abs().max() <= EPSILON + 1e-6
    codes = mainstay_codes(seen.train, batch.labels.numpy(), "cosine").float()
    before, after = ((sign_codes(seen.hasher(x)) * codes).mean() for x in (batch.images, images))
    assert after > before + 0.1
    with pytest.raises(AttackError, match="must be positive"):
        replace(PART, steps=0)
