"""What an attack sees, and whether it left the hasher as it was.

The process of an attack holds no label of a query but those that a non-targeted attack declares to
see. Code of a plug-in gets a process for each job alone (see ``Job.isolation``), and the harness
hashes and scores in a process without any attack.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hashattack.attacks.base import PARTS, AttackError, Knowledge, Pool
from hashattack.benchmark.audit import InvalidAttackError, hidden_labels
from hashattack.benchmark.jobs import Compute, Context
from hashattack.benchmark.networks import input_hasher
from hashattack.benchmark.passes import PassCounter
from hashattack.datasets.base import HiddenSplit, RetrievalData, Split, SplitName
from hashattack.targets.ensemble import SourceSpec
from hashattack.targets.hasher import Hasher

_SETTINGS = (bool, int, float, str, tuple, type(None))  # attributes compared by value


class NoHasher(Hasher):
    """Takes the place of the hasher for an attack that declares that it needs none."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def forward(self, images: Tensor, alpha: float = 1.0) -> Tensor:  # noqa: ARG002
        """Raise, because the attack is crafted once for all hashers."""
        raise AttackError("needs_hasher is False, so the attack sees no hasher; set it to True")


@contextmanager
def attacker_view(
    data: RetrievalData, source: SourceSpec | None, compute: Compute, context: Context
) -> Iterator[tuple[Knowledge, PassCounter]]:
    """Give a block that runs an attack what the inputs of its job let the attack see.

    The passes of the hasher are counted all along, so that copies made early count, too.
    ``data`` is without hidden labels; ``source`` is None for an attack that needs no hasher.

    Raises:
        InvalidAttackError: the attack read hidden labels, or it changed the hasher.
    """
    hasher: Hasher = NoHasher()
    if source is not None:
        hasher = input_hasher(source, data.side, compute, context)

    def pool(name: SplitName) -> Pool:
        labels = np.array(data.split(name).labels)
        if name not in context.inputs:
            return Pool(labels, torch.zeros(len(labels), 0, dtype=torch.int8))
        return Pool(labels, torch.from_numpy(context.arrays(name)["codes"]))

    passes = PassCounter(hasher)
    with hidden_labels_unread(data):
        known = Knowledge(
            source="" if source is None else source.name,
            hasher=hasher,
            train=pool("train"),
            database=pool("database") if "database" in context.inputs else None,
            train_images=data.train.images,
            fitted={role: context.arrays(role) for role in PARTS if role in context.inputs},
        )
        yield known, passes
    passes.close()
    if source is not None:
        plain = replace(compute, compiled=False)
        on_cpu = replace(context, device=torch.device("cpu"))
        check_unchanged(hasher, input_hasher(source, data.side, plain, on_cpu))


@contextmanager
def hidden_labels_unread(data: RetrievalData) -> Iterator[None]:
    """Refuse a block that reads hidden labels of the data.

    Raises:
        InvalidAttackError: it did.
    """
    splits: dict[SplitName, Split] = {"query": data.query, "database": data.database}
    hidden = {name: split for name, split in splits.items() if isinstance(split, HiddenSplit)}
    for split in hidden.values():
        split.labels_read = False
    yield
    for name, split in hidden.items():
        if split.labels_read:
            raise hidden_labels(name)


def check_unchanged(hasher: Hasher, stored: Hasher) -> None:
    """Compare a hasher that an attack was shown with the stored one, loaded anew.

    Raises:
        InvalidAttackError: a module, mode, hook, setting or tensor differs; the text names it.
    """
    found, expected = _state(hasher), _state(stored)
    for name in [*found, *expected]:
        one, other = found.get(name), expected.get(name)
        if isinstance(one, Tensor) and isinstance(other, Tensor):
            same, values = torch.equal(one, other), ""
        else:
            same, values = one == other, f" is {one}, was {other}"
        if not same:
            raise InvalidAttackError(f"the attack changed the hasher it was shown: {name}{values}")


def _state(hasher: Hasher) -> dict[str, Any]:
    """Return by name all of a hasher that an attack could change."""
    state: dict[str, Any] = {}
    for place, module in hasher.named_modules():
        state[f"the class of {place or 'the hasher'}"] = type(module)
        for key, value in vars(module).items():
            name = f"{key} of {place or 'the hasher'}"
            if "hooks" in key:
                state[name] = len(value or ())
            elif key != "_compiled_call_impl":
                state[name] = value if isinstance(value, _SETTINGS) else type(value)
    for name, tensor in chain(hasher.named_parameters(), hasher.named_buffers()):
        state[f"the values of {name}"] = tensor.detach().cpu()
        state[f"requires_grad of {name}"] = tensor.requires_grad
        state[f"hooks of {name}"] = len(tensor._backward_hooks or ())
    return state
