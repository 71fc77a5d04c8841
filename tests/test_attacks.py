"""Contract tests over every registered attack under both protocols, and their formulae."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from attacks.base import Arrays, Attack, AttackError, Batch, Knowledge, Pool
from attacks.gradient import DHTA_SCHEDULE, GradientLoop
from attacks.protocols import EPSILON, PROTOCOLS
from attacks.target_codes import AnchorCode, RandomPoint
from benchmark.parameters import hyper_parameters, override
from benchmark.registry import registry
from datasets.base import RetrievalData
from targets.hasher import Hasher, sign_codes
from targets.training import to_pixels
from tests.conftest import untrained

CPU = torch.device("cpu")
# Equal compositions are tried once: most attacks are the same under paper and paper-literal.
ATTACKS = list(
    {
        (name, repr(entry.build(values))): (name, protocol)
        for name, entry in registry().attacks.items()
        for protocol, values in reversed(PROTOCOLS.items())
    }.values()
)
QUERIES = 6


def quick(name: str, protocol: str) -> Attack:
    """Return an attack with few steps."""
    attack = registry().attacks[name].build(PROTOCOLS[protocol])
    if attack.unavailable:
        pytest.skip(attack.unavailable)
    known = hyper_parameters(attack)
    few = {"prototype_steps": 20, "epochs": 1, "width": 4, "batch": 40}
    few |= {"steps": 5} if known.get("steps", 0) > 5 else {}
    return override(attack, {n: v for n, v in few.items() if n in known}, "test")


class Memory:
    """A journal that keeps the last state, and may lose its patience."""

    def __init__(self, die_after: int | None = None) -> None:
        self.state: Arrays | None = None
        self.saves = 0
        self.die_after = die_after

    def load(self) -> Arrays | None:
        return None if self.state is None else dict(self.state)

    def save(self, state: Arrays) -> None:
        self.state = {name: array.copy() for name, array in state.items()}
        self.saves += 1
        if self.saves == self.die_after:
            raise KeyboardInterrupt


def quiet(done: int, total: int, unit: str) -> None: ...


def learnt(attack: Attack, seen: Knowledge) -> Knowledge:
    """Return the knowledge with what the attack's parts learn from it."""
    parts = {"target_code": attack.target_code, "crafting": attack.crafting}
    for role, part in parts.items():
        if part is not None and part.learns:
            epsilon = attack.epsilon if role == "crafting" else None
            fitted = part.fit(seen, epsilon=epsilon, seed=5, journal=Memory(), progress=quiet)
            seen = replace(seen, fitted={**seen.fitted, role: dict(fitted.state)})
    return seen


def knowledge(data: RetrievalData, hasher: Hasher) -> Knowledge:
    def pool(split: str) -> Pool:
        part = data.train if split == "train" else data.database
        dtype = next(hasher.parameters()).dtype
        pixels = to_pixels(part.images.read(np.arange(len(part))), CPU, dtype)
        with torch.no_grad():
            return Pool(np.array(part.labels), sign_codes(hasher(pixels)))

    return Knowledge(
        "test", hasher, pool("train"), pool("database"), train_images=data.train.images
    )


def batch_of(
    data: RetrievalData, codes: torch.Tensor | None, rows: np.ndarray, dtype: torch.dtype
) -> Batch:
    return Batch(
        images=to_pixels(data.query.images.read(rows), CPU, dtype),
        codes=None if codes is None else codes[rows],
        targets=torch.from_numpy(frequent_targets(data)[rows]),
        rows=rows,
        seed=5,
    )


def frequent_targets(data: RetrievalData) -> np.ndarray:
    labels, counts = np.unique(data.train.labels, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:2]
    return labels[order][np.arange(QUERIES) % 2]


def craft(
    attack: Attack, data: RetrievalData, size: int, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Craft the first queries in batches of ``size``."""
    hasher = untrained(dtype=dtype)
    seen = learnt(attack, knowledge(data, hasher))
    codes = attack.target_codes(seen, frequent_targets(data), np.arange(QUERIES), 5)
    if attack.code_only:
        assert codes is not None
        return codes
    perturb = attack.ready(seen)
    chunks = [np.arange(i, min(i + size, QUERIES)) for i in range(0, QUERIES, size)]
    return torch.cat([perturb(batch_of(data, codes, rows, dtype)).detach() for rows in chunks])


@pytest.mark.parametrize(("name", "protocol"), ATTACKS)
def test_what_comes_out_keeps_every_promise(
    name: str, protocol: str, digits: RetrievalData
) -> None:
    attack = quick(name, protocol)
    out = craft(attack, digits, QUERIES)
    assert attack.id == name
    if attack.code_only:
        assert out.shape == (QUERIES, 12)
        assert bool((out.abs() == 1).all())
        return
    clean = to_pixels(digits.query.images.read(np.arange(QUERIES)), CPU, torch.float32)
    assert out.shape == clean.shape
    assert out.dtype == torch.float32
    assert bool(torch.isfinite(out).all())
    assert out.min() >= 0
    assert out.max() <= 1
    if attack.epsilon is not None:
        assert (out - clean).abs().max() <= attack.epsilon + 1e-6


@pytest.mark.parametrize(("name", "protocol"), ATTACKS)
def test_it_repeats_and_touches_nothing(name: str, protocol: str, digits: RetrievalData) -> None:
    torch_state, numpy_state = torch.random.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002
    attack = quick(name, protocol)
    hasher = untrained()
    before = {n: t.clone() for n, t in hasher.state_dict().items()}
    seen = learnt(attack, knowledge(digits, hasher))
    codes = attack.target_codes(seen, frequent_targets(digits), np.arange(QUERIES), 5)
    if not attack.code_only:
        attack.ready(seen)(batch_of(digits, codes, np.arange(QUERIES), torch.float32))
    assert all(torch.equal(before[n], t) for n, t in hasher.state_dict().items())
    assert all(p.grad is None for p in hasher.parameters())
    assert torch.equal(craft(attack, digits, QUERIES), craft(attack, digits, QUERIES))
    assert torch.equal(torch_state, torch.random.get_rng_state())
    assert numpy_state == repr(np.random.get_state())  # noqa: NPY002


@pytest.mark.parametrize(("name", "protocol"), ATTACKS)
def test_the_batch_an_image_is_in_does_not_matter(
    name: str, protocol: str, digits: RetrievalData
) -> None:
    attack = quick(name, protocol)
    whole = craft(attack, digits, QUERIES, torch.float64)
    for size in (1, 4):
        assert torch.allclose(
            craft(attack, digits, size, torch.float64).double(), whole.double(), atol=1e-9
        )


@pytest.mark.parametrize(("name", "protocol"), ATTACKS)
def test_at_zero_budget_a_budgeted_attack_is_the_identity(
    name: str, protocol: str, digits: RetrievalData
) -> None:
    attack = quick(name, protocol)
    if attack.code_only or attack.epsilon is None:
        pytest.skip("declares no budget")
    clean = to_pixels(digits.query.images.read(np.arange(QUERIES)), CPU, torch.float32)
    assert torch.equal(craft(replace(attack, epsilon=0.0), digits, QUERIES), clean)


def test_dhta_moves_codes_towards_the_anchor(digits: RetrievalData) -> None:
    hasher = untrained(dtype=torch.float64)
    seen = knowledge(digits, hasher)
    rows = np.arange(QUERIES)
    for name in ("p2p", "dhta", "dhta-fgsm", "dhta-ifgsm"):
        attack = registry().attacks[name].build(PROTOCOLS["paper"])
        if name != "dhta-fgsm":
            attack = override(attack, {"steps": 20}, "test")
        codes = attack.target_codes(seen, frequent_targets(digits), rows, 5)
        assert codes is not None
        batch = batch_of(digits, codes, rows, torch.float64)
        before = (hasher(batch.images) * codes).mean(dim=1)
        after = (hasher(attack.ready(seen)(batch)) * codes).mean(dim=1)
        assert (after > before).all(), name


def test_the_schedule_at_2000_steps_is_the_published_one() -> None:
    loop = GradientLoop(steps=2000, rule="sign", schedule=DHTA_SCHEDULE)
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
            assert isinstance(loop, GradientLoop)
            assert (loop.steps, loop.rule, loop.step_size) == (2000, rule, 1.0)
            assert loop.schedule == DHTA_SCHEDULE
        fgsm, ifgsm = (built[f"dhta-{n}", protocol].crafting for n in ("fgsm", "ifgsm"))
        assert isinstance(fgsm, GradientLoop)
        assert isinstance(ifgsm, GradientLoop)
        assert (fgsm.steps, fgsm.rule, fgsm.step_size) == (1, "sign", EPSILON)
        assert (ifgsm.steps, ifgsm.rule, ifgsm.step_size) == (100, "sign", 1 / 255)
        assert {fgsm.alpha(0), ifgsm.alpha(0), ifgsm.alpha(99)} == {1.0}
    assert {attack.epsilon for attack in built.values()} == {8 / 255}


def test_raw_32_is_the_released_step_at_batch_32() -> None:
    gradient = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    loop = GradientLoop(steps=1, rule="raw/32")
    assert torch.equal(loop.direction(gradient), gradient / 32)
    norms = GradientLoop(steps=1, rule="l2").direction(gradient).flatten(1).norm(dim=1)
    assert torch.allclose(norms, torch.ones(2))
    assert not GradientLoop(steps=1, rule="l2").direction(torch.zeros(1, 3, 4, 4)).isnan().any()


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
    with pytest.raises(AttackError, match="only 9 carry"):
        AnchorCode(pool="train", replacement=False, n_t=10).codes(seen, targets, np.arange(3), 0)
    with pytest.raises(AttackError, match="no image carries exactly"):
        rule.codes(seen, np.ones((1, 2), dtype=np.uint8), np.arange(1), 0)
    with pytest.raises(AttackError, match="does not show the database"):
        AnchorCode(pool="database", replacement=True).codes(seen, targets, np.arange(3), 0)


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


def test_noise_is_uniform_and_belongs_to_the_query(digits: RetrievalData) -> None:
    out = craft(quick("noise", "released"), digits, QUERIES, torch.float64)
    clean = to_pixels(digits.query.images.read(np.arange(QUERIES)), CPU, torch.float64)
    inside = (clean > EPSILON) & (clean < 1 - EPSILON)  # where nothing was clipped
    noise = (out - clean)[inside] / EPSILON
    assert abs(noise.mean()) < 0.05
    assert abs(noise.square().mean() - 1 / 3) < 0.02
