"""Jobs that another output folder has done, taken over without being done again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from hashattack.benchmark.jobs import Job
from hashattack.benchmark.pipeline import PREPARING
from hashattack.benchmark.store.store import Store


def adopt(jobs: Iterable[Job], origin: Path, out: Path) -> list[Job]:
    """Take over what another folder has of some jobs, and return the jobs it had.

    Files are linked, or copied where they cannot be; the store never changes a file in place, so
    that neither folder can harm the other. What the folder had made otherwise is replaced.

    Args:
        jobs: which, attacks' own stages left out.
        origin: the output folder that may have done them.
        out: the output folder that needs them.
    """
    theirs, ours = Store(origin / "store"), Store(out / "store")
    adopted = []
    for job in jobs:
        if job.ref.stage not in PREPARING or not theirs.is_done(job.ref):
            continue
        adopted.append(job)
        if ours.is_done(job.ref) and ours.output(job.ref) == theirs.output(job.ref):
            continue
        folder = ours.folder(job.ref)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "done.json").unlink(missing_ok=True)
        # The record last: a job without one is not done.
        for file in sorted(theirs.folder(job.ref).iterdir(), key=lambda one: one.suffix == ".json"):
            if file.is_file() and not file.name.startswith((".", "start-", "failed")):
                take(file, folder / file.name)
    return adopted


def take(file: Path, to: Path) -> None:
    """Link a file, or copy it where that cannot be; what is there is replaced."""
    to.unlink(missing_ok=True)
    try:
        os.link(file, to)
    except OSError:
        shutil.copy2(file, to)  # with its time of change, by which the store knows it
