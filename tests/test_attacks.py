"""The formulae of attacks; that each keeps its rules, see test_contract.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hashattack.attacks.base import AttackError, Knowledge, Pool
from hashattack.attacks.gradient import DHTA_SCHEDULE, ProjectedGradient
from hashattack.attacks.protocols import EPSILON, PROTOCOLS
from hashattack.attacks.target_codes import AnchorCode, RandomPoint, members
from hashattack.benchmark.contract.attack_checks import ROWS, Trial
from hashattack.benchmark.contract.world import World, untrained
from hashattack.benchmark.registry import registry
from hashattack.benchmark.suites.loading import override
from hashattack.datasets.draws import eligible_rows
from tests.test_draws import FLICKR


def test_dhta_moves_codes_towards_the_anchor(world: World) -> None:
    seen = world.seen(PROTOCOLS["paper"], torch.float64)
    for name in ("p2p", "dhta", "dhta-fgsm", "dhta-ifgsm"):
        attack = registry().attacks[name].build(PROTOCOLS["paper"])
        if name != "dhta-fgsm":
            attack = override(attack, {"steps": 20}, "test")
        codes = attack.target_codes(seen, world.targets, ROWS, 5)
        assert codes is not None
        batch = world.batch(ROWS, codes, torch.float64)
        before = (seen.hasher(batch.images) * codes).mean(dim=1)
        after = (seen.hasher(attack.ready(seen)(batch)) * codes).mean(dim=1)
        assert (after > before).all(), name


def test_dhta_is_the_published_loop(world: World) -> None:
    """Against projected gradient descent written out (DHTA, Eq. 4 and 8), 20 steps in float64."""
    seen = world.seen(PROTOCOLS["paper"], torch.float64)
    attack = override(registry().attacks["dhta"].build(PROTOCOLS["paper"]), {"steps": 20}, "test")
    codes = attack.target_codes(seen, world.targets, ROWS, 5)
    assert codes is not None
    batch = world.batch(ROWS, codes, torch.float64)
    adversarial, anchor = batch.images.clone(), codes.double()
    for alpha in [0.1] * 10 + [0.2] * 2 + [0.3] * 2 + [0.5] * 2 + [0.7] * 2 + [1.0] * 2:
        adversarial.requires_grad_()
        similarity = (anchor * seen.hasher(adversarial, alpha=alpha)).sum(1) / seen.hasher.bits
        gradient = torch.autograd.grad(-similarity.sum(), adversarial)[0].numpy()
        norms = np.sqrt((gradient**2).sum((1, 2, 3), keepdims=True))
        moved = adversarial.detach() - torch.from_numpy(gradient / norms)
        moved = torch.minimum(torch.maximum(moved, batch.images - 8 / 255), batch.images + 8 / 255)
        adversarial = moved.clamp(0, 1)
    assert torch.allclose(attack.ready(seen)(batch), adversarial, rtol=0, atol=1e-12)


def test_the_schedule_at_2000_steps_is_the_published_one() -> None:
    loop = ProjectedGradient(steps=2000, rule="sign", schedule=DHTA_SCHEDULE)
    published = [(0, 0.1), (999, 0.1), (1000, 0.2), (1199, 0.2), (1200, 0.3), (1399, 0.3)]
    published += [(1400, 0.5), (1599, 0.5), (1600, 0.7), (1799, 0.7), (1800, 1.0), (1999, 1.0)]
    assert [(step, loop.alpha(step)) for step, _ in published] == published


def test_published_settings() -> None:
    built = {
        (name, protocol): registry().attacks[name].build(PROTOCOLS[protocol])
        for name in ("p2p", "dhta", "dhta-fgsm", "dhta-ifgsm")
        for protocol in PROTOCOLS
    }
    for protocol, rule in (("released", "raw/32"), ("paper", "l2")):
        for name in ("p2p", "dhta"):
            loop = built[name, protocol].crafting
            assert isinstance(loop, ProjectedGradient)
            assert (loop.steps, loop.rule, loop.step_size) == (2000, rule, 1.0)
            assert loop.schedule == DHTA_SCHEDULE
        fgsm, ifgsm = (built[f"dhta-{n}", protocol].crafting for n in ("fgsm", "ifgsm"))
        assert isinstance(fgsm, ProjectedGradient)
        assert isinstance(ifgsm, ProjectedGradient)
        assert (fgsm.steps, fgsm.rule, fgsm.step_size) == (1, "sign", EPSILON)
        assert (ifgsm.steps, ifgsm.rule, ifgsm.step_size) == (100, "sign", 1 / 255)
        assert {fgsm.alpha(0), ifgsm.alpha(0), ifgsm.alpha(99)} == {1.0}
    assert {attack.epsilon for attack in built.values()} == {8 / 255}


def test_raw_32_is_the_released_step_at_batch_32() -> None:
    gradient = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    loop = ProjectedGradient(steps=1, rule="raw/32")
    assert torch.equal(loop.direction(gradient), gradient / 32)
    unit = ProjectedGradient(steps=1, rule="l2")
    assert torch.allclose(unit.direction(gradient).flatten(1).norm(dim=1), torch.ones(2))
    assert not unit.direction(torch.zeros(1, 3, 4, 4)).isnan().any()


def test_an_anchor_is_the_majority_and_is_shared_by_its_label_row() -> None:
    labels = np.repeat(np.eye(2, dtype=np.uint8), 9, axis=0)
    codes = torch.ones(18, 3, dtype=torch.int8)
    codes[:5, 0] = -1  # five of nine votes
    codes[:4, 1] = -1  # four of nine
    seen = Knowledge("t", untrained(bits=3), Pool(labels, codes))
    rule = AnchorCode(pool="train", replacement=False)
    targets = labels[[0, 0, 17]]
    anchors = rule.codes(seen, targets, np.array([4, 9, 2]), 0)
    assert anchors.tolist() == [[-1, 1, 1], [-1, 1, 1], [1, 1, 1]]
    all_vote = AnchorCode(pool="train", replacement=False, n_t=10)
    assert torch.equal(all_vote.codes(seen, targets, np.arange(3), 0), anchors)
    with pytest.raises(AttackError, match="does not show the database"):
        AnchorCode(pool="database", replacement=True).codes(seen, targets, np.arange(3), 0)


def test_a_label_row_that_no_image_carries_takes_the_nearest() -> None:
    labels = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1], [1, 0, 1, 0]], dtype=np.uint8)
    pool = Pool(labels, torch.ones(4, 3, dtype=torch.int8))
    for target, nearest in (
        ([1, 1, 1, 0], [2]),
        ([1, 1, 0, 0], [0]),
        ([0, 1, 1, 0], [2]),
        ([1, 0, 0, 1], [1, 2]),
    ):
        assert members(pool, np.array(target, dtype=np.uint8)).tolist() == nearest
    with pytest.raises(AttackError, match=r"none of the images .* \[3\]"):
        members(Pool(labels[:2], pool.codes[:2]), np.array([0, 0, 0, 1], dtype=np.uint8))


@pytest.mark.skipif(not FLICKR.is_dir(), reason="the real FLICKR-25K split lists are not here")
def test_the_training_set_has_an_anchor_for_every_frequent_row_of_flickr() -> None:
    database, train = (
        np.loadtxt(FLICKR / f"{split}_label.txt", dtype=np.uint8) for split in ("database", "train")
    )
    pool = Pool(train, torch.zeros(len(train), 0))
    rows = eligible_rows("frequent", database, train, 9)
    found = [members(pool, row) for row in rows]
    nearest = [(train[near] != row).any() for near, row in zip(found, rows, strict=True)]
    assert sum(nearest) == 13
    assert sum(len(near) < 9 for near in found) > 200, "fewer vote"


def test_p2p_draws_one_code_a_query_from_images_of_the_label() -> None:
    labels = np.repeat(np.eye(2, dtype=np.uint8), 32, axis=0)
    bits = 2 ** torch.arange(6)
    codes = ((torch.arange(64)[:, None] & bits > 0).to(torch.int8) * 2 - 1).to(torch.int8)
    seen = Knowledge("t", untrained(bits=6), Pool(labels, codes))
    rule = RandomPoint(pool="train")
    points = rule.codes(seen, labels[[0] * 20], np.arange(20), 0)
    assert (points[:, 5] == -1).all()  # images 0 to 31 carry label 0
    assert len({tuple(point) for point in points.tolist()}) > 5
    assert torch.equal(points[:7], rule.codes(seen, labels[[0] * 7], np.arange(7), 0))


def test_noise_is_uniform_and_belongs_to_the_query(world: World) -> None:
    trial = Trial(registry().attacks["noise"].build, PROTOCOLS["released"], world)
    clean = world.batch(ROWS, None, torch.float64).images
    inside = (clean > EPSILON) & (clean < 1 - EPSILON)  # where nothing was clipped
    noise = (trial.exact_images() - clean)[inside] / EPSILON
    assert abs(noise.mean()) < 0.05
    assert abs(noise.square().mean() - 1 / 3) < 0.02
