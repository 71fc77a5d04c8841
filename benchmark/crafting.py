"""Crafting without a suite: arrays in, adversarial images out, on the path that a run takes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hashattack.attacks.base import Attack, AttackError, Entry, Knowledge, Pool
from hashattack.attacks.protocols import PROTOCOLS, Protocol
from hashattack.benchmark import audit
from hashattack.benchmark.contract.world import learn
from hashattack.benchmark.jobs import Compute, Place
from hashattack.benchmark.names import lookup
from hashattack.benchmark.networks import encode_images, memory_format, numerics
from hashattack.benchmark.passes import PassCounter
from hashattack.benchmark.registry import registry
from hashattack.benchmark.stages.attacking import perturbed
from hashattack.benchmark.stages.scoring import audited
from hashattack.benchmark.store.store import Arrays
from hashattack.benchmark.suites.loading import override
from hashattack.datasets.base import ArrayImages, Images, Split, UInt8Array
from hashattack.datasets.errors import UserError
from hashattack.targets.hasher import Hasher

_BATCH = 32  # images at a time, by default


class InputError(UserError):
    """Arrays that do not fit an attack or each other; the text says which, and what fits."""


class _NotGiven(Pool):
    """Takes the place of images that the protocol shows to an attacker and the caller has not."""

    _error: UserError

    def __init__(self, name: str) -> None:
        remedy = f"give {name}=(images, labels)"
        error = InputError(f"the attack uses the {name} images that its protocol shows: {remedy}")
        object.__setattr__(self, "_error", error)

    @property
    def labels(self) -> UInt8Array:
        """Raise, because there are none."""
        raise self._error

    @property
    def codes(self) -> Tensor:
        """Raise, because there are none."""
        raise self._error


@dataclass(frozen=True)
class Network:
    """A copy of a hasher, and how it is run: on the device and in the dtype that it has."""

    hasher: Hasher
    compute: Compute
    place: Place
    fills: bool  # whether fewer images than a batch are filled up, as in a run

    @classmethod
    def of(cls, hasher: Any, batch: int | None) -> Network:
        """Copy a hasher.

        Raises:
            InputError: it is none.
        """
        if not isinstance(hasher, Hasher):
            raise InputError(
                f"hasher: expected a Hasher, got a {type(hasher).__name__}; hashattack.targets."
                "hasher.Hasher(trunk, width, bits, 'none') makes one of a network"
            )
        dtype = str(hasher.hash_layer.weight.dtype).removeprefix("torch.")
        compute = Compute(batch=batch or _BATCH, threads=torch.get_num_threads(), dtype=dtype)
        device = hasher.hash_layer.weight.device
        own = copy.deepcopy(hasher).eval().requires_grad_(False)
        own.to(memory_format=memory_format(compute.precision, device))
        return cls(own, compute, Place(device=device), fills=batch is not None)

    def codes(self, images: Images) -> Tensor:
        """Return int8 codes ``[n, K]``."""
        with numerics(self.compute.precision, self.place.device):
            return encode_images(self.hasher, images, self.compute, self.place)

    def run(
        self,
        attack: Attack,
        images: Images,
        labels: UInt8Array | None,
        *,
        train: Any,
        database: Any,
        protocol: Protocol,
        seed: int,
    ) -> Arrays:
        """Return what an attack makes of images, by the names that the store has.

        Raises:
            AttackError: it cannot run here.
            InvalidAttackError: it broke a rule, like its budget.
        """
        if attack.unavailable is not None:
            raise AttackError(f"{attack.id}: {attack.unavailable}")
        pool, train_images = self._seen(train, "train")
        if labels is None:  # zeros, as in a run
            classes = 1 if train is None else pool.labels.shape[1]
            labels = np.zeros((len(images), classes), dtype=np.uint8)
        known = Knowledge(
            source=self.hasher.name,
            hasher=self.hasher,
            train=pool,
            database=self._seen(database, "database")[0] if protocol.sees_database else None,
            train_images=train_images,
        )
        passes = PassCounter(self.hasher)
        with numerics(self.compute.precision, self.place.device):
            known = learn(attack, known, seed=seed)
            codes = attack.target_codes(known, labels, np.arange(len(labels)), seed)
            found: Arrays = {} if codes is None else {"target_codes": codes.numpy()}
            if attack.code_only:
                return found
            batch = self.compute.batch if self.fills else min(self.compute.batch, len(labels))
            how = replace(self.compute, batch=batch), self.place
            perturb, before = attack.ready(known), passes.total
            crafted, _, made = perturbed(perturb, images, labels, codes, seed, *how)
            found["passes_per_image"] = np.array(passes.since(before) / made)
            passes.close()
            audit.check_images(crafted, tuple(crafted.shape))
            arrays, _ = audited(self.hasher, images, crafted, attack.epsilon, *how)
            return {**found, "images": crafted.numpy(), **arrays}

    def _seen(self, known: Any, name: str) -> tuple[Pool, Images | None]:
        """Return what an attacker sees of a split, and its images where they are given."""
        if known is None:
            return _NotGiven(name), None
        if isinstance(known, Pool):
            return known, None
        split = _split(known, name)
        return Pool(split.labels, self.codes(split.images)), split.images


def _split(known: Any, name: str) -> Split:
    """Return images with labels as a split."""
    if isinstance(known, Split):
        return Split(known.images, np.array(known.labels))
    if not isinstance(known, tuple | list) or len(known) != 2:
        raise InputError(f"{name}: expected (images, labels), a Split or a Pool")
    images = as_images(known[0], f"{name} images")
    return Split(images, as_labels(known[1], len(images), f"{name} labels"))


def as_attack(attack: Any, protocol: str, params: Mapping[str, Any]) -> tuple[Attack, Protocol]:
    """Return an attack under a protocol, some hyper-parameters replaced.

    Args:
        attack: an id, what ``@attack`` makes of a function, or an attack.
        protocol: its name.
        params: hyper-parameters by name, ``epsilon`` among them.

    Raises:
        UserError: an unknown name or a bad value.
    """
    rules = lookup("protocol", protocol, PROTOCOLS)
    if isinstance(attack, str):
        attack = lookup("attack", attack, registry().attacks)
    if isinstance(attack, Entry):
        attack = Attack.of(attack.build(rules))
    if not isinstance(attack, Attack):
        raise InputError(
            f"attack: expected an id, an Attack or a function with @attack, got a "
            f"{type(attack).__name__}"
        )
    return override(attack, dict(params), "params"), rules


def labels_for(attack: Attack, value: Any, count: int) -> UInt8Array | None:
    """Return the label rows that an attack is given, uint8 ``[n, C]``, None where it sees none.

    Raises:
        InputError: there are none, and it sees some; or they are no label rows.
    """
    if not attack.sees_labels:
        return None
    if value is None:
        whose = "the queries' own" if attack.sees_query_labels else "target"
        raise InputError(f"labels: {attack.id} needs {whose} label rows [{count}, C]")
    return as_labels(value, count, "labels")


def as_images(value: Any, name: str) -> Images:
    """Return arrays or tensors of images as they are read by row.

    Raises:
        InputError: they are no images ``[n, 3, S, S]``, uint8 or floats in [0, 1].
    """
    if hasattr(value, "read"):
        images: Images = value
        return images
    array = as_array(value)
    if array.ndim != 4 or array.shape[1] != 3 or array.shape[2] != array.shape[3]:
        last = array.ndim == 4 and array.shape[-1] == 3
        remedy = "; move the channels first: images.transpose(0, 3, 1, 2)" if last else ""
        raise InputError(f"{name}: expected [n, 3, S, S], got shape {array.shape}{remedy}")
    if not len(array):
        raise InputError(f"{name}: there are none")
    if array.dtype == np.uint8:
        return ArrayImages(array)
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{name}: expected uint8 or floats in [0, 1], got {array.dtype}")
    if not (array.min() >= 0 and array.max() <= 1):  # also of NaN
        raise InputError(
            f"{name}: floats must lie in [0, 1], these reach from {array.min():g} to "
            f"{array.max():g}; divide by 255, or give uint8"
        )
    return ArrayImages(array)


def as_labels(value: Any, count: int, name: str) -> UInt8Array:
    """Return label rows, uint8 ``[n, C]``.

    Raises:
        InputError: they are no rows of 0 and 1, one for each image.
    """
    array = as_array(value)
    if array.ndim != 2 or len(array) != count:
        raise InputError(f"{name}: expected {count} label rows [{count}, C], got {array.shape}")
    if not np.isin(array, (0, 1)).all():
        raise InputError(f"{name}: expected rows of 0 and 1, one column a class")
    return array.astype(np.uint8)


def as_array(value: Any) -> npt.NDArray[Any]:
    """Return an array or a tensor as an array."""
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
