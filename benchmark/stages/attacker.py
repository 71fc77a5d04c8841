"""What an attack sees, and whether it left the hasher as it was.

The process of an attack holds no label of a query. Code of a plug-in gets a process for each job
alone (see ``Job.isolation``), and the harness hashes and scores in a process without any attack.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn

from hashattack.attacks.base import AttackError, Knowledge, Pool
from hashattack.benchmark.audit import InvalidAttackError, hidden_labels
from hashattack.benchmark.jobs import Compute, Context
from hashattack.benchmark.networks import input_hasher
from hashattack.datasets.base import HiddenSplit, RetrievalData, Split, SplitName
from hashattack.targets.hasher import Hasher, TargetSpec

FITTED_ROLES = ("target_code", "crafting")  # parts of an attack, whose learnt state is an input

_SETTINGS = (bool, int, float, str, tuple, type(None))  # attributes of modules to compare


class NoHasher(Hasher):
    """Takes the place of the hasher for an attack that declares that it needs none."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def forward(self, images: Tensor, alpha: float = 1.0) -> Tensor:  # noqa: ARG002
        """Raise, because the attack is crafted once for all hashers."""
        raise AttackError("needs_hasher is False, so the attack sees no hasher; set it to True")


@contextmanager
def attacker_view(
    data: RetrievalData, source: TargetSpec | None, compute: Compute, context: Context
) -> Iterator[Knowledge]:
    """Give a block that runs an attack what the inputs of its job let the attack see.

    Args:
        data: the data set without hidden labels.
        source: the hasher that the attack sees, or None where it needs none.
        compute: how the hasher is run.
        context: of the job.

    Raises:
        InvalidAttackError: the attack read hidden labels, or it changed the hasher.
    """
    splits: dict[SplitName, Split] = {"query": data.query, "database": data.database}
    hidden = {name: split for name, split in splits.items() if isinstance(split, HiddenSplit)}
    for split in hidden.values():
        split.labels_read = False
    hasher: Hasher = NoHasher()
    if source is not None:
        hasher = input_hasher(source, data.side, compute, context)

    def pool(name: SplitName) -> Pool:
        labels = np.array(data.split(name).labels)
        if name not in context.inputs:
            return Pool(labels, torch.zeros(len(labels), 0, dtype=torch.int8))
        return Pool(labels, torch.from_numpy(context.arrays(name)["codes"]))

    yield Knowledge(
        source="" if source is None else source.name,
        hasher=hasher,
        train=pool("train"),
        database=pool("database") if "database" in context.inputs else None,
        train_images=data.train.images,
        fitted={role: context.arrays(role) for role in FITTED_ROLES if role in context.inputs},
    )
    for name, split in hidden.items():
        if split.labels_read:
            raise hidden_labels(name)
    if source is not None:
        plain = replace(compute, compiled=False)
        on_cpu = replace(context, device=torch.device("cpu"))
        check_unchanged(hasher, input_hasher(source, data.side, plain, on_cpu))


def check_unchanged(hasher: Hasher, stored: Hasher) -> None:
    """Compare a hasher that an attack was shown with the stored one, loaded anew.

    Raises:
        InvalidAttackError: another module, mode, hook, setting or tensor; the text names it.
    """
    modules, others = dict(hasher.named_modules()), dict(stored.named_modules())
    if modules.keys() != others.keys():
        raise _changed(f"modules {sorted(modules.keys() ^ others.keys())}")
    for name, module in modules.items():
        _check_module(name or "the hasher", module, others[name])
    tensors, kept = _tensors(hasher), _tensors(stored)
    if tensors.keys() != kept.keys():
        raise _changed(f"tensors {sorted(tensors.keys() ^ kept.keys())}")
    for name, tensor in tensors.items():
        if tensor.requires_grad != kept[name].requires_grad:
            raise _changed(f"{name} requires a gradient")
        if tensor._backward_hooks:
            raise _changed(f"a hook is on {name}")
        if not torch.equal(tensor.detach().cpu(), kept[name]):
            raise _changed(f"other values in {name}")


def _changed(what: str) -> InvalidAttackError:
    return InvalidAttackError(f"the attack changed the hasher it was shown: {what}")


def _tensors(hasher: nn.Module) -> dict[str, Tensor]:
    return dict(chain(hasher.named_parameters(), hasher.named_buffers()))


def _check_module(name: str, module: nn.Module, other: nn.Module) -> None:
    if type(module) is not type(other):
        raise _changed(f"{name} is a {type(module).__name__}")
    if module.training != other.training:
        raise _changed(f"{name} is in training mode")
    own, stored = vars(module), vars(other)
    added = sorted(own.keys() - stored.keys() - {"_compiled_call_impl"})
    if added:
        raise _changed(f"{added[0]} was set on {name}")
    for key, value in stored.items():
        if "hooks" in key and len(own[key] or ()) != len(value or ()):
            raise _changed(f"a hook is on {name}")
        if isinstance(value, _SETTINGS) and own.get(key) != value:
            raise _changed(f"{key} of {name} is {own.get(key)}")
