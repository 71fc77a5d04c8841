"""The attacks of SAAT's table that the first paper has not: losses written out, aims reached."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hashattack.attacks.base import Attack, Batch, Knowledge, Pool
from hashattack.attacks.gradient import DHTA_SCHEDULE, ProjectedGradient
from hashattack.attacks.hag import HagGradient
from hashattack.attacks.protocols import EPSILON, PROTOCOLS
from hashattack.attacks.saat import SaatGradient
from hashattack.attacks.sdha import SdhaGradient
from hashattack.benchmark import api
from hashattack.benchmark.contract.attack_checks import ROWS
from hashattack.benchmark.contract.world import World, knowledge, learn
from hashattack.benchmark.metrics.average_precision import mean_average_precision
from hashattack.benchmark.registry import registry
from hashattack.benchmark.suites.loading import override
from hashattack.datasets.base import RetrievalData
from hashattack.datasets.digits import Digits
from hashattack.targets.hasher import sign_codes
from hashattack.targets.training import to_pixels

SMOKE = Path(__file__).parent / "baseline/smoke-targets/digits-DPSH-Tiny-32-0.safetensors"
QUERIES = np.arange(16)
K = 9


def built(name: str, **params: Any) -> Attack:
    return override(registry().attacks[name].build(PROTOCOLS["paper"]), params, "test")


def outputs_and_codes(shape: Sequence[int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return outputs ``[4, K]``, of which the last agree with no code, and codes of a shape."""
    draws = np.random.Generator(np.random.PCG64(seed))
    codes = torch.from_numpy(draws.choice([-1.0, 1.0], shape))
    return torch.from_numpy(draws.uniform(-1, 1, (4, K))), codes


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("away", [False, True])
def test_saats_loss_is_its_formula(away: bool) -> None:
    outputs, c = outputs_and_codes((4, K))
    outputs[3] = -0.9 * c[3] if away else 0.9 * c[3]  # all bits have flipped
    loop = SaatGradient(steps=1, rule="sign", away=away)
    found = loop.loss(outputs, -c if away else c)
    for image, loss in enumerate(found.tolist()):
        above = count = 0.0
        for z, bit in zip(outputs[image].tolist(), c[image].tolist(), strict=True):
            s = z * bit
            if (s > -0.5) if away else (s < 0.5):
                above += (s + 2) * s * (1 if away else -1)
                count += 1
        assert loss == pytest.approx(above / count if count else 0.0, abs=1e-12)
    assert found[3] == 0


def test_hags_loss_is_its_formula() -> None:
    outputs, h = outputs_and_codes((4, K))
    outputs[3] = -0.9 * h[3]
    found = HagGradient().loss(outputs, -h)
    for image, loss in enumerate(found.tolist()):
        agreement = balance = count = 0.0
        for z, bit in zip(outputs[image].tolist(), h[image].tolist(), strict=True):
            if abs(z - bit) < 1.5:
                agreement += z * bit
                balance += z
                count += 1
        mean = agreement / count if count else 0.0
        assert loss == pytest.approx((mean + 1) ** 2 + (balance / K) ** 2, abs=1e-12)


@pytest.mark.parametrize("away", [False, True])
def test_sdhas_loss_is_its_formula(away: bool) -> None:
    outputs, relevant = outputs_and_codes((4, 6, K))
    relevant[1, 4:] = 0  # no codes, but what fills a shorter list up
    relevant[2] = 0
    relevant[3, 0] = torch.where(outputs[3] >= 0, 1, -1)  # at a distance of zero
    found = SdhaGradient(away=away).loss(outputs, relevant)
    for image, loss in enumerate(found.tolist()):
        terms = []
        for code in relevant[image].tolist():
            if not any(code):
                continue
            pairs = list(zip(outputs[image].tolist(), code, strict=True))
            distance = sum((z >= 0) != (r > 0) for z, r in pairs)
            if away:
                bits = sum(
                    abs(z - r) / 2 * logistic(5 * z * r) + 1 - logistic(5 * z * r) for z, r in pairs
                )
                terms.append(-((distance + 1e-8) ** -0.5) * bits)
            else:
                bits = sum(abs(z - r) / 2 * logistic(-10 * z * r) for z, r in pairs)
                terms.append((distance + 1e-8) ** 0.3 * bits)
        mean = sum(terms) / len(terms) if terms else 0.0
        assert loss == pytest.approx(25 / K * mean, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("loop", "misled"),
    [
        (SaatGradient(steps=1, rule="sign"), True),
        (SaatGradient(steps=1, rule="sign", away=True), True),
        (HagGradient(), True),
        (SdhaGradient(), False),
        (SdhaGradient(away=True), False),
    ],
)
def test_of_two_restarts_the_one_with_more_flipped_bits_is_kept(
    loop: ProjectedGradient, misled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss that leaves flipped bits out is lower where some have not flipped yet."""
    codes = outputs_and_codes((4, K))[1]
    towards = codes
    if isinstance(loop, SdhaGradient):
        towards = -codes if loop.away else codes
        codes = torch.stack([codes, codes, 0 * codes], dim=1)  # the last is no code
    all_flipped = 0.9 * towards
    some_flipped = towards * torch.tensor([0.9] * (K - 4) + [0.4, 0.4, 0.4, -0.05])
    if misled:
        assert (loop.loss(some_flipped, codes) < loop.loss(all_flipped, codes)).all()
    swapped = torch.tensor([False, False, False, True]).view(4, 1)  # each image for itself
    orders = (some_flipped, all_flipped), (all_flipped, some_flipped)
    tries = [torch.where(swapped, *pair)[:, None, None] for pair in orders]
    monkeypatch.setattr(ProjectedGradient, "_once", lambda *given: tries[given[-1]])
    batch = Batch(tries[0], None, torch.zeros(4, 3, dtype=torch.uint8), np.arange(4), seed=0)

    def hasher(images: Tensor, alpha: float) -> Tensor:
        return images[:, 0, 0]

    twice = replace(loop, random_start=True, restarts=2)
    kept = twice.descend(batch, codes, hasher, EPSILON)  # type: ignore[arg-type]
    assert torch.equal(kept[:, 0, 0], all_flipped)


def written_out(
    attack: Attack, batch: Batch, hasher: Any, loss: Any, step: Any, steps: int
) -> Tensor:
    """Return the images of projected descent, alpha by alpha, on a loss of images and outputs."""
    adversarial, state = batch.images.clone(), dict[str, Any]()
    ends = [(round(end * steps), alpha) for end, alpha in DHTA_SCHEDULE]
    for number in range(steps):
        alpha = next(alpha for end, alpha in ends if number < end)
        adversarial.requires_grad_()
        value = loss(adversarial, hasher(adversarial, alpha=alpha))
        (gradient,) = torch.autograd.grad(value.sum(), adversarial)
        moved = adversarial.detach() - step(gradient, number + 1, state)
        moved = torch.minimum(torch.maximum(moved, batch.images - EPSILON), batch.images + EPSILON)
        adversarial = moved.clamp(0, 1)
    return adversarial


def test_hag_takes_the_step_of_a_full_batch(world: World) -> None:
    """As released: rate 100, momentum .9, the mean over 128 images."""
    seen = world.seen(PROTOCOLS["paper"], torch.float64)
    attack, batch = built("hag", steps=20), world.batch(ROWS, None, torch.float64)
    own = sign_codes(seen.hasher(batch.images))

    def loss(_: Tensor, outputs: Tensor) -> Tensor:
        return HagGradient().loss(outputs, -own) / 128

    def step(gradient: Tensor, _: int, state: dict[str, Any]) -> Any:
        state["velocity"] = 0.9 * state.get("velocity", 0) + gradient
        return 100 * state["velocity"]

    wanted = written_out(attack, batch, seen.hasher, loss, step, 20)
    assert torch.allclose(attack.ready(seen)(batch), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize("name", ["sdha", "sdha-nontargeted"])
def test_sdha_is_adam_on_pixels_and_codes(name: str, momentum: float, world: World) -> None:
    """A momentum is of both gradients together."""
    seen, batch = (
        world.seen(PROTOCOLS["paper"], torch.float64),
        world.batch(ROWS, None, torch.float64),
    )
    attack = built(name, steps=20, momentum=momentum)
    crafting = attack.crafting
    assert isinstance(crafting, SdhaGradient)
    shared = batch.labels.int() @ torch.from_numpy(seen.train.labels).int().T > 0
    relevant = [seen.train.codes[row].double()[None] for row in shared]

    def loss(images: Tensor, outputs: Tensor) -> Tensor:
        pixels = (images - batch.images).square().flatten(1).mean(dim=1)
        codes = [
            crafting.loss(one[None], known) for one, known in zip(outputs, relevant, strict=True)
        ]
        return pixels + torch.cat(codes)

    def step(gradient: Tensor, number: int, state: dict[str, Any]) -> Any:
        if momentum:
            size = gradient.abs().mean(dim=(1, 2, 3), keepdim=True).clamp_min(1e-300)
            gradient = gradient / size + momentum * state.get("momentum", 0)
            state["momentum"] = gradient
        state["first"] = 0.9 * state.get("first", 0) + 0.1 * gradient
        state["second"] = 0.999 * state.get("second", 0) + 0.001 * gradient**2
        mean, square = state["first"] / (1 - 0.9**number), state["second"] / (1 - 0.999**number)
        return 0.01 * mean / (square.sqrt() + 1e-8)

    wanted = written_out(attack, batch, seen.hasher, loss, step, 20)
    assert torch.allclose(attack.ready(seen)(batch), wanted, rtol=0, atol=1e-9)


def test_sdha_draws_relevant_codes_where_there_are_many(world: World) -> None:
    seen = world.seen(PROTOCOLS["paper"], torch.float64)
    batch = world.batch(ROWS, None, torch.float64)
    crafting = SdhaGradient(most=7)
    drawn = crafting._relevant(batch, seen)
    assert drawn.shape == (len(ROWS), 7, seen.hasher.bits)
    assert not torch.equal(drawn[0], drawn[1])  # of one label row, two draws
    one = crafting._relevant(world.batch(ROWS[1:2], None, torch.float64), seen)
    assert torch.equal(one[0], drawn[1])


@pytest.mark.parametrize("name", ["sdha", "sdha-nontargeted"])
def test_sdha_leaves_a_query_whose_labels_no_training_image_has(name: str, world: World) -> None:
    seen, batch = (
        world.seen(PROTOCOLS["paper"], torch.float64),
        world.batch(ROWS, None, torch.float64),
    )
    labels = batch.labels.clone()
    labels[1] = 0
    images = built(name, steps=3).ready(seen)(replace(batch, labels=labels))
    assert [torch.equal(*pair) for pair in zip(images, batch.images, strict=True)] == [
        row == 1 for row in ROWS
    ]


def test_published_settings() -> None:
    loops = {}
    for name in ("saat", "saat-nontargeted", "hag", "sdha", "sdha-nontargeted"):
        attack = built(name)
        assert isinstance(attack.crafting, ProjectedGradient)
        assert (attack.epsilon, attack.crafting.schedule) == (8 / 255, DHTA_SCHEDULE)
        loops[name] = (attack.crafting.steps, attack.crafting.step_size, attack.crafting.rule)
        assert attack.goal == ("targeted" if name in ("saat", "sdha") else "non-targeted")
        assert attack.sees_query_labels == name.endswith("-nontargeted")
    assert loops["saat"] == loops["saat-nontargeted"] == (100, 1 / 255, "sign")
    assert loops["sdha"] == loops["sdha-nontargeted"] == (1500, 0.01, "adam")
    assert loops["hag"] == (2000, 100 / 128, "sgd")


@pytest.fixture(scope="module")
def trained(cache: Path) -> tuple[RetrievalData, Knowledge]:
    """Return the digits and the 32-bit hasher of the smoke suite, which has learnt something."""
    data = Digits(n_train=400, n_query=64, n_database=800, side=32).load(cache)
    return data, knowledge(data, api.load_target(SMOKE, backbone="Tiny", side=32))


def after(attack: Attack, data: RetrievalData, seen: Knowledge, labels: Any) -> float:
    """Return the MAP for label rows of what queries retrieve when an attack is through."""
    assert seen.database is not None
    codes = attack.target_codes(seen, labels, QUERIES, 0)
    images = to_pixels(data.query.images.read(QUERIES), torch.device("cpu"), torch.float32)
    if not attack.code_only:
        batch = Batch(images, codes, torch.from_numpy(labels), QUERIES, 0)
        with torch.enable_grad():
            images = attack.ready(seen)(batch)
        codes = sign_codes(seen.hasher(images))
    assert codes is not None
    known: Pool = seen.database
    return mean_average_precision(codes, known.codes, labels, known.labels)


THA = {"prototype_steps": 20, "prototype_rate": 1e-3, "steps": 10}


@pytest.mark.parametrize(
    ("name", "least", "few"),
    [
        ("mainstay-code", 0.4, {}),
        ("iao-code", 0.4, {"steps": 20}),
        ("saat", 0.3, {"steps": 20}),
        ("sdha", 0.3, {"steps": 20}),
        ("tha", 0.2, THA),
    ],
)
def test_targeted_attacks_raise_t_map(
    name: str, least: float, few: dict[str, Any], trained: tuple[RetrievalData, Knowledge]
) -> None:
    data, seen = trained
    attack = built(name, **few)
    targets = np.eye(10, dtype=np.uint8)[(QUERIES * 3) % 10]
    before = after(built("original"), data, seen, targets)
    assert after(attack, data, learn(attack, seen), targets) > before + least


@pytest.mark.parametrize(
    "name", ["hag", "saat-nontargeted", "sdha-nontargeted", "mainstay-opposite"]
)
def test_non_targeted_attacks_lower_map(
    name: str, trained: tuple[RetrievalData, Knowledge]
) -> None:
    data, seen = trained
    own = np.asarray(data.query.labels[QUERIES])
    before = after(built("original"), data, seen, own)
    few: dict[str, Any] = {} if name == "mainstay-opposite" else {"steps": 20}
    assert after(built(name, **few), data, seen, own) < before / 2
