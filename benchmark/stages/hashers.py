"""Making target hashers: pretrain or import a trunk, train, encode a split."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch

from hashattack.benchmark.jobs import Context, Output, Task
from hashattack.benchmark.networks import batches, encode_batch, input_hasher
from hashattack.benchmark.stages.base import NetworkTask, TrainingTask
from hashattack.datasets.base import SplitName
from hashattack.targets.backbones import Backbone, TargetError
from hashattack.targets.checkpoints import load_state, read_state, read_trunk, state_arrays
from hashattack.targets.hasher import Recipe, TargetSpec, build_hasher
from hashattack.targets.training import pretrain_trunk, train_hasher


@dataclass(frozen=True, kw_only=True)
class Pretrain(TrainingTask):
    """Train a trunk on the data set's labels; shared by all its targets."""

    stage: ClassVar[str] = "pretrain"
    backbone: Backbone
    recipe: Recipe

    @property
    def label(self) -> str:
        """What a person calls this job."""
        return f"pretrain {self.backbone.name} on {self.dataset.name}"

    @property
    def recipe_of(self) -> tuple[Backbone, Recipe]:
        """What is trained, and how."""
        return self.backbone, self.recipe

    def run(self, context: Context) -> Output:
        """Store the trunk's state. Its seed is fixed: it stands in for one published file."""
        data = self.data(context)
        trunk, curve = pretrain_trunk(
            self.backbone,
            data.train,
            data.side,
            self.recipe,
            seed=0,
            device=context.device,
            progress=context.progress,
            parts=2**context.halvings,
        )
        return Output(state_arrays(trunk), {"curve": curve})


@dataclass(frozen=True, kw_only=True)
class ImportWeights(Task):
    """Read a trunk from a weight file; the file's hash stands in the key, not its path."""

    stage: ClassVar[str] = "weights"
    backbone: Backbone
    side: int
    sha256: str
    path: str = field(metadata={"key": False})

    @property
    def label(self) -> str:
        """What a person calls this job."""
        return f"read {Path(self.path).name}"

    def run(self, context: Context) -> Output:  # noqa: ARG002 - reads only its own file
        """Store the trunk's state."""
        return Output(state_arrays(read_trunk(self.backbone, self.side, Path(self.path))))


@dataclass(frozen=True, kw_only=True)
class ImportHasher(Task):
    """Read a hasher that ``import-target`` converted, instead of training one."""

    stage: ClassVar[str] = "import"
    spec: TargetSpec
    side: int
    sha256: str
    path: str = field(metadata={"key": False})

    @property
    def label(self) -> str:
        """What a person calls this job."""
        return f"read {self.spec.name} from {Path(self.path).name}"

    def run(self, context: Context) -> Output:  # noqa: ARG002 - reads only its own file
        """Store the hasher's state."""
        hasher = build_hasher(self.spec, self.side, seed=0)
        state = read_state(Path(self.path))
        arrays = {name: tensor.numpy() for name, tensor in state.items()}
        load_state(hasher, arrays, self.path)
        return Output(arrays)


@dataclass(frozen=True, kw_only=True)
class Train(TrainingTask):
    """Train a target hasher."""

    stage: ClassVar[str] = "train"
    spec: TargetSpec
    seed: int

    @property
    def label(self) -> str:
        """What a person calls this job."""
        return f"train {self.spec.name}"

    @property
    def recipe_of(self) -> tuple[Backbone, Recipe]:
        """What is trained, and how."""
        return self.spec.backbone, self.spec.training

    @property
    def divisible(self) -> bool:
        """HashNet's loss looks at the whole batch, even where the network does not."""
        return super().divisible and not self.spec.method.batch_statistics

    def run(self, context: Context) -> Output:
        """Store the hasher's state."""
        data = self.data(context)
        hasher = build_hasher(self.spec, data.side, seed=self.seed)
        if "trunk" in context.inputs:
            load_state(hasher.trunk, context.arrays("trunk"), "the trunk's weights")
        curve = train_hasher(
            hasher.to(context.device),
            self.spec,
            data.train,
            seed=self.seed,
            device=context.device,
            progress=context.progress,
            parts=2**context.halvings,
        )
        return Output(state_arrays(hasher), {"curve": curve})


@dataclass(frozen=True, kw_only=True)
class Encode(NetworkTask):
    """Compute a split's hash codes."""

    stage: ClassVar[str] = "encode"
    version: ClassVar[int] = 2  # channels last
    spec: TargetSpec
    split: SplitName

    @property
    def label(self) -> str:
        """What a person calls this job."""
        return f"encode {self.split} with {self.spec.name}"

    def run(self, context: Context) -> Output:
        """Store int8 codes ``[n, K]``; a hasher that says nothing is refused here."""
        data = self.data(context)
        hasher = input_hasher(self.spec, data.side, self.compute, context)
        images = data.split(self.split).images
        codes = torch.cat(
            [
                encode_batch(hasher, pixels, self.spec.name)[:count]
                for pixels, _, count in batches(images, len(images), self.compute, context)
            ]
        ).numpy()
        if len(codes) > 1 and (codes == codes[0]).all():
            raise TargetError(
                f"{self.spec.name} gives all {len(codes)} {self.split} images the same code: it "
                "has learnt nothing; train it longer or change its recipe"
            )
        return Output({"codes": codes})
