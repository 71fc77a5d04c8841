"""The small world attacks are examined in: digits of 32 pixels, and a hasher whose codes vary.

It shows an attack what a run shows it and no more. The queries' labels are sealed in memory. Data
sets lie in files, which an attack could look for, so that this one does too, and once more with
the labels an attacker must not see in another order: what is crafted must be the same.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import torch
from torch import Tensor

from hashattack.attacks.base import Batch, Knowledge, Pool
from hashattack.attacks.protocols import Protocol
from hashattack.datasets.base import (
    ArrayImages,
    IntArray,
    RetrievalData,
    Split,
    SplitName,
    UInt8Array,
)
from hashattack.datasets.digits import Digits
from hashattack.datasets.errors import UserError
from hashattack.datasets.seeds import generator
from hashattack.targets.backbones import Tiny
from hashattack.targets.hasher import Hasher, TargetSpec, build_hasher, sign_codes
from hashattack.targets.losses import DPSH
from hashattack.targets.training import to_pixels

DIGITS = Digits(n_train=120, n_query=24, n_database=240, side=32)
QUERIES = 6
SEED = 5
_CPU = torch.device("cpu")


class SealedError(UserError):
    """Somebody read labels that the threat model hides."""


class Sealed:
    """Label rows ``[n, C]`` that have a shape; whoever reads them raises."""

    ndim = 2

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, _: Any) -> NoReturn:
        raise SealedError("it reads the queries' labels, which the threat model hides")

    def __array__(self, *_: Any, **__: Any) -> UInt8Array:
        return self[0]


def untrained(bits: int = 12, dtype: torch.dtype = torch.float32) -> Hasher:
    """Return a small hasher whose codes at least vary, frozen, in evaluation mode."""
    spec = TargetSpec(method=DPSH(), backbone=Tiny(), bits=bits, weights="none")
    hasher = build_hasher(spec, 32, seed=3).train()
    with torch.no_grad():  # batch statistics, without which the signal dies on its way
        images = torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        for _ in range(20):
            hasher(images)
    return hasher.to(dtype).eval().requires_grad_(False)


def balanced(dtype: torch.dtype, data: RetrievalData) -> Hasher:
    """Return an untrained hasher that halves the database by every bit, so that codes differ."""
    hasher, images = untrained(dtype=torch.float64), data.database.images
    pixels = to_pixels(images.read(np.arange(len(images))), _CPU, torch.float64)
    with torch.no_grad():
        logits: Tensor = hasher.hash_layer(hasher.trunk(pixels))
        hasher.hash_layer.bias.sub_(logits.median(dim=0).values)
    return hasher.to(dtype)


def knowledge(data: RetrievalData, hasher: Hasher) -> Knowledge:
    """Return what an attacker sees where the database is shown."""

    def pool(part: Split) -> Pool:
        dtype = next(hasher.parameters()).dtype
        pixels = to_pixels(part.images.read(np.arange(len(part))), _CPU, dtype)
        with torch.no_grad():
            return Pool(np.array(part.labels), sign_codes(hasher(pixels)))

    return Knowledge(
        "test", hasher, pool(data.train), pool(data.database), train_images=data.train.images
    )


def stored(
    data: RetrievalData, folder: Path, shuffled: Collection[SplitName] = ()
) -> RetrievalData:
    """Keep data in files as data sets do, and return it read from them, query labels sealed.

    Args:
        data: its training split is the beginning of its database, as in ``digits``.
        folder: made here.
        shuffled: ``query`` or ``database``, whose label rows are permuted; those of training
            images stay.
    """
    folder.mkdir(parents=True)
    kept: dict[SplitName, Split] = {}
    splits: tuple[SplitName, ...] = ("query", "database")
    for name in splits:
        split = data.split(name)
        labels, first = np.array(split.labels), len(data.train) if name == "database" else 0
        if name in shuffled:
            labels[first:] = generator(SEED, f"shuffled/{name}").permutation(labels[first:])
        np.save(folder / f"{name}-images.npy", split.images.read(np.arange(len(split))))
        np.save(folder / f"{name}-labels.npy", labels)
        images = np.load(folder / f"{name}-images.npy", mmap_mode="r")
        kept[name] = Split(ArrayImages(images), np.load(folder / f"{name}-labels.npy"))
    images, count = cast(ArrayImages, kept["database"].images).array, len(data.train)
    train = Split(ArrayImages(images[:count]), kept["database"].labels[:count])
    hidden = cast(UInt8Array, Sealed(kept["query"].labels.shape))
    query = Split(kept["query"].images, hidden)
    return replace(data, train=train, query=query, database=kept["database"])


class World:
    """What attacks are examined with.

    Args:
        data: ``DIGITS``, loaded.
        folder: an empty folder for its files.
    """

    def __init__(self, data: RetrievalData, folder: Path) -> None:
        self.data = stored(data, folder / "told")
        self._shuffled = {
            True: stored(data, folder / "query", ["query"]),
            False: stored(data, folder / "both", ["query", "database"]),
        }  # by whether the database is shown
        hashers = {dtype: balanced(dtype, self.data) for dtype in (torch.float32, torch.float64)}
        self._seen = {dtype: knowledge(self.data, hasher) for dtype, hasher in hashers.items()}
        rows, counts = np.unique(self.data.train.labels, axis=0, return_counts=True)
        frequent = rows[np.argsort(-counts, kind="stable")[:2]]
        plain = self._seen[torch.float32]
        self.hasher, self.train_codes = plain.hasher, plain.train.codes.numpy()  # nobody is shown
        pixels = self.data.train.images.read(np.arange(len(self.data.train)))
        self.train_pixels = to_pixels(pixels, _CPU, torch.float32)
        self.targets: UInt8Array = frequent[[0, 0, 1, 0, 1, 1]]  # of the queries, [QUERIES, C]

    def seen(self, protocol: Protocol, dtype: torch.dtype, *, shuffled: bool = False) -> Knowledge:
        """Return copies of what an attacker sees under a protocol.

        ``shuffled``: in a world whose hidden labels are permuted.
        """
        known = self._seen[dtype]
        data = self._shuffled[protocol.sees_database] if shuffled else self.data
        return replace(
            known,
            hasher=copy.deepcopy(known.hasher),
            train=copy.deepcopy(known.train),
            database=copy.deepcopy(known.database) if protocol.sees_database else None,
            train_images=data.train.images,
        )

    def batch(
        self,
        rows: IntArray,
        codes: Tensor | None,
        dtype: torch.dtype,
        *,
        blind: bool = False,
        mirrored: bool = False,
    ) -> Batch:
        """Return queries to perturb together, ``codes`` being those of all queries ``[q, K]``.

        ``blind`` leaves the target labels out, as runs do; ``mirrored`` flips left and right.
        """
        images = to_pixels(self.data.query.images.read(rows), _CPU, dtype)
        targets = self.targets[rows]
        return Batch(
            images=images.flip(-1).contiguous() if mirrored else images,
            codes=None if codes is None else codes[rows],
            targets=torch.from_numpy(np.zeros_like(targets) if blind else targets),
            rows=rows,
            seed=SEED,
        )
