"""CIFAR-10, from the binary version of its official files (the Python version is pickles)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from hashattack.datasets.base import (
    SPLITS,
    ArrayImages,
    DatasetError,
    DatasetSpec,
    Images,
    IntArray,
    MissingDataError,
    RetrievalData,
    Split,
    UInt8Array,
    fingerprint,
    seeded_splits,
)
from hashattack.datasets.files import read_bytes

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_NAMES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
_SIDE = 32
_RECORD = 1 + 3 * _SIDE * _SIDE


@dataclass(frozen=True)
class Enlarged:
    """Images resized (bilinear) to ``side`` as they are read."""

    images: Images
    side: int

    def __len__(self) -> int:
        return len(self.images)

    def read(self, rows: IntArray) -> UInt8Array:
        """Return the images of the given rows, uint8 ``[len(rows), 3, side, side]``."""
        size = (self.side, self.side)
        resized = [
            np.asarray(
                Image.fromarray(image.transpose(1, 2, 0)).resize(size, Image.Resampling.BILINEAR)
            )
            for image in self.images.read(rows)
        ]
        return np.ascontiguousarray(np.stack(resized).transpose(0, 3, 1, 2))


@dataclass(frozen=True, kw_only=True)
class Cifar10(DatasetSpec):
    """CIFAR-10: 60,000 images of one label each, from its binary version.

    Attributes:
        root: the folder that holds (or is) cifar-10-batches-bin.
        side: images are enlarged from 32 pixels to this; AlexNet and VGG11 need at least 64.
        n_query, n_train: drawn from all images by ``split_seed``; the rest is the database.
        split_seed: seed of the split.
    """

    name: ClassVar[str] = "CIFAR-10"
    root: str = field(default="data/CIFAR-10", metadata={"path": True})
    side: int = 64
    n_query: int = 1_000
    n_train: int = 5_000
    split_seed: int = 0

    def load(self, cache: Path) -> RetrievalData:  # noqa: ARG002 - needs no cache
        """Return the data, all in memory (180 MB)."""
        images, classes = self._read()
        labels = np.eye(len(CLASSES), dtype=np.uint8)[classes]
        rows = seeded_splits(
            len(images), n_query=self.n_query, n_train=self.n_train, seed=self.split_seed
        )
        splits: dict[str, Split] = {
            name: Split(Enlarged(ArrayImages(images[rows[name]]), self.side), labels[rows[name]])
            for name in SPLITS
        }
        return RetrievalData(
            name=self.name,
            classes=CLASSES,
            side=self.side,
            fingerprint=fingerprint(
                images, labels, np.array([self.side]), *(rows[name] for name in SPLITS)
            ),
            **splits,
        )

    def _read(self) -> tuple[UInt8Array, IntArray]:
        root = Path(self.root)
        found = sorted(root.rglob(_NAMES[0]))
        if not found:
            raise MissingDataError(
                f"CIFAR-10: no {_NAMES[0]} in {root.resolve()} or below; unpack "
                "cifar-10-binary.tar.gz there, or name the folder with --data-root (the Python "
                "version is pickles, which are not opened)"
            )
        images, labels = zip(*(_binary(found[0].parent / name) for name in _NAMES), strict=True)
        return np.concatenate(images), np.concatenate(labels)


def _binary(path: Path) -> tuple[UInt8Array, IntArray]:
    """Read records of a label byte and 3 · 32 · 32 pixels."""
    try:
        content = np.frombuffer(read_bytes(path), dtype=np.uint8)
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from None
    if not len(content) or len(content) % _RECORD:
        raise DatasetError(f"{path} is truncated: {len(content)} bytes")
    records = content.reshape(-1, _RECORD)
    labels = records[:, 0].astype(np.int64)
    if labels.max() >= len(CLASSES):
        raise DatasetError(f"{path} is not a batch of CIFAR-10: it has a label {labels.max()}")
    return records[:, 1:].reshape(-1, 3, _SIDE, _SIDE), labels
