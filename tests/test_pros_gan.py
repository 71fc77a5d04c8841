"""ProS-GAN: the published sizes, formulae and schedules; fits that resume and fail in the open."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hashattack.attacks.base import Arrays, Attack, AttackError, Batch, Knowledge
from hashattack.attacks.convergence import undertrained
from hashattack.attacks.pros_gan import prototype_net
from hashattack.attacks.pros_gan import training as pros_gan_training
from hashattack.attacks.pros_gan.budgeted import Budgeted, BudgetedProsGan
from hashattack.attacks.pros_gan.crafting import Adversarial, GeneratorCrafting, ProsGan, hash_loss
from hashattack.attacks.pros_gan.networks import Discriminator, Generator, LabelDecoder
from hashattack.attacks.pros_gan.prototype_net import PrototypeCode, PrototypeNet
from hashattack.attacks.pros_gan.training import TrainingBatch, TrainingData, TrainingSchedule
from hashattack.attacks.protocols import EPSILON, PROTOCOLS
from hashattack.benchmark.contract.world import MemoryJournal, knowledge, learn, quick
from hashattack.benchmark.plan.plan import make_plan
from hashattack.benchmark.registry import registry
from hashattack.benchmark.stages.attacking import Fit
from hashattack.benchmark.suites.loading import override
from hashattack.datasets.base import RetrievalData
from hashattack.datasets.draws import label_rows
from hashattack.targets.training import to_pixels
from tests.conftest import small_suite, untrained


def quiet(done: int, total: int, unit: str) -> None:
    """Show no progress."""


def few(name: str, protocol: str) -> Attack:
    return quick(registry().attacks[name].build(PROTOCOLS[protocol]))


class Interrupted(MemoryJournal):
    """A journal that counts its states and interrupts the training after one of them."""

    def __init__(self, die_after: int) -> None:
        super().__init__()
        self.saves = 0
        self.die_after = die_after

    def save(self, state: Arrays) -> None:
        super().save(state)
        self.saves += 1
        if self.saves == self.die_after:
            raise KeyboardInterrupt


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_published_parameter_counts() -> None:
    assert parameters(LabelDecoder(224)) == 13_044_440
    assert parameters(Generator(224, 64)) == 21_454_121
    assert parameters(Discriminator(224, 22, 64, spectral=True, sigmoid=False)) == 12_250_048
    assert parameters(PrototypeNet(21, 32)) == 2_214_965


@pytest.mark.parametrize("side", [32, 64, 96])
def test_networks_fit_every_side(side: int) -> None:
    images, semantic = torch.zeros(2, 3, side, side), torch.zeros(2, 512)
    assert Generator(side, 4)(semantic, images).shape == images.shape
    for sigmoid in (False, True):
        judge = Discriminator(side, 5, 4, spectral=True, sigmoid=sigmoid)
        assert judge(images).shape == (2, 5)
        assert judge(images[:1]).shape == (1, 5), "a batch of one keeps its dimension"


def test_the_released_learning_rate() -> None:
    schedule = TrainingSchedule(learning_rate=1.0, rate_decay=True)
    assert [schedule.rate_at(epoch, 100) for epoch in (0, 49)] == [1.0, 1.0]
    assert [schedule.rate_at(epoch, 100) for epoch in (50, 99)] == pytest.approx(
        [1 - 1 / 51, 1 - 50 / 51]
    )
    assert replace(schedule, rate_decay=False).rate_at(99, 100) == 1.0


def test_protocols_differ_as_published() -> None:
    built = {name: registry().attacks["prosgan"].build(p) for name, p in PROTOCOLS.items()}
    released, paper, literal = (
        built[name].crafting for name in ("released", "paper", "paper-literal")
    )
    assert isinstance(released, ProsGan)
    assert isinstance(paper, ProsGan)
    assert isinstance(literal, ProsGan)
    assert (released.hamming_weight, paper.hamming_weight) == (5.0, 1.0)
    assert (released.discriminator_every, paper.discriminator_every) == (3, 1)
    assert released.discriminator_spectral
    assert paper.discriminator_sigmoid
    assert replace(paper, gan_loss="sum") == literal
    for part in (released, paper):
        assert (part.alpha, part.epochs, part.batch, part.learning_rate) == (50.0, 100, 24, 1e-4)
    assert built["released"].epsilon is None


def test_prototype_nets_recipe_follows_the_protocol() -> None:
    rules = {}
    for name, protocol in PROTOCOLS.items():
        rules[name] = registry().attacks["prototype-code"].build(protocol).target_code
        assert isinstance(rules[name], PrototypeCode)
    found = {
        name: (r.prototype_batch, r.prototype_decay, r.prototype_rows, r.fit_passes(240))
        for name, r in rules.items()
        if isinstance(r, PrototypeCode)
    }
    paper = (24, False, "train", 7 * 100 * 10)
    released = (64, True, "database", 7 * 30_000)
    assert found == {
        "released": released,
        "saat": released,
        "paper": paper,
        "paper-literal": paper,
    }


@pytest.mark.parametrize("decay", [False, True])
def test_prototype_net_makes_passes_over_its_label_rows(
    digits: RetrievalData, decay: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the paper: each label row once an epoch, at one rate without decay."""
    rule = PrototypeCode(
        prototype_rows="train",
        prototype_loss="mean",
        prototype_steps=None,
        prototype_batch=8,
        prototype_decay=decay,
    )
    batches: list[torch.Tensor] = []
    rates: list[float] = []

    def loss(
        outputs: tuple[torch.Tensor, ...], labels: torch.Tensor, *_: torch.Tensor
    ) -> torch.Tensor:
        batches.append(labels)
        return outputs[1].sum()

    def step(optimiser: torch.optim.Adam) -> None:
        rates.append(optimiser.param_groups[0]["lr"])

    monkeypatch.setattr(prototype_net, "_EPOCHS", 4)
    monkeypatch.setattr(PrototypeCode, "loss", lambda _, *arguments: loss(*arguments))
    monkeypatch.setattr(torch.optim.Adam, "step", step)
    seen = knowledge(digits, untrained())
    rule.fit(seen, epsilon=None, seed=0, journal=MemoryJournal(), progress=quiet)
    rows, _ = label_rows(seen.train.labels)
    epoch = math.ceil(len(rows) / 8)
    assert len(batches) == 4 * epoch
    for number in range(4):
        passed = torch.cat(batches[number * epoch : (number + 1) * epoch]).numpy()
        assert (np.unique(passed, axis=0) == rows).all()
        assert len(passed) == len(rows)
    assert not torch.equal(batches[0], batches[epoch]), "shuffled"
    assert sorted(set(rates), reverse=True) == pytest.approx(
        [1e-4, 1e-5, 1e-6] if decay else [1e-4]
    )


@pytest.mark.parametrize("kind", ["mean", "sum"])
def test_the_prototype_loss_is_its_formula(kind: Any) -> None:
    rng = np.random.default_rng(0)
    h, y = rng.uniform(-1, 1, (2, 4)), rng.uniform(0, 1, (2, 3))
    labels, codes = rng.integers(0, 2, (2, 3)), rng.choice([-1.0, 1.0], (5, 4))
    similar = rng.integers(0, 2, (2, 5))
    likelihood = quantisation = error = 0.0
    for i in range(2):
        for j in range(5):
            theta = 0.5 * float(h[i] @ codes[j])
            likelihood -= similar[i, j] * theta - math.log(1 + math.exp(theta))
        quantisation += float(((np.where(h[i] >= 0, 1, -1) - h[i]) ** 2).sum())
        error += float(((y[i] - labels[i]) ** 2).sum())
    wanted = {
        "mean": likelihood / (5 * 2) + quantisation / (1e4 * 2) + error / (2 * 3),
        "sum": (likelihood + 1e-4 * quantisation + error) / (5 * 2),
    }
    rule = PrototypeCode(prototype_rows="train", prototype_loss=kind)
    outputs = torch.zeros(2, 512), torch.from_numpy(h), torch.from_numpy(y)
    arrays = (torch.from_numpy(a).double() for a in (labels, codes, similar))
    assert rule.loss(outputs, *arrays).item() == pytest.approx(wanted[kind], rel=1e-12)


@pytest.mark.parametrize("sums", [False, True])
@pytest.mark.parametrize("classes", [0, 3])
def test_the_losses_of_generator_and_discriminator_are_their_formulae(
    sums: bool, classes: int
) -> None:
    torch.manual_seed(0)
    batch = TrainingBatch(
        whole=True,
        index=0,
        images=torch.rand(2, 3, 32, 32, dtype=torch.float64),
        labels=torch.tensor([[1, 0, 1], [0, 1, 0]], dtype=torch.float64),
        targets=torch.tensor([[0, 1, 0], [1, 1, 0]], dtype=torch.float64),
        semantics=torch.rand(2, 512, dtype=torch.float64),
        codes=torch.ones(2, 8, dtype=torch.float64),
    )
    objective = Adversarial(
        generator=Generator(32, 4).double(),
        discriminator=Discriminator(32, classes + 1, 4, spectral=False, sigmoid=True).double(),
        hasher=untrained(bits=8, dtype=torch.float64),
        settings=ProsGan(
            target_rows="train",
            rate_decay=True,
            discriminator_sigmoid=True,
            discriminator_spectral=False,
            hamming_weight=5.0,
            gan_loss="sum" if sums else "mean",
            signed_pixels=True,
            generator_first=True,
            discriminator_every=1,
            alpha=50.0,
            adversarial_weight=2.0,
            class_outputs=classes > 0,
        ),
    )

    def error(found: Any, wanted: Any) -> float:
        squares = (np.asarray(found) - np.asarray(wanted)) ** 2
        return float(squares.reshape(2, -1).sum(axis=1).mean() if sums else squares.mean())

    def desired(labels: torch.Tensor, fake: int) -> list[list[float]]:
        return [[*row, fake] if classes else [fake] for row in labels.tolist()]

    with torch.no_grad():
        output = objective.generator(batch.semantics, 2 * batch.images - 1)
        crafted = (torch.tanh(output) + 1) / 2
        real, fake = (objective.discriminator(2 * x - 1).numpy() for x in (batch.images, crafted))
        hashed = objective.hasher(crafted).numpy()
    generator_loss = (
        50 * error((2 * crafted - 1).numpy(), (2 * batch.images - 1).numpy())
        + 5 * (1 - float(hashed.mean()))  # the target code is all ones
        + 2 * error(fake, desired(batch.targets, 0))
    )
    discriminator_loss = (
        error(real, desired(batch.labels, 0)) + error(fake, desired(batch.targets, 1))
    ) / 2
    losses = {step.network: step.loss.item() for step in objective.steps(batch)}
    assert losses == pytest.approx({"G": generator_loss, "D": discriminator_loss}, rel=1e-9)


def test_the_all_zero_row_is_never_a_target() -> None:
    labels = np.array([[0, 0], [1, 0], [1, 0], [0, 1]], dtype=np.uint8)
    rows, counts = label_rows(labels)
    assert rows.tolist() == [[0, 1], [1, 0]]
    assert counts.tolist() == [1, 2]


def training(digits: RetrievalData, **changes: Any) -> tuple[Attack, Knowledge]:
    """Return a small ProS-GAN and what it learns from, its prototypes learnt."""
    attack = override(few("prosgan", "released"), {"epochs": 3, **changes}, "test")
    prototypes = replace(attack, crafting=None)
    return attack, learn(prototypes, knowledge(digits, untrained()))


def first(count: int, seen: Knowledge) -> Knowledge:
    """Return the knowledge with fewer training images, which are learnt from faster."""
    train = replace(seen.train, labels=seen.train.labels[:count], codes=seen.train.codes[:count])
    return replace(seen, train=train)


@pytest.mark.parametrize(
    ("name", "protocol"), [("prosgan", "released"), ("prosgan-eps", "released")]
)
def test_a_killed_training_ends_with_the_weights_of_an_undisturbed_one(
    name: str, protocol: str, digits: RetrievalData
) -> None:
    changes = {"epochs": 3, "learning_rate": 0.002}
    changes |= {"alpha": 0.0} if name == "prosgan" else {"batch": 8, "epsilon": 0.5}
    attack = override(few(name, protocol), changes, "test")
    seen = learn(replace(attack, crafting=None), knowledge(digits, untrained()))
    part = attack.crafting
    assert part is not None
    budget = attack.epsilon
    whole = part.fit(seen, epsilon=budget, seed=1, journal=MemoryJournal(), progress=quiet)
    for die_after in (1, 2):
        journal = Interrupted(die_after)
        with pytest.raises(KeyboardInterrupt):
            part.fit(seen, epsilon=budget, seed=1, journal=journal, progress=quiet)
        resumed = part.fit(seen, epsilon=budget, seed=1, journal=journal, progress=quiet)
        assert resumed.curves == whole.curves
        for name, array in whole.state.items():
            assert (resumed.state[name] == array).all(), name
        assert journal.saves == 3, "epochs done before the kill are not done again"


def test_the_hash_loss_guides_and_without_it_nothing_does(digits: RetrievalData) -> None:
    attack, seen = training(
        digits, epochs=6, learning_rate=0.002, alpha=0.0, batch=12, width=8, adversarial_weight=0.1
    )
    part = attack.crafting
    assert isinstance(part, ProsGan)
    guided = part.fit(seen, epsilon=None, seed=1, journal=MemoryJournal(), progress=quiet)
    alone = replace(part, hamming_weight=0.0).fit(
        seen, epsilon=None, seed=1, journal=MemoryJournal(), progress=quiet
    )
    assert guided.curves["hash"][-1] < guided.curves["hash"][0] - 0.05
    assert guided.curves["hash"][-1] < alone.curves["hash"][-1] - 0.05


def test_every_gradient_step_of_the_budgeted_generator_brings_the_code_nearer(
    digits: RetrievalData,
) -> None:
    attack = override(few("prosgan-eps", "released"), {"gradient_steps": 2}, "test")
    seen = learn(attack, knowledge(digits, untrained()))
    part = attack.crafting
    assert isinstance(part, BudgetedProsGan)
    rows = np.arange(20)
    clean = to_pixels(digits.query.images.read(rows), torch.device("cpu"), torch.float32)
    targets = digits.train.labels[rows]
    codes = attack.target_codes(seen, targets, rows, 0)
    assert codes is not None
    losses = []
    for gradient_steps in range(3):
        perturb = replace(part, gradient_steps=gradient_steps).ready(seen, EPSILON)
        adversarial = perturb(Batch(clean, codes, torch.from_numpy(targets), rows, 0))
        losses.append(float(hash_loss(seen.hasher, adversarial, codes)))
        assert (adversarial - clean).abs().max() <= EPSILON + 1e-6
    assert losses[0] < float(hash_loss(seen.hasher, clean, codes)) + 0.01
    assert losses[2] < losses[1] < losses[0]


def test_budgets_are_for_the_generator_that_has_one(digits: RetrievalData) -> None:
    attack, seen = training(digits)
    assert attack.crafting is not None
    with pytest.raises(AttackError, match="obeys no budget"):
        attack.crafting.fit(seen, epsilon=EPSILON, seed=1, journal=MemoryJournal(), progress=quiet)
    budgeted = few("prosgan-eps", "released").crafting
    assert budgeted is not None
    with pytest.raises(AttackError, match="needs an epsilon"):
        budgeted.fit(seen, epsilon=None, seed=1, journal=MemoryJournal(), progress=quiet)
    with pytest.raises(AttackError, match="gradient_steps must not be negative"):
        BudgetedProsGan(target_rows="train", gradient_steps=-1)


def test_a_diverging_gan_fails_with_its_curve(digits: RetrievalData) -> None:
    attack, seen = training(digits)
    broken = override(attack, {"learning_rate": 1e30}, "test").crafting
    assert broken is not None
    with pytest.raises(AttackError, match=r"diverged in epoch [123]") as caught:
        broken.fit(seen, epsilon=None, seed=1, journal=MemoryJournal(), progress=quiet)
    assert set(caught.value.data["curves"]) == {
        "reconstruction",
        "hash",
        "adversarial",
        "discriminator",
    }


def test_a_fit_reports_its_hash_loss_before_training_and_after_each_epoch(
    digits: RetrievalData,
) -> None:
    """One that never falls is no failure; without a hashing loss nothing is reported."""
    attack, seen = training(digits, epochs=2)
    losses = {}
    for name, changes in {
        "stuck": {"learning_rate": 1e-12},
        "guided": {"learning_rate": 0.002, "alpha": 0.0},
        "alone": {"hamming_weight": 0.0},
    }.items():
        part = override(attack, changes, "test").crafting
        assert part is not None
        few_images = first(48, seen)
        made = part.fit(few_images, epsilon=None, seed=1, journal=MemoryJournal(), progress=quiet)
        assert not made.ended_early
        losses[name] = made.convergence
    assert [len(found) for found in losses.values()] == [3, 3, 0]
    assert losses["stuck"][0] == losses["guided"][0], "untrained, on the same sample"
    assert losses["stuck"] == pytest.approx([losses["stuck"][0]] * 3, abs=1e-4)
    assert undertrained(losses["stuck"])
    assert losses["guided"][-1] < losses["guided"][0]


def test_the_sample_has_a_draw_of_its_own_and_is_the_same_each_time(digits: RetrievalData) -> None:
    _, seen = training(digits)
    data = TrainingData.of(seen, "train", "rows", 3)
    once, again = (list(data.sample(20)) for _ in range(2))
    assert [len(batch.images) for batch in once] == [20, 20, 20, 20, 16]
    for one, other in zip(once, again, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.targets, other.targets)
    images = torch.cat([batch.images for batch in once]).flatten(1)
    assert len(torch.unique(images, dim=0)) == 96


def losses_of(epochs: int, scale: float = 10.0, fall: float = 0.8) -> list[float]:
    """Return losses that fall exponentially, by e every ``scale`` epochs."""
    return [1 - fall * (1 - math.exp(-epoch / scale)) for epoch in range(epochs + 1)]


def test_a_training_is_undertrained_while_a_fifth_of_it_brings_a_twentieth_of_its_fall() -> None:
    assert [undertrained(losses_of(epochs)) for epochs in (1, 2, 5, 20, 30, 40, 100)] == [
        *(True, True, True, True, True),
        *(False, False),
    ]
    assert undertrained(losses_of(100, fall=0.049)), "it fell by less than a twentieth"
    assert not undertrained(losses_of(100, fall=0.051))
    assert undertrained([1.0, 1.2, 1.3, 1.4]), "it rose"


def test_auto_ends_at_the_plateau_and_decays_after_it() -> None:
    schedule = TrainingSchedule(rate_decay=False, epochs="auto")
    losses = losses_of(100)
    (end,) = {schedule.length(losses[: done + 1], 0) for done in range(100)} - {100}
    assert 30 < end < 35
    assert undertrained(losses[:end])
    assert not undertrained(losses[: end + 1])
    released = replace(schedule, rate_decay=True)
    assert released.length(losses, 0) == 2 * end
    assert released.rate_at(end - 1, 2 * end) == released.rate_at(0, 100)
    assert released.rate_at(end, 2 * end) < released.rate_at(0, 100)
    assert released.length(losses_of(100, scale=30), 0) == 100, "a plateau after half of them"
    assert released.length(losses_of(100, fall=0.005), 0) == 100, "it never learnt"
    assert replace(schedule, epochs=7).length(losses, 0) == 7
    late = [1.0] * 20 + losses
    assert schedule.length(late, begins=20) == end + 20


def test_auto_trains_to_the_bits_of_its_number_of_epochs(
    digits: RetrievalData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed one ends at the same epoch; the plateau is seen after the second one."""
    monkeypatch.setattr(pros_gan_training, "_LONGEST", 8)
    monkeypatch.setattr(pros_gan_training, "_LEAST", 2)
    monkeypatch.setattr(pros_gan_training, "undertrained", lambda losses: len(losses) < 3)
    attack, seen = training(digits, epochs="auto")
    seen = first(24, seen)
    part = attack.crafting
    assert isinstance(part, ProsGan)
    assert part.fit_passes(10) == 4 * 8 * 10
    whole = part.fit(seen, epsilon=None, seed=1, journal=MemoryJournal(), progress=quiet)
    assert whole.ended_early
    assert len(whole.curves["hash"]) == 4 == len(whole.convergence) - 1
    journal = Interrupted(3)
    with pytest.raises(KeyboardInterrupt):
        part.fit(seen, epsilon=None, seed=1, journal=journal, progress=quiet)
    resumed = part.fit(seen, epsilon=None, seed=1, journal=journal, progress=quiet)
    four = replace(part, epochs=4)
    plain = four.fit(seen, epsilon=None, seed=1, journal=MemoryJournal(), progress=quiet)
    for other in (resumed, plain):
        assert other.convergence == whole.convergence
        assert all((other.state[key] == array).all() for key, array in whole.state.items())


def test_the_budgeted_generators_first_guess_is_trained_alone_first() -> None:
    settings = BudgetedProsGan(target_rows="train", epochs=9)
    fixed, auto = (
        Budgeted(Generator(32, 4), untrained(), EPSILON, one)
        for one in (settings, replace(settings, epochs="auto"))
    )
    assert fixed.begins({}) == fixed.begins({"label alone": losses_of(90)}) == 3
    assert auto.begins({}) == auto.begins({"label alone": losses_of(10)}) == 33
    assert 20 < auto.begins({"label alone": losses_of(90, scale=7)}) < 30


def test_states_of_another_shape_are_refused(digits: RetrievalData) -> None:
    attack = few("prosgan", "released")
    seen = learn(attack, knowledge(digits, untrained(bits=12)))
    rows = np.arange(2)
    targets = digits.train.labels[:2]
    other = replace(seen, hasher=untrained(bits=24))
    with pytest.raises(AttackError, match="K = 12 bits, but the data set has C = 10 and the"):
        attack.target_codes(other, targets, rows, 0)
    wide = replace(seen, train=replace(seen.train, labels=np.ones((2, 11), dtype=np.uint8)))
    with pytest.raises(AttackError, match="fitted for C = 10 classes"):
        attack.target_codes(wide, np.ones((2, 11), dtype=np.uint8), rows, 0)


def test_a_target_no_training_image_knows_is_refused(digits: RetrievalData) -> None:
    attack = few("prototype-code", "released")
    seen = learn(attack, knowledge(digits, untrained()))
    labels = seen.train.labels.copy()
    labels[:, 7] = 0
    seen = replace(seen, train=replace(seen.train, labels=labels))
    target = np.zeros((1, 10), dtype=np.uint8)
    target[0, 7] = 1
    with pytest.raises(AttackError, match=r"no training image is relevant to .* \[7\] of query 0"):
        attack.target_codes(seen, target, np.arange(1), 0)


def test_equal_parts_are_fitted_once(cache: Path) -> None:
    few = {"prototype_steps": 5}
    small = {**few, "epochs": 1, "width": 4}
    attacks: list[Any] = [
        {"attack": "prototype-code", "params": few},
        {"attack": "prototype-ifgsm", "params": {**few, "steps": 2}},
        {"attack": "prosgan", "params": small},
        {"attack": "prosgan", "params": {**small, "alpha": 5.0}},
        {"attack": "prosgan-eps", "params": small},
    ]

    def fits(**changes: Any) -> list[Fit]:
        plan = make_plan(small_suite(attacks=attacks, **changes), cache)
        return [job.task for job in plan.jobs.values() if isinstance(job.task, Fit)]

    assert sum(isinstance(fit.part, PrototypeCode) for fit in fits()) == 1
    assert sum(isinstance(fit.part, GeneratorCrafting) for fit in fits()) == 3
    assert len(fits(policies=["frequent", "unique"])) == 4, "another draw fits nothing again"
    assert len(fits(seeds=2)) == 8
