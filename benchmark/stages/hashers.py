"""The stages that make hashers and codes: weights, import, pretrain, train, encode."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hashattack.benchmark.jobs import (
    TRAINING,
    Compute,
    Context,
    OnData,
    Output,
    Resources,
    Work,
    implements,
)
from hashattack.benchmark.networks import encode_images, input_hasher
from hashattack.benchmark.pipeline import STAGES
from hashattack.datasets.base import SplitName
from hashattack.targets.backbones import Backbone, TargetError
from hashattack.targets.checkpoints import load_state, read_trunk, state_arrays
from hashattack.targets.hasher import Normalise, Recipe, TargetSpec, build_hasher
from hashattack.targets.state_dicts import read_state
from hashattack.targets.training import TrainingRun, pretrain_trunk, train_hasher


@dataclass(frozen=True, kw_only=True)
class ImportWeights:
    """Read a trunk from a weight file; the file's hash is in the key, not its path."""

    backbone: Backbone
    side: int
    sha256: str
    path: str = field(metadata={"key": False})


@implements(STAGES["weights"], ImportWeights, label=lambda task: f"read {Path(task.path).name}")
def import_weights(task: ImportWeights, _: Context) -> Output:
    """Store the trunk's state."""
    return Output(state_arrays(read_trunk(task.backbone, task.side, Path(task.path))))


@dataclass(frozen=True, kw_only=True)
class ImportHasher:
    """Read a hasher that ``import-target`` converted, instead of training one."""

    spec: TargetSpec
    side: int
    sha256: str
    path: str = field(metadata={"key": False})


@implements(
    STAGES["import"],
    ImportHasher,
    label=lambda task: f"read {task.spec.name} from {Path(task.path).name}",
)
def import_hasher(task: ImportHasher, _: Context) -> Output:
    """Store the hasher's state."""
    hasher = build_hasher(task.spec, task.side, seed=0)
    state = read_state(Path(task.path))
    load_state(hasher, {name: tensor.numpy() for name, tensor in state.items()}, task.path)
    return Output(state_arrays(hasher))


@dataclass(frozen=True, kw_only=True)
class Pretrain(OnData):
    """Train a trunk on the data set's labels; shared by all its targets of one normalisation."""

    threads: int
    backbone: Backbone
    recipe: Recipe
    normalise: Normalise


@implements(
    STAGES["pretrain"],
    Pretrain,
    label=lambda task: f"pretrain {task.backbone.name} on {task.dataset.name}",
    resources=lambda task: Resources(
        threads=task.threads,
        batch=task.recipe.batch,
        divisible=not task.backbone.batch_statistics,  # then gradients of parts add up
    ),
    work=lambda task, data: Work(TRAINING * task.recipe.epochs * len(data.train), task.backbone),
)
def pretrain(task: Pretrain, context: Context) -> Output:
    """Store the trunk's state. Its seed is fixed: it stands in for one published file."""
    data = task.data(context)
    run = _training_run(0, context)
    how = task.recipe, run, task.normalise
    trunk, curve = pretrain_trunk(task.backbone, data.train, data.side, *how)
    return Output(state_arrays(trunk), {"curve": curve})


@dataclass(frozen=True, kw_only=True)
class Train(OnData):
    """Train a target hasher."""

    threads: int
    spec: TargetSpec
    seed: int


@implements(
    STAGES["train"],
    Train,
    label=lambda task: f"train {task.spec.name}",
    resources=lambda task: Resources(
        threads=task.threads,
        batch=task.spec.training.batch,
        # HashNet's loss needs the whole batch, even where the network does not.
        divisible=not (task.spec.backbone.batch_statistics or task.spec.method.batch_statistics),
    ),
    work=lambda task, data: Work(
        TRAINING * task.spec.training.epochs * len(data.train), task.spec.backbone
    ),
)
def train(task: Train, context: Context) -> Output:
    """Store the hasher's state."""
    data = task.data(context)
    hasher = build_hasher(task.spec, data.side, seed=task.seed)
    if "trunk" in context.inputs:
        load_state(hasher.trunk, context.arrays("trunk"), "the trunk's weights")
    run = _training_run(task.seed, context)
    curve = train_hasher(hasher.to(context.device), task.spec, data.train, run)
    return Output(state_arrays(hasher), {"curve": curve})


def _training_run(seed: int, context: Context) -> TrainingRun:
    return TrainingRun(
        seed=seed, device=context.device, progress=context.progress, parts=2**context.halvings
    )


@dataclass(frozen=True, kw_only=True)
class Encode(OnData):
    """Compute a split's hash codes."""

    compute: Compute
    spec: TargetSpec
    split: SplitName


@implements(
    STAGES["encode"],
    Encode,
    label=lambda task: f"encode {task.split} with {task.spec.name}",
    resources=lambda task: task.compute.resources(),
    work=lambda task, data: Work(len(data.split(task.split)), task.spec.backbone),
)
def encode(task: Encode, context: Context) -> Output:
    """Store int8 codes ``[n, K]``.

    Raises:
        TargetError: all images have the same code.
    """
    data = task.data(context)
    hasher = input_hasher(task.spec, data.side, task.compute, context)
    images = data.split(task.split).images
    codes = encode_images(hasher, images, task.compute, context).numpy()
    if len(codes) > 1 and (codes == codes[0]).all():
        raise TargetError(
            f"{task.spec.name} gives all {len(codes)} {task.split} images the same code: it has "
            "learnt nothing; train it longer or change its recipe"
        )
    return Output({"codes": codes})
