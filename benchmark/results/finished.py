"""The memo of a finished run, so that the same command is answered without a plan. No torch.

The arguments, the program, the files that a plan is read from and the data sets decide which jobs
there are. While all of them and the output of every job are unchanged, nothing is left to do.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from hashattack import datasets
from hashattack.benchmark.store.files import Memo, stamp
from hashattack.benchmark.store.folder import holder_of
from hashattack.benchmark.store.store import JobRef, Store
from hashattack.benchmark.terminal import Part
from hashattack.datasets.base import DatasetSpec, RetrievalData
from hashattack.datasets.errors import UserError

if TYPE_CHECKING:
    from hashattack.benchmark.plan.plan import Plan

_NAME = "finished.json"
Stamps = dict[str, list[int]]  # size and time of change by path


class Rerun(StrEnum):
    """Which finished jobs a run makes again."""

    missing = "missing"
    failed = "failed"
    stale = "stale"
    all = "all"


@dataclass(frozen=True)
class Finished:
    """What is printed of a finished run."""

    cells: int
    jobs: int
    leaderboard: Sequence[Part]


_SHOWN = TypeAdapter(Finished)


def stamps(paths: Iterable[Path]) -> Stamps:
    """Return the stamps of files."""
    return {str(path.resolve()): stamp(path) for path in paths}


def forget(out: Path) -> None:
    """Remove the memo of a folder that a run is about to write to."""
    (out / _NAME).unlink(missing_ok=True)


def remember(
    out: Path,
    arguments: Mapping[str, Any],
    sources: Stamps,
    plan: Plan,
    *,
    report: Sequence[Path],
    leaderboard: Sequence[Part],
) -> None:
    """Write down that every job of a plan is done.

    Args:
        out: the output folder.
        arguments: of the command, as JSON-able values.
        sources: the files of the suite and of plug-ins, stamped before the plan was made.
        plan: what was run.
        report: the files of its report.
        leaderboard: what is printed of it.
    """
    store = Store(out / "store")
    imported = {path for job in plan.jobs.values() if (path := getattr(job.task, "path", ""))}
    data = [
        [
            spec.name,
            TypeAdapter(type(spec)).dump_python(spec, mode="json"),
            _identity(plan.data[fingerprint]),
        ]
        for fingerprint, spec in plan.specs.items()
    ]
    jobs = {key: [job.stage, store.state(job.ref)] for key, job in plan.jobs.items()}
    written = stamps([*report, out / "plan.json"])
    _memo(out, arguments).write(
        {
            "sources": {**sources, **stamps(map(Path, imported))},
            "written": {str(Path(path).relative_to(out)): seen for path, seen in written.items()},
            "data": data,
            "jobs": jobs,
            "shown": _SHOWN.dump_python(
                Finished(len(plan.cells), len(jobs), leaderboard), mode="json"
            ),
        }
    )


def recall(out: Path, arguments: Mapping[str, Any], cache: Path) -> Finished | None:
    """Return the run of these arguments if it is finished; None where anything may have changed.

    Args:
        out: the output folder.
        arguments: of the command, as JSON-able values.
        cache: where data sets are built.
    """
    if holder_of(out) is not None:
        return None
    store = Store(out / "store")
    try:
        known = _memo(out, arguments).read()
        same = known != {} and (
            all(stamp(Path(name)) == seen for name, seen in known["sources"].items())
            and all(stamp(out / name) == seen for name, seen in known["written"].items())
            and all(
                store.state(JobRef(stage, key)) == seen
                for key, (stage, seen) in known["jobs"].items()
            )
            and all(_present(name, params, cache) == seen for name, params, seen in known["data"])
        )
        return _SHOWN.validate_python(known["shown"]) if same else None
    except (OSError, UserError, ValueError, TypeError, LookupError, AttributeError):
        return None  # planning the run says what is wrong


def _memo(out: Path, arguments: Mapping[str, Any]) -> Memo:
    return Memo(out / _NAME, dict(arguments), os.environ.get("TORCH_HOME"), str(Path.cwd()))


def _identity(data: RetrievalData) -> list[str]:
    """Return what a run's results and its report depend on."""
    return [data.fingerprint, *data.class_names]


def _present(name: str, params: Mapping[str, Any], cache: Path) -> list[str]:
    """Return the present identity of a data set; empty for one of a plug-in."""
    for module in pkgutil.iter_modules(datasets.__path__, f"{datasets.__name__}."):
        importlib.import_module(module.name)
    left = [DatasetSpec]
    for cls in left:  # it grows on the way
        left += cls.__subclasses__()
        if vars(cls).get("name") == name and cls.__module__.startswith(f"{datasets.__name__}."):
            spec: DatasetSpec = TypeAdapter[Any](cls).validate_python(params)
            return _identity(spec.load(cache))
    return []
