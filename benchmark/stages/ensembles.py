"""Joining hashers that are attacked together, and their codes. Inputs are numbered from 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hashattack.benchmark.jobs import Context, Output, implements
from hashattack.benchmark.pipeline import STAGES
from hashattack.datasets.base import SplitName
from hashattack.targets.ensemble import EnsembleSpec


@dataclass(frozen=True, kw_only=True)
class JoinHashers:
    """Make one hasher of several."""

    spec: EnsembleSpec
    side: int  # of the images


@implements(STAGES["join"], JoinHashers, label=lambda task: f"join {task.spec.name}")
def join_hashers(task: JoinHashers, context: Context) -> Output:
    """Store the members' states as that of the ensemble."""
    states = [context.arrays(str(number)) for number in range(len(task.spec.members))]
    return Output(
        {
            f"members.{number}.{name}": array
            for number, state in enumerate(states)
            for name, array in state.items()
        }
    )


@dataclass(frozen=True, kw_only=True)
class JoinCodes:
    """Put the codes of several hashers side by side."""

    spec: EnsembleSpec
    split: SplitName


@implements(
    STAGES["join"],
    JoinCodes,
    label=lambda task: f"join the codes of {task.split} with {task.spec.name}",
)
def join_codes(task: JoinCodes, context: Context) -> Output:
    """Store int8 codes ``[n, K]``, K bits in all."""
    codes = [context.arrays(str(number))["codes"] for number in range(len(task.spec.members))]
    return Output({"codes": np.concatenate(codes, axis=1)})
