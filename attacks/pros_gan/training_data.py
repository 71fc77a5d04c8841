"""What a generator is trained on: training images with a target label drawn for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hashattack.attacks.base import AttackError, Knowledge
from hashattack.attacks.pros_gan.prototype_net import label_rows, restore
from hashattack.attacks.protocols import PoolName
from hashattack.datasets.base import Images, UInt8Array
from hashattack.datasets.seeds import generator
from hashattack.targets.hasher import sign_codes
from hashattack.targets.training import to_pixels

TargetDraw = Literal["rows", "images"]


@dataclass(frozen=True)
class TrainingBatch:
    """A batch of training images, each with a target label drawn for it."""

    epoch: int  # 0-based
    index: int  # of the batch in its epoch
    images: Tensor  # [n, 3, S, S] in [0, 1]
    labels: Tensor  # their own label rows, float [n, C]
    targets: Tensor  # target label rows, float [n, C]
    semantics: Tensor  # r of the targets, [n, 512]
    codes: Tensor  # prototype codes of the targets, float [n, K]


@dataclass(frozen=True)
class TrainingData:
    """Training images with labels, and the target label rows with their prototypes."""

    images: Images
    labels: UInt8Array  # [N, C]
    rows: Tensor  # target label rows, float [R, C]
    shares: npt.NDArray[np.float64]  # the probability of each row, [R]
    semantics: Tensor  # [R, 512]
    codes: Tensor  # float [R, K]
    source: str
    seed: int

    @classmethod
    def of(
        cls, knowledge: Knowledge, split: PoolName, drawn_by: TargetDraw, seed: int
    ) -> TrainingData:
        """Collect it from what an attacker sees.

        Targets are the unique label rows of ``split`` that are relevant to a training image, drawn
        uniformly over ``rows`` (published) or over the ``images`` that carry them.

        Raises:
            AttackError: training images that the attacker may not see, or an unfit PrototypeNet.
        """
        if knowledge.train_images is None:
            raise AttackError("a generator needs the training images")
        weight = next(knowledge.hasher.parameters())  # its device and dtype are used throughout
        rows, counts = label_rows(knowledge.pool(split).labels)
        known = (rows @ knowledge.train.labels.T > 0).any(axis=1)
        rows, counts = rows[known], counts[known]
        shares = counts if drawn_by == "images" else np.ones(len(rows))
        labels = torch.from_numpy(rows).float()
        prototypes = restore(knowledge.fitted["target_code"], rows.shape[1], knowledge.hasher.bits)
        semantics, outputs, _ = prototypes(labels)
        return cls(
            images=knowledge.train_images,
            labels=knowledge.train.labels,
            rows=labels.to(weight),
            shares=shares / shares.sum(),
            semantics=semantics.to(weight),
            codes=sign_codes(outputs).to(weight),
            source=knowledge.source,
            seed=seed,
        )

    @property
    def side(self) -> int:
        """The side of the images."""
        return int(self.images.read(np.zeros(1, dtype=np.int64)).shape[-1])

    def epoch(self, epoch: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return an epoch's order of the training images, and the target row of each place."""
        order = generator(self.seed, f"gan-order/{self.source}", epoch)
        targets = generator(self.seed, f"gan-targets/{self.source}", epoch)
        count = len(self.labels)
        return order.permutation(count), targets.choice(len(self.rows), size=count, p=self.shares)

    def sample(self, count: int) -> TrainingBatch:
        """Return the first training images with targets of a draw of their own, to measure on."""
        rows = np.arange(min(count, len(self.labels)))
        draws = generator(self.seed, f"gan-untrained/{self.source}")
        return self.draw(rows, draws.choice(len(self.rows), size=len(rows), p=self.shares))

    def draw(
        self,
        rows: npt.NDArray[np.int64],
        picks: npt.NDArray[np.int64],
        epoch: int = 0,
        index: int = 0,
    ) -> TrainingBatch:
        """Return training images ``rows``, each with the target row of ``picks``."""
        pick = torch.from_numpy(picks).to(self.rows.device)
        own = torch.from_numpy(self.labels[rows])
        return TrainingBatch(
            epoch=epoch,
            index=index,
            images=to_pixels(self.images.read(rows), self.rows.device, self.rows.dtype),
            labels=own.to(self.rows),
            targets=self.rows[pick],
            semantics=self.semantics[pick],
            codes=self.codes[pick],
        )
