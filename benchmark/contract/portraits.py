"""What an attack must leave as it was: global random states, and what it is given."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from hashattack.attacks.base import Batch, Knowledge
from hashattack.datasets import seeds

Portrait = Mapping[str, bytes]


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


@contextmanager
def draws() -> Iterator[list[tuple[int, str, int]]]:
    """Yield a list that receives (seed, purpose, row) of every draw by ``datasets.seeds``."""
    drawn: list[tuple[int, str, int]] = []
    real = seeds.derive

    def derive(seed: int, purpose: str, row: int = 0) -> int:
        drawn.append((int(seed), purpose, int(row)))
        return real(seed, purpose, row)

    with patch.object(seeds, "derive", derive):
        yield drawn


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
