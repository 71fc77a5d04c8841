"""A run that has ended well, remembered so that asking for it again needs no plan. No torch.

What was asked, the program, the files a plan is read from and the data sets decide which jobs
there are. Where all of them are as they were, and nobody touched a job's output since, everything
is done and the report on disk tells it.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from hashattack.benchmark.store.folder import holder_of
from hashattack.benchmark.provenance import program_digest
from hashattack.benchmark.store.keys import digest
from hashattack.benchmark.store.files import read_json, stamp, write_json
from hashattack.benchmark.store.store import JobRef, Store
from hashattack.datasets.errors import UserError

if TYPE_CHECKING:
    from hashattack.benchmark.plan.plan import Plan

_NAME = "finished.json"


class Rerun(StrEnum):
    """Which finished jobs a run makes again."""

    missing = "missing"
    failed = "failed"
    stale = "stale"
    all = "all"


@dataclass(frozen=True)
class Finished:
    """A run whose cells are all there."""

    cells: int
    jobs: int
    leaderboard: str


@dataclass(frozen=True)
class Question:
    """What decides which jobs there are, as it was before anything was planned."""

    asked: str
    files: Mapping[str, list[int]]

    @classmethod
    def of(cls, asked: Mapping[str, Any], sources: Iterable[Path]) -> Question:
        """Return the question of a command.

        Args:
            asked: its arguments, as JSON-able values.
            sources: the files its suite and its plug-ins are read from.
        """
        return cls(_asked(asked), {str(path.resolve()): stamp(path) for path in sources})


def forget(out: Path) -> None:
    """Remember nothing of a folder: another run is about to write to it."""
    (out / _NAME).unlink(missing_ok=True)


def remember(
    out: Path, question: Question, plan: Plan, *, report: Sequence[Path], leaderboard: str
) -> None:
    """Write down that every job of a plan is done.

    Args:
        out: the output folder.
        question: what was asked.
        plan: the answer.
        report: the files that were written about it.
        leaderboard: its text.
    """
    store = Store(out / "store")
    imported = {path for job in plan.jobs.values() if (path := getattr(job.task, "path", ""))}
    data = [
        {
            "module": type(spec).__module__,
            "class": type(spec).__qualname__,
            "params": TypeAdapter(type(spec)).dump_python(spec, mode="json"),
            "fingerprint": fingerprint,
        }
        for fingerprint, spec in plan.specs.items()
    ]
    written = {str(path.resolve()): stamp(path) for path in (*report, out / "plan.json")}
    memo = {
        "asked": question.asked,
        "files": {**question.files, **{path: stamp(Path(path)) for path in imported}},
        "data": data,
        "jobs": {key: [job.stage, store.state(job.ref)] for key, job in plan.jobs.items()},
        "report": {str(Path(path).relative_to(out)): seen for path, seen in written.items()},
        "cells": len(plan.cells),
        "leaderboard": leaderboard,
    }
    write_json(out / _NAME, memo)


def recall(out: Path, asked: Mapping[str, Any], cache: Path) -> Finished | None:
    """Return the finished run that was asked for; None where anything may have changed.

    Args:
        out: the output folder.
        asked: the command's arguments, as JSON-able values.
        cache: where data sets are built.
    """
    memo = read_json(out / _NAME)
    if memo is None or memo["asked"] != _asked(asked) or holder_of(out) is not None:
        return None
    store = Store(out / "store")
    try:
        same = (
            all(stamp(out / name) == seen for name, seen in memo["report"].items())
            and all(stamp(Path(name)) == seen for name, seen in memo["files"].items())
            and all(
                store.state(JobRef(stage, key)) == seen
                for key, (stage, seen) in memo["jobs"].items()
            )
            and all(_fingerprint(one, cache) == one["fingerprint"] for one in memo["data"])
        )
    except (OSError, UserError):  # the long way tells what is wrong
        return None
    return Finished(memo["cells"], len(memo["jobs"]), memo["leaderboard"]) if same else None


def _asked(asked: Mapping[str, Any]) -> str:
    """Return the digest of all that decides a plan beside files and data sets."""
    surroundings = [os.environ.get("TORCH_HOME"), str(Path.cwd()), program_digest()]
    return digest([dict(asked), surroundings])


def _fingerprint(known: Mapping[str, Any], cache: Path) -> str:
    """Return the present fingerprint of a data set."""
    cls = getattr(importlib.import_module(known["module"]), known["class"])
    spec = TypeAdapter(cls).validate_python(known["params"])
    return str(spec.load(cache).fingerprint)
