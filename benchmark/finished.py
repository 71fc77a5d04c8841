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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from benchmark.lock import holder_of
from benchmark.program import program_digest
from benchmark.records import digest
from benchmark.store import JobRef, Store, read_json, stamp, write_json
from datasets.errors import UserError

if TYPE_CHECKING:
    from benchmark.plan import Plan

_NAME = "finished.json"


@dataclass(frozen=True)
class Finished:
    """A run whose cells are all there."""

    cells: int
    jobs: int
    leaderboard: str


def remember(
    out: Path,
    asked: Mapping[str, Any],
    plan: Plan,
    *,
    sources: Iterable[Path],
    report: Sequence[Path],
    leaderboard: str,
) -> None:
    """Write down that every job of a plan is done.

    Args:
        out: the output folder.
        asked: the command's arguments, as JSON-able values.
        plan: what they asked for.
        sources: the files its suite is read from.
        report: the files that were written about it.
        leaderboard: its text.
    """
    store = Store(out / "store")
    imported = (Path(path) for job in plan.jobs.values() if (path := getattr(job.task, "path", "")))
    files = {str(path.resolve()): stamp(path) for path in {*sources, *imported}}
    data = [
        {
            "module": type(spec).__module__,
            "class": type(spec).__qualname__,
            "params": TypeAdapter(type(spec)).dump_python(spec, mode="json"),
            "fingerprint": fingerprint,
        }
        for fingerprint, spec in plan.specs.items()
    ]
    jobs = {key: [job.task.stage, store.state(job.ref)] for key, job in plan.jobs.items()}
    memo = {
        "asked": _asked(asked),
        "files": files,
        "data": data,
        "jobs": jobs,
        "report": [str(path.relative_to(out)) for path in report],
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
            all((out / name).is_file() for name in memo["report"])
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
