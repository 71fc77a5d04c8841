"""Attacks with few steps, and parts that learn from what a small world shows them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hashattack.attacks.base import Arrays, Attack, Fitted, Knowledge, Part
from hashattack.benchmark.contract.checks import Broken
from hashattack.benchmark.contract.world import SEED
from hashattack.benchmark.plugins import FOREIGN

_FEW = {"steps": 5, "prototype_steps": 20, "epochs": 1, "width": 4}  # at most
_LEARNING_BATCH = 40  # at least


class Memory:
    """A journal that keeps the last state."""

    def __init__(self) -> None:
        self.state: Arrays | None = None

    def load(self) -> Arrays | None:
        """Return a copy of the last state, or None."""
        return None if self.state is None else dict(self.state)

    def save(self, state: Arrays) -> None:
        """Keep a copy."""
        self.state = {name: array.copy() for name, array in arrays(state, "journal.save").items()}


def quiet(done: int, total: int, unit: str) -> None:
    """Hear of progress and say nothing."""


def quick(attack: Attack) -> Attack:
    """Return the attack with few steps: what is promised does not depend on their number."""
    for role in ("target_code", "crafting"):
        part: Part | None = getattr(attack, role)
        for name, value in few(part).items() if part is not None else ():
            with contextlib.suppress(*FOREIGN):  # a part that needs more keeps what it has
                part = replace(part, **{name: value})  # type: ignore[type-var]
        attack = replace(attack, **{role: part})  # type: ignore[arg-type]
    return attack


def few(part: Part) -> dict[str, int]:
    """Return the hyper-parameters that are made small, by name, where they are not already."""
    wanted = {}
    for field in dataclasses.fields(part):
        value, most = getattr(part, field.name), _FEW.get(field.name)
        if most is not None and isinstance(value, int) and value > most:
            wanted[field.name] = most
        if field.name == "batch" and part.learns and isinstance(value, int):
            wanted["batch"] = max(value, _LEARNING_BATCH)
    return wanted


def learn(
    attack: Attack,
    seen: Knowledge,
    roles: Collection[str] = ("target_code", "crafting"),
    *,
    seed: int = SEED,
) -> Knowledge:
    """Return the knowledge with what the attack's parts learn from it.

    Raises:
        Broken: what a fit hands over is nothing that a run could store.
    """
    for role in roles:
        part: Part | None = getattr(attack, role)
        if part is not None and part.learns:
            epsilon = attack.epsilon if role == "crafting" else None
            fitted: Any = part.fit(
                seen, epsilon=epsilon, seed=seed, journal=Memory(), progress=quiet
            )
            if not isinstance(fitted, Fitted):
                raise Broken(
                    f"its fit must return Fitted(state, curves), returned {type(fitted).__name__}"
                )
            try:
                json.dumps({name: list(values) for name, values in fitted.curves.items()})
            except (AttributeError, TypeError) as error:
                raise Broken(
                    f"the curves of its fit must be lists of numbers by name: {error}"
                ) from None
            seen = replace(seen, fitted={**seen.fitted, role: arrays(fitted.state, "its fit")})
    return seen


def arrays(state: Any, giver: str) -> Arrays:
    """Return a state as it can be stored.

    Raises:
        Broken: it is no mapping of names to NumPy arrays; the text names what is none.
    """
    if not isinstance(state, Mapping):
        raise Broken(f"the state of {giver} must be arrays by name, is a {type(state).__name__}")
    for name, array in state.items():
        if not isinstance(array, np.ndarray) or array.dtype.hasobject:
            raise Broken(
                f"the state of {giver} must hold NumPy arrays, '{name}' is a {type(array).__name__}"
            )
    return dict(state)
