"""The small world that attacks are checked in: 32-pixel digits and a hasher whose codes vary."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hashattack.attacks.base import PARTS, Arrays, Attack, Batch, Fitted, Knowledge, Part, Pool
from hashattack.attacks.protocols import Protocol
from hashattack.benchmark.audit import hidden_labels
from hashattack.benchmark.contract.checks import StopChecksError
from hashattack.benchmark.plugins import FOREIGN
from hashattack.benchmark.stages.attacker import NoHasher
from hashattack.datasets.base import IntArray, RetrievalData, Split, SplitName, UInt8Array
from hashattack.datasets.digits import Digits
from hashattack.targets.backbones import Tiny
from hashattack.targets.hasher import Hasher, TargetSpec, build_hasher, sign_codes
from hashattack.targets.losses import DPSH
from hashattack.targets.training import to_pixels

DIGITS = Digits(n_train=120, n_query=24, n_database=240, side=32)
QUERIES, SEED = 6, 5
_FEW = {"steps": 5, "prototype_steps": 5, "epochs": 1, "width": 4, "most_rows": 2}  # at most
_CPU = torch.device("cpu")


def untrained(bits: int = 12, dtype: torch.dtype = torch.float32) -> Hasher:
    """Return a small hasher whose codes at least vary, frozen, in evaluation mode."""
    spec = TargetSpec(method=DPSH(), backbone=Tiny(), bits=bits, weights="none")
    hasher = build_hasher(spec, 32, seed=3).train()
    with torch.no_grad():  # batch statistics, without which the signal vanishes on its way
        images = torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        for _ in range(20):
            hasher(images)
    return hasher.to(dtype).eval().requires_grad_(False)


def knowledge(data: RetrievalData, hasher: Hasher) -> Knowledge:
    """Return what an attacker sees where the protocol shows the database."""

    def pool(part: Split) -> Pool:
        with torch.no_grad():
            codes = sign_codes(hasher(_pixels(part, next(hasher.parameters()).dtype)))
        return Pool(np.array(part.labels), codes)

    return Knowledge(
        "test", hasher, pool(data.train), pool(data.database), train_images=data.train.images
    )


class World:
    """What attacks are shown in checks: the same as in a run, and nothing more.

    Args:
        data: ``DIGITS``, loaded.
    """

    def __init__(self, data: RetrievalData) -> None:
        self._data, self._queries = data, data.query.images
        hasher = untrained(dtype=torch.float64)
        with torch.no_grad():  # every bit halves the database, so that codes differ
            logits = hasher.hash_layer(hasher.trunk(_pixels(data.database, torch.float64)))
            hasher.hash_layer.bias.sub_(logits.median(dim=0).values)
        self._seen = replace(knowledge(data, hasher), train_images=None)
        rows, counts = np.unique(data.train.labels, axis=0, return_counts=True)
        frequent = rows[np.argsort(-counts, kind="stable")[:2]]
        self.targets = frequent[[0, 0, 1, 0, 1, 1]]  # of the queries, uint8 [QUERIES, C]
        self.own = np.array(data.query.labels[:QUERIES])  # the queries' own, of the same shape

    def data(self, protocol: Protocol) -> RetrievalData:
        """Return the data as the process of an attack holds it: without hidden labels."""
        names: list[SplitName] = ["query"] if protocol.sees_database else ["query", "database"]
        return self._data.without_labels(*names, refusal=hidden_labels)

    def seen(
        self, protocol: Protocol, dtype: torch.dtype, *, needs_source: bool = True
    ) -> Knowledge:
        """Return a copy of what an attack sees under a protocol."""
        known = replace(copy.deepcopy(self._seen), train_images=self._data.train.images)
        if not needs_source:
            train = Pool(known.train.labels, known.train.codes[:, :0])
            return replace(known, source="", hasher=NoHasher(), train=train, database=None)
        return replace(
            known,
            hasher=known.hasher.to(dtype),
            database=known.database if protocol.sees_database else None,
        )

    def labels(self, attack: Attack) -> UInt8Array:
        """Return the label rows that an attack is given, uint8 ``[QUERIES, C]``."""
        labels = self.targets if attack.goal == "targeted" else self.own
        return labels if attack.sees_labels else np.zeros_like(labels)

    def batch(
        self,
        rows: IntArray,
        codes: Tensor | None,
        dtype: torch.dtype,
        seed: int = SEED,
        labels: UInt8Array | None = None,
    ) -> Batch:
        """Return queries to perturb together.

        ``codes`` ``[q, K]`` and ``labels`` ``[q, C]`` are those of all queries; None for the target
        labels.
        """
        labels = self.targets if labels is None else labels
        return Batch(
            images=to_pixels(self._queries.read(rows), _CPU, dtype),
            codes=None if codes is None else codes[rows],
            labels=torch.from_numpy(labels[rows]),
            rows=rows + 0,
            seed=seed,
        )


def _pixels(split: Split, dtype: torch.dtype) -> Tensor:
    return to_pixels(split.images.read(np.arange(len(split))), _CPU, dtype)


@contextlib.contextmanager
def global_random_states(seed: int) -> Iterator[Callable[[], list[str]]]:
    """Seed the global random states of torch, NumPy and Python for a block, then restore them.

    Yields a function that returns the names of those that have moved since.
    """

    def states() -> dict[str, Any]:
        return {
            "torch": torch.random.get_rng_state().numpy().tobytes(),
            "numpy": pickle.dumps(np.random.get_state()),  # noqa: NPY002
            "python": random.getstate(),
        }

    before = states()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        begun = states()
        try:
            yield lambda: [name for name, state in states().items() if state != begun[name]]
        finally:
            np.random.set_state(pickle.loads(before["numpy"]))  # noqa: NPY002
            random.setstate(before["python"])


class MemoryJournal:
    """A journal that keeps the last state in memory."""

    def __init__(self) -> None:
        self.state: Arrays | None = None

    def load(self) -> Arrays | None:
        """Return a copy of the last state, or None."""
        return None if self.state is None else dict(self.state)

    def save(self, state: Arrays) -> None:
        """Keep a copy."""
        if not _storable(state):
            raise StopChecksError(f"journal.save takes NumPy arrays by name, got {state!r:.200}")
        self.state = {name: array.copy() for name, array in state.items()}


def quick(attack: Attack) -> Attack:
    """Return the attack with few steps, as far as its parts accept them."""
    for role in PARTS:
        part = getattr(attack, role)
        for name, most in _FEW.items():
            with contextlib.suppress(*FOREIGN):  # a part that needs more keeps what it has
                value = getattr(part, name, 0)
                if not isinstance(value, int | float) or value > most:  # None or auto, too
                    part = replace(part, **{name: most})
        attack = replace(attack, **{role: part})
    return attack


def learn(attack: Attack, seen: Knowledge, *, seed: int = SEED) -> Knowledge:
    """Return the knowledge with what the attack's parts learn from it.

    Raises:
        StopChecksError: a fit returns something that a run cannot store.
    """
    for role in attack.learning:
        part: Part = getattr(attack, role)
        epsilon = attack.epsilon if role == "crafting" else None
        fitted: Any = part.fit(
            seen, epsilon=epsilon, seed=seed, journal=MemoryJournal(), progress=lambda *_: None
        )
        if not isinstance(fitted, Fitted) or not _storable(
            fitted.state, fitted.curves, fitted.convergence
        ):
            raise StopChecksError(
                "its fit must return Fitted(state, curves), NumPy arrays and lists of numbers "
                f"by name, and returned {fitted!r:.200}"
            )
        seen = replace(seen, fitted={**seen.fitted, role: dict(fitted.state)})
    return seen


def _storable(state: Any, curves: Any = None, convergence: Any = ()) -> bool:
    """Return whether a run can store arrays by name, and lists of numbers as JSON."""
    try:
        json.dumps({name: list(values) for name, values in (curves or {}).items()})
        json.dumps(list(convergence))
        return all(
            isinstance(one, np.ndarray) and not one.dtype.hasobject for one in state.values()
        )
    except (AttributeError, TypeError):
        return False
