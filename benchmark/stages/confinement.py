"""What acts for the attacker: what it is shown, where it runs, that it left things as they were.

A process that crafts has no label of a query in it, and code that is not this program's own gets a
process to itself for each job: whatever it does there to shared classes, no other attack crafts
among the ruins, nor finds another hasher, and scoring runs in the harness's process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hashattack.attacks.base import Knowledge, Pool
from hashattack.benchmark.audit import InvalidAttackError
from hashattack.benchmark.engines.base import ATTACKER
from hashattack.benchmark.jobs import Compute, Context
from hashattack.benchmark.networks import encode_batch, first_batch, input_hasher
from hashattack.benchmark.stages.base import NetworkTask, hidden_labels
from hashattack.benchmark.store.keys import digest, is_own
from hashattack.datasets.base import HiddenSplit, RetrievalData, SplitName
from hashattack.targets.hasher import Hasher, TargetSpec

FITTED_ROLES = ("target_code", "crafting")  # what a part of an attack learnt, by its place

_FLIPPED = 0.1  # of the bits of codes: what another device's rounding does not reach
_PLAIN = (bool, int, float, str, tuple, type(None))

Forwards = Mapping[type[nn.Module], Callable[..., Any]]


@dataclass(frozen=True, kw_only=True)
class AttackerTask(NetworkTask):
    """A task that acts for the attacker: it reads what the threat model shows, and no more."""

    @property
    def isolation(self) -> str:
        """That of the program's own attacks, or one for this job alone."""
        return ATTACKER if is_own(self) else f"{ATTACKER} {digest(self)}"

    def hidden(self, context: Context) -> tuple[SplitName, ...]:
        """Hide the queries' labels, and the database's unless its codes are shown."""
        return ("query",) if "database" in context.inputs else ("query", "database")

    @contextmanager
    def confined(self, context: Context) -> Iterator[RetrievalData]:
        """Give the data without hidden labels, for a block that runs the attack.

        Raises:
            InvalidAttackError: the attack asked for hidden labels, whatever it made of the answer.
        """
        data = self.data(context)
        splits: dict[SplitName, Any] = {name: data.split(name) for name in self.hidden(context)}
        for split in splits.values():
            split.labels_read = False
        yield data
        for name, split in splits.items():
            if isinstance(split, HiddenSplit) and split.labels_read:
                raise hidden_labels(name)


@dataclass(frozen=True, kw_only=True)
class WhiteBoxTask(AttackerTask):
    """A task that is shown a hasher."""

    source: TargetSpec

    @contextmanager
    def shown(self, context: Context) -> Iterator[tuple[RetrievalData, Knowledge]]:
        """Give the data, and what the inputs of this job let the attacker see, for a block.

        Raises:
            InvalidAttackError: afterwards the hasher is not what it was.
        """
        with self.confined(context) as data:

            def pool(split: SplitName) -> Pool:
                codes = torch.from_numpy(context.arrays(split)["codes"])
                return Pool(np.array(data.split(split).labels), codes)

            hasher = input_hasher(self.source, data.side, self.compute, context)
            forwards = forwards_of(hasher)
            yield (
                data,
                Knowledge(
                    source=self.source.name,
                    hasher=hasher,
                    train=pool("train"),
                    database=pool("database") if "database" in context.inputs else None,
                    train_images=data.train.images,
                    fitted={
                        role: context.arrays(role)
                        for role in FITTED_ROLES
                        if role in context.inputs
                    },
                ),
            )
            plain = replace(self.compute, compiled=False)
            on_cpu = replace(context, device=torch.device("cpu"))
            stored = input_hasher(self.source, data.side, plain, on_cpu)
            check_unchanged(hasher, stored)
            check_forwards(forwards)
            _check_codes(hasher, data, self.compute, context)


def _changed(what: str) -> InvalidAttackError:
    return InvalidAttackError(f"the attack changed the hasher it was shown: {what}")


def forwards_of(hasher: nn.Module) -> Forwards:
    """Return what the classes of a hasher's modules compute with."""
    return {type(module): type(module).forward for module in hasher.modules()}


def check_forwards(forwards: Forwards) -> None:
    """Compare classes of modules with what they were.

    Raises:
        InvalidAttackError: one computes with another function.
    """
    for kind, forward in forwards.items():
        if kind.forward is not forward:
            raise _changed(f"{kind.__name__}.forward was replaced")


def check_unchanged(hasher: Hasher, stored: Hasher) -> None:
    """Compare a hasher that an attack was shown with the same one, loaded anew.

    Raises:
        InvalidAttackError: another module, flag, hook, setting or tensor; the text names it.
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
        if isinstance(value, _PLAIN) and own.get(key) != value:
            raise _changed(f"{key} of {name} is {own.get(key)}")


def _check_codes(hasher: Hasher, data: RetrievalData, compute: Compute, context: Context) -> None:
    """Hash some training images again, as a process did that had no attack in it."""
    pixels, rows, counted = first_batch(data.train.images, compute, context)
    codes = encode_batch(hasher, pixels, "the hasher").numpy()
    check_codes(codes[:counted], context.arrays("train")["codes"][rows[:counted]])


def check_codes(codes: npt.NDArray[Any], stored: npt.NDArray[Any]) -> None:
    """Compare codes of training images with those that a process without an attack made of them.

    Raises:
        InvalidAttackError: more bits differ than by another device's rounding.
    """
    flipped = float((codes != stored).mean())
    if flipped > _FLIPPED:
        raise _changed(f"{flipped:.0%} of the bits of training images' codes are others")
