"""What an attack must leave as it was: global random states, the hasher, what it is given."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from attacks.base import Batch, Knowledge

Portrait = Mapping[str, bytes]
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def changes(before: Portrait, after: Portrait) -> list[str]:
    """Return the names of what is there in one portrait and not, or otherwise, in the other."""
    names = {**before, **after}
    return [name for name in names if before.get(name) != after.get(name)]


@contextmanager
def chances(seed: int) -> Iterator[Callable[[], list[str]]]:
    """Seed the global random states, and put them back as they were at the end.

    Yields a function that names the states that have moved since.
    """
    states = torch.random.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    begun = _states()
    try:
        yield lambda: changes(begun, _states())
    finally:
        torch.random.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])


def _states() -> Portrait:
    return {
        "torch": _bytes(torch.random.get_rng_state()),
        "numpy": pickle.dumps(np.random.get_state()),  # noqa: NPY002
        "python": pickle.dumps(random.getstate()),
    }


def of_hasher(hasher: nn.Module) -> Portrait:
    """Return weights, buffers, gradients, flags, hooks and attributes of a network."""
    found: dict[str, bytes] = {}
    for name, parameter in hasher.named_parameters():
        found[f"the weights {name}"] = _bytes(parameter)
        found[f"requires_grad of {name}"] = bytes([parameter.requires_grad])
        found[f"the gradient of {name}"] = _bytes(parameter.grad)
    for name, buffer in hasher.named_buffers():
        found[f"the buffer {name}"] = _bytes(buffer)
    for name, module in hasher.named_modules():
        of = f"of {name}" if name else "of the whole"
        found[f"the training flag {of}"] = bytes([module.training])
        found[f"the hooks {of}"] = repr([list(getattr(module, hook)) for hook in _HOOKS]).encode()
        found[f"the attributes {of}"] = repr(sorted(vars(module))).encode()
    return found


def of_knowledge(knowledge: Knowledge) -> Portrait:
    """Return the labels and codes an attacker is shown."""
    pools = {"training": knowledge.train, "database": knowledge.database}
    shown = {name: pool for name, pool in pools.items() if pool is not None}
    return {
        **{f"the {name} labels": pool.labels.tobytes() for name, pool in shown.items()},
        **{f"the {name} codes": _bytes(pool.codes) for name, pool in shown.items()},
    }


def of_batch(batch: Batch) -> Portrait:
    """Return what a crafting is given."""
    return {
        "the images of its batch": _bytes(batch.images),
        "the target codes of its batch": _bytes(batch.codes),
        "the target labels of its batch": _bytes(batch.targets),
        "the rows of its batch": batch.rows.tobytes(),
    }


def _bytes(tensor: Tensor | None) -> bytes:
    return b"" if tensor is None else tensor.detach().numpy().tobytes()
