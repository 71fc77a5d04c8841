"""Hashers: the paper's heads, the losses against plain loops, weights from files."""

from __future__ import annotations

import math
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import models

from hashattack.benchmark.registry import registry
from hashattack.datasets.base import RetrievalData
from hashattack.targets.backbones import VGG11, AlexNet, Backbone, ResNet18, TargetError, Tiny
from hashattack.targets.checkpoints import (
    load_hasher,
    load_state,
    read_trunk,
    state_arrays,
    weights_file,
)
from hashattack.targets.hasher import Recipe, TargetSpec, build_hasher, sign_codes
from hashattack.targets.losses import DPH, DPSH, HashingMethod, HashNet
from hashattack.targets.training import TrainingRun, optimise, pretrain_trunk, train_hasher
from tests.conftest import untrained

CPU = torch.device("cpu")


def quiet(done: int, total: int, unit: str) -> None: ...


def run_of(seed: int, parts: int = 1) -> TrainingRun:
    return TrainingRun(seed=seed, device=CPU, progress=quiet, parts=parts)


def test_a_trunk_is_pretrained_on_what_its_hashers_will_show_it(digits: RetrievalData) -> None:
    lowest: list[float] = []

    class Watched(Tiny):
        def trunk(self, side: int) -> torch.nn.Module:
            trunk = super().trunk(side)
            trunk.register_forward_pre_hook(lambda _, given: lowest.append(float(given[0].min())))
            return trunk

    recipe = Recipe(epochs=1, batch=len(digits.train))
    pretrain_trunk(Watched(), digits.train, digits.side, recipe, run_of(0))
    assert lowest[-1] >= 0
    pretrain_trunk(Watched(), digits.train, digits.side, recipe, run_of(0), "imagenet")
    assert lowest[-1] < -1.5, "black, less a mean of about .45, over about .23"


@pytest.mark.parametrize(
    ("backbone", "features", "parameters"),
    [
        # conv features + the two 4096-wide layers, and the hash layer's 32 · width + 32
        (AlexNet(), 4096, 2_469_696 + (9216 + 1) * 4096 + 4097 * 4096),
        (VGG11(), 4096, 9_220_480 + (25088 + 1) * 4096 + 4097 * 4096),
        (ResNet18(), 512, 11_176_512),
    ],
)
def test_paper_size_networks_have_the_paper_heads(
    backbone: Backbone, features: int, parameters: int
) -> None:
    with torch.device("meta"):  # shapes without numbers
        trunk, width = backbone.build(224)
    assert width == features
    assert sum(p.numel() for p in trunk.parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "bits"), [("AlexNet", 12), ("ResNet18", 24), ("Tiny", 32), ("VGG11", 48)]
)
def test_every_backbone_gives_codes_of_its_length(name: str, bits: int) -> None:
    cls = registry().backbones[name]
    backbone = cls(**({"head_width": 16} if name in ("AlexNet", "VGG11") else {}))
    spec = TargetSpec(method=DPSH(), backbone=backbone, bits=bits, weights="none")
    assert spec.name == f"DPSH-{name}-{bits}"
    hasher = build_hasher(spec, 64, seed=0).eval()
    with torch.no_grad():
        images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        outputs = hasher(images)
    assert outputs.shape == (2, bits)
    assert outputs.abs().max() <= 1
    again = build_hasher(spec, 64, seed=0).eval()
    assert all(
        torch.equal(a, b) for a, b in zip(hasher.parameters(), again.parameters(), strict=True)
    )


def test_building_leaves_the_global_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    untrained()
    assert torch.equal(before, torch.random.get_rng_state())


def test_an_image_too_small_for_a_network_is_refused_by_name() -> None:
    with pytest.raises(TargetError, match="AlexNet cannot take images of side 32"):
        AlexNet(head_width=8).build(32)


def test_sign_of_zero_is_plus_one() -> None:
    assert sign_codes(torch.tensor([-0.5, -0.0, 0.0, 2.0])).tolist() == [-1, 1, 1, 1]


def test_alpha_and_scale_multiply_the_logit() -> None:
    hasher = untrained(dtype=torch.float64)
    images = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    logit = torch.atanh(hasher(images))
    hasher.scale.fill_(3.0)
    assert torch.allclose(hasher(images, alpha=0.1), torch.tanh(0.3 * logit), atol=1e-9)


def test_imagenet_normalisation_is_inside_the_hasher() -> None:
    spec = TargetSpec(method=DPSH(), backbone=Tiny(), bits=8, weights="none")
    plain = build_hasher(spec, 32, seed=0).eval()
    inside = build_hasher(
        TargetSpec(method=DPSH(), backbone=Tiny(), bits=8, weights="none", normalise="imagenet"),
        32,
        seed=0,
    ).eval()
    images = torch.rand(2, 3, 32, 32)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    assert torch.allclose(inside(images), plain((images - mean) / std), atol=1e-6)


def test_dpsh_is_its_formula() -> None:
    rng = np.random.default_rng(0)
    z, memory = rng.uniform(-1, 1, (4, 6)), rng.uniform(-1, 1, (9, 6))
    similar = rng.integers(0, 2, (4, 9)).astype(float)
    total = 0.0
    for i in range(4):
        for j in range(9):
            theta = 0.5 * sum(z[i, k] * memory[j, k] for k in range(6))
            total -= similar[i, j] * theta - math.log(1 + math.exp(theta))
        total += 50 * sum(((1 if v >= 0 else -1) - v) ** 2 for v in z[i])
    loss = DPSH().loss(*(torch.from_numpy(a) for a in (z, memory, similar)))
    assert loss.item() == pytest.approx(total / (9 * 4), rel=1e-12)


def test_dph_is_its_formula() -> None:
    rng = np.random.default_rng(1)
    z, memory = rng.uniform(-1, 1, (4, 6)), rng.uniform(-1, 1, (9, 6))
    similar = rng.integers(0, 2, (4, 9)).astype(float)
    total = 0.0
    for i in range(4):
        for j in range(9):
            inner = sum(z[i, k] * memory[j, k] for k in range(6)) / 6
            total += (inner - (1 if similar[i, j] else -1)) ** 2
    loss = DPH().loss(*(torch.from_numpy(a) for a in (z, memory, similar)))
    assert loss.item() == pytest.approx(total / (9 * 4), rel=1e-12)


def test_hashnet_is_its_formula() -> None:
    rng = np.random.default_rng(2)
    z, memory = rng.uniform(-1, 1, (4, 6)), rng.uniform(-1, 1, (9, 6))
    similar = rng.integers(0, 2, (4, 9)).astype(float)
    ones = similar.sum()
    zeros = similar.size - ones
    total = 0.0
    for i in range(4):
        for j in range(9):
            d = 0.1 * sum(z[i, k] * memory[j, k] for k in range(6))
            pair = math.log(1 + math.exp(-abs(d))) + max(d, 0) - similar[i, j] * d
            total += pair * similar.size / (ones if similar[i, j] else zeros)
    loss = HashNet().loss(*(torch.from_numpy(a) for a in (z, memory, similar)))
    assert loss.item() == pytest.approx(total / similar.size, rel=1e-12)
    for constant in (0.0, 1.0):
        all_alike = torch.full((4, 9), constant, dtype=torch.float64)
        one, two = torch.from_numpy(z), torch.from_numpy(memory)
        assert torch.isfinite(HashNet().loss(one, two, all_alike))


@pytest.mark.parametrize(
    ("images", "final"), [(10_500, 12.85), (10_000, 12.53), (5_000, 8.89)]
)  # NUS-WIDE, MS-COCO, FLICKR-25K
def test_hashnet_ends_at_the_published_scale(images: int, final: float) -> None:
    last = 100 * -(-images // 32) - 1
    assert HashNet().scale(0) == 1.0
    assert HashNet().scale(198) == 1.0
    assert HashNet().scale(199) == pytest.approx(math.sqrt(2))
    assert HashNet().scale(last) == pytest.approx(final, abs=0.005)


def test_a_checkpoint_keeps_hashnets_scale(digits: RetrievalData) -> None:
    recipe = Recipe(epochs=1, batch=4, learning_rate=0.001)
    method = HashNet(renewed=2)
    spec = TargetSpec(method=method, backbone=Tiny(), bits=8, weights="none", training=recipe)
    hasher = build_hasher(spec, 32, seed=0)
    train_hasher(hasher, spec, digits.train, run_of(0))
    steps = -(-len(digits.train) // 4)
    wanted = method.scale(steps - 1)
    assert wanted > 1
    loaded = load_hasher(spec, 32, state_arrays(hasher), device=CPU, dtype=torch.float32)
    assert loaded.scale.item() == pytest.approx(wanted)


def test_the_published_schedule_switches_one_epoch_late() -> None:
    rates = [Recipe().rate(epoch * 7, 7) for epoch in range(100)]
    assert rates[33] == 0.05
    assert rates[34] == pytest.approx(0.005)
    assert rates[66] == pytest.approx(0.005)
    assert rates[67] == rates[99] == pytest.approx(0.0005)
    assert Recipe(epochs=1).rate(0, 1) == 0.05  # the released code divides by zero here


def test_training_lowers_the_loss_and_repeats_bit_by_bit(digits: RetrievalData) -> None:
    spec = TargetSpec(
        method=DPSH(),
        backbone=Tiny(),
        bits=12,
        weights="none",
        training=Recipe(epochs=6, learning_rate=0.002, schedule="constant"),
    )
    runs = []
    for _ in range(2):
        hasher = build_hasher(spec, 32, seed=1)
        curve = train_hasher(hasher, spec, digits.train, run_of(1))
        runs.append((curve, state_arrays(hasher)))
    assert runs[0][0] == runs[1][0]
    assert runs[0][0][-1] < runs[0][0][0]
    assert all((runs[0][1][name] == runs[1][1][name]).all() for name in runs[0][1])


@dataclass(frozen=True, kw_only=True)
class Flat(Backbone):
    """Pixels as they are: no dropout, so that nothing but rounding may differ."""

    name = "Flat"

    def trunk(self, side: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.AvgPool2d(4), torch.nn.Flatten())


@pytest.mark.parametrize("method", [DPSH(), DPH()])
def test_gradients_of_parts_add_up_to_those_of_the_batch(
    method: HashingMethod, digits: RetrievalData
) -> None:
    recipe = Recipe(epochs=1, batch=40, learning_rate=0.01)
    spec = TargetSpec(method=method, backbone=Flat(), bits=12, weights="none", training=recipe)
    weights = []
    for parts in (1, 4):
        hasher = build_hasher(spec, 32, seed=1)
        train_hasher(hasher, spec, digits.train, run_of(1, parts))
        weights.append(hasher.hash_layer.weight.detach().clone())
    assert (weights[0] - weights[1]).abs().max() < 1e-6


def test_a_diverging_training_says_so(digits: RetrievalData) -> None:
    network = torch.nn.Linear(1, 1)

    def loss_of(pixels: torch.Tensor, rows: torch.Tensor, step: int) -> torch.Tensor:
        return network.weight.sum() * math.nan

    with pytest.raises(TargetError, match="became nan in epoch 1 of 2"):
        optimise(network, digits.train, loss_of, Recipe(epochs=2), run_of(0))


def test_a_checkpoint_comes_back_whole_and_a_tiny_one_is_small() -> None:
    spec = TargetSpec(method=DPSH(), backbone=Tiny(), bits=12, weights="none")
    hasher = untrained()
    hasher.scale.fill_(2.5)
    arrays = state_arrays(hasher)
    assert sum(array.nbytes for array in arrays.values()) < 250_000
    back = load_hasher(spec, 32, arrays, device=CPU, dtype=torch.float32)
    assert back.scale.item() == 2.5
    images = torch.rand(3, 3, 32, 32)
    assert torch.equal(back(images), hasher(images))
    assert not any(p.requires_grad for p in back.parameters())


def test_a_misfit_names_every_tensor() -> None:
    arrays = state_arrays(untrained(bits=12))
    arrays["stray"] = arrays.pop("hash_layer.bias")
    with pytest.raises(TargetError) as caught:
        load_state(untrained(bits=24), arrays, "file.pth")
    for part in ("missing: hash_layer.bias", "left over: stray", "hash_layer.weight: shape (12"):
        assert part in str(caught.value)


def test_missing_imagenet_weights_say_where_to_put_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(TargetError) as caught:
        weights_file(ResNet18(), "imagenet")
    assert str(tmp_path / "checkpoints" / "resnet18-f37072fd.pth") in str(caught.value)
    with pytest.raises(TargetError, match="no ImageNet weights"):
        weights_file(Tiny(), "imagenet")
    with pytest.raises(TargetError, match="no file"):
        weights_file(Tiny(), str(tmp_path / "absent.pth"))


@pytest.mark.parametrize("name", ["AlexNet", "VGG11", "ResNet18"])
def test_a_torchvision_state_dict_fits_the_trunk(name: str, tmp_path: Path) -> None:
    cls = registry().backbones[name]
    reference = getattr(models, name.lower())()
    backbone: Backbone = cls(**({} if name == "ResNet18" else {"head_width": 8}))
    # torchvision's names; the fully connected layers before the last in this trunk's small shapes.
    kept = {**reference.state_dict(), **backbone.build(64)[0].state_dict()}
    kept |= {n: t for n, t in reference.state_dict().items() if n.startswith(("features", "conv"))}
    file = tmp_path / "weights.pth"
    torch.save(kept, file)
    last = "fc." if name == "ResNet18" else "classifier.6."
    kept = {n: t for n, t in kept.items() if not n.startswith(last)}
    assert len(kept) < len(reference.state_dict())
    loaded = read_trunk(backbone, 64, file).state_dict()
    assert set(loaded) == set(kept)
    assert all(torch.equal(loaded[n], kept[n]) for n in kept)


def test_a_hostile_pickle_is_refused_and_not_executed(tmp_path: Path) -> None:
    witness = tmp_path / "executed"

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (witness,))  # type: ignore[return-value]

    file = tmp_path / "evil.pth"
    file.write_bytes(pickle.dumps({"weight": Hostile()}))
    with pytest.raises(TargetError, match="without executing it"):
        read_trunk(Tiny(), 32, file)
    assert not witness.exists()
