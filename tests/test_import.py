"""Foreign hashers: every layout the field uses comes out as the same function."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hashattack.benchmark.plan.plan import make_plan
from hashattack.benchmark.stages.hashers import ImportHasher, Train
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.targets.backbones import VGG11, AlexNet, Backbone, ResNet18, TargetError, Tiny
from hashattack.targets.checkpoints import foreign_hasher, load_hasher, state_arrays
from hashattack.targets.hasher import Hasher, TargetSpec, build_hasher
from hashattack.targets.losses import DPSH, HashNet
from tests.conftest import run_cli, run_inline, small_suite, untrained

State = dict[str, Tensor]
CPU = torch.device("cpu")
STAGES = {"conv1": "0", "bn1": "1", **{f"layer{n}": str(n + 3) for n in (1, 2, 3, 4)}}


def bare(hasher: Hasher) -> State:
    """Return the state under torchvision's names, the hash layer apart."""
    own = {n: t for n, t in hasher.state_dict().items() if n not in ("scale", "mean", "std")}
    return {name.removeprefix("trunk."): tensor for name, tensor in own.items()}


def renamed(state: Mapping[str, Tensor], rule: Callable[[str], str]) -> State:
    return {rule(name): tensor for name, tensor in state.items()}


def sequential_head(name: str) -> str:
    """torchvision with a hash layer for its last; the released AlexNet and VGG."""
    return name.replace("hash_layer.", "classifier.6.")


def released_vgg(state: State) -> State:
    head = renamed(state, sequential_head)
    copies = {f"cl1.{part}": state[f"classifier.0.{part}"] for part in ("weight", "bias")}
    return {**copies, **head}


def released_hashnet_head(state: State) -> State:
    """The layers, and once more in a list; the head's names doubled."""
    own = {n.replace("classifier.", "classifier.classifier"): t for n, t in state.items()}
    again = {
        (
            n.replace("features.", "feature_layers.0.")
            if n.startswith("features")
            else f"feature_layers.1.{n.removeprefix('classifier.')}"
        ): t
        for n, t in own.items()
        if not n.startswith("hash_layer")
    }
    return {**own, **again}


def released_resnet(state: State) -> State:
    """The released ResNet and DeepHash-pytorch's: the stages stand a second time in a list."""
    again = {
        f"feature_layers.{STAGES[stage]}.{rest}": tensor
        for name, tensor in state.items()
        for stage, _, rest in [name.partition(".")]
        if stage in STAGES
    }
    return {**state, **again}


def deephash_alexnet(state: State) -> State:
    """DeepHash-pytorch: the whole head in one list."""
    names = {"classifier.": "hash_layer.", "hash_layer.": "hash_layer.6."}
    return {
        next((n.replace(a, b) for a, b in names.items() if n.startswith(a)), n): tensor
        for n, tensor in state.items()
    }


LAYOUTS: list[tuple[str, Backbone, Callable[[State], State]]] = [
    ("torchvision", AlexNet(head_width=8), lambda state: renamed(state, sequential_head)),
    (
        "torchvision",
        ResNet18(),
        lambda state: renamed(state, lambda name: name.replace("hash_layer.", "fc.")),
    ),
    ("released", VGG11(head_width=8), released_vgg),
    ("released", ResNet18(), released_resnet),
    ("released HashNet", AlexNet(head_width=8), released_hashnet_head),
    ("DeepHash-pytorch", AlexNet(head_width=8), deephash_alexnet),
    (
        "DataParallel",
        ResNet18(),
        lambda state: renamed(released_resnet(state), lambda n: f"module.{n}"),
    ),
]


@pytest.mark.parametrize(
    ("layout", "backbone", "foreign"), LAYOUTS, ids=lambda value: str(value)[:20]
)
def test_every_layout_is_the_same_function(
    layout: str, backbone: Any, foreign: Callable[[State], State], tmp_path: Path
) -> None:
    spec = TargetSpec(method=DPSH(), backbone=backbone, bits=12)
    hasher = build_hasher(spec, 64, seed=4).eval()
    torch.save(foreign(bare(hasher)), tmp_path / "foreign.pth")
    found, arrays = foreign_hasher(tmp_path / "foreign.pth", DPSH(), type(backbone)(), side=64)
    assert found.backbone == backbone, "the head's width is the file's"
    assert found.bits == 12
    loaded = load_hasher(found, 64, arrays, device=CPU, dtype=torch.float32)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded(images), hasher(images))


def test_what_is_missing_or_left_over_is_named(tmp_path: Path) -> None:
    spec = TargetSpec(method=DPSH(), backbone=ResNet18(), bits=12)
    state = bare(build_hasher(spec, 64, seed=4))
    state["extra.weight"] = torch.zeros(1)
    del state["layer4.1.bn2.bias"]
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(TargetError) as caught:
        foreign_hasher(tmp_path / "odd.pth", DPSH(), ResNet18(), side=64)
    assert "missing: trunk.layer4.1.bn2.bias" in str(caught.value)
    assert "left over: trunk.extra.weight" in str(caught.value)
    doubled = {**bare(build_hasher(spec, 64, seed=4)), "fc.bias": torch.ones(12)}
    torch.save(doubled, tmp_path / "doubled.pth")
    with pytest.raises(TargetError, match=r"both say hash_layer.bias, and differ"):
        foreign_hasher(tmp_path / "doubled.pth", DPSH(), ResNet18(), side=64)


def test_what_is_no_hasher_is_refused(tmp_path: Path) -> None:
    trunk = ResNet18().build(64)[0].state_dict()
    torch.save(trunk, tmp_path / "trunk.pth")
    with pytest.raises(TargetError, match="no hash layer found for ResNet18"):
        foreign_hasher(tmp_path / "trunk.pth", DPSH(), ResNet18(), side=64)
    classifier = {**trunk, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    torch.save(classifier, tmp_path / "classifier.pth")
    with pytest.raises(TargetError, match="1000 outputs, so it is a classifier"):
        foreign_hasher(tmp_path / "classifier.pth", DPSH(), ResNet18(), side=64)
    witness = tmp_path / "executed"

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (witness,))  # type: ignore[return-value]

    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(TargetError, match="without executing it"):
        foreign_hasher(tmp_path / "evil.pth", DPSH(), ResNet18(), side=64)
    assert not witness.exists()


def test_hashnets_scale_is_said_and_kept(tmp_path: Path) -> None:
    hasher = untrained()
    torch.save(bare(hasher), tmp_path / "foreign.pth")
    spec, arrays = foreign_hasher(
        tmp_path / "foreign.pth", HashNet(), Tiny(), side=32, scale=8.89, normalise="imagenet"
    )
    loaded = load_hasher(spec, 32, arrays, device=CPU, dtype=torch.float32)
    with pytest.raises(TargetError, match=r"HashNet has a factor .* give --scale"):
        foreign_hasher(tmp_path / "foreign.pth", HashNet(), Tiny(), side=32)
    with pytest.raises(TargetError, match="must be positive and finite"):
        foreign_hasher(tmp_path / "foreign.pth", HashNet(), Tiny(), side=32, scale=0.0)
    assert loaded.scale.item() == pytest.approx(8.89)
    assert loaded.mean.numel() == 3


def test_odd_state_dicts(tmp_path: Path) -> None:
    state = bare(untrained())
    half = {n: t.bfloat16() if t.is_floating_point() else t for n, t in state.items()}
    parameters = {n: torch.nn.Parameter(t) if t.dim() else t for n, t in state.items()}
    for name, odd in (("half", half), ("parameters", parameters)):
        torch.save(odd, tmp_path / f"{name}.pth")
        _, arrays = foreign_hasher(tmp_path / f"{name}.pth", DPSH(), Tiny(), side=32)
        assert arrays["hash_layer.weight"].dtype.name == "float32"
    torch.save({1: torch.zeros(2)}, tmp_path / "numbers.pth")
    with pytest.raises(TargetError, match="holds no state dict"):
        foreign_hasher(tmp_path / "numbers.pth", DPSH(), Tiny(), side=32)
    torch.save({**state, "hash_layer.weight": torch.zeros(())}, tmp_path / "point.pth")
    with pytest.raises(TargetError, match="no hash layer found"):
        foreign_hasher(tmp_path / "point.pth", DPSH(), Tiny(), side=32)


def test_an_imported_target_is_attacked_and_not_trained(cache: Path, tmp_path: Path) -> None:
    hasher = untrained()
    torch.save(bare(hasher), tmp_path / "foreign.pth")
    to = tmp_path / "DPSH-Tiny-12.safetensors"
    options = ["--method", "DPSH", "--backbone", "Tiny", "--side", "32", "--to", str(to)]
    done = run_cli("import-target", str(tmp_path / "foreign.pth"), *options)
    assert done.returncode == 0, done.stderr
    assert "none missing, none left over" in done.stdout
    over = run_cli("import-target", str(to), *options)
    assert over.returncode == 2, "it would overwrite its own input"
    assert "name a new file" in over.stderr
    pattern = str(tmp_path / "{method}-{backbone}-{bits}.safetensors")
    target = {"method": "DPSH", "backbone": "Tiny", "bits": [12], "checkpoint": pattern}
    suite = small_suite(targets=[target])
    plan, outcome = run_inline(suite, cache, tmp_path / "out")
    assert set(outcome.status.values()) == {"ok"}
    tasks = [job.task for job in plan.jobs.values()]
    assert not any(isinstance(task, Train) for task in tasks)
    (job,) = (job for job in plan.jobs.values() if isinstance(job.task, ImportHasher))
    moved = to.rename(tmp_path / "moved.safetensors")
    elsewhere = small_suite(targets=[{**target, "checkpoint": str(moved)}])
    assert job.key in make_plan(elsewhere, cache).jobs, "the content counts, and not the place"
    with pytest.raises(SuiteError, match=r"no file .*DPSH-Tiny-12.safetensors for DPSH-Tiny-12"):
        make_plan(suite, cache)
    wrong = {**target, "checkpoint": "x-{bit}.safetensors"}
    with pytest.raises(SuiteError, match=r"checkpoint: x-\{bit\}"):
        make_plan(small_suite(targets=[wrong]), cache)
    assert set(state_arrays(hasher)) >= {"scale"}
