"""A transfer matrix against its diagonal: images are crafted once, so victims are nearly free."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hashattack.benchmark.perf.comparison import Comparison
from hashattack.benchmark.plan.plan import Plan, make_plan
from hashattack.benchmark.schedule.execution import RunInfo, execute
from hashattack.benchmark.store.store import Store
from hashattack.benchmark.suites.suite import Suite, validate

_ATTACKING = ("draw", "craft", "hash", "score")


def transfer(
    targets: list[dict[str, Any]], side: int, steps: int, queries: int, rounds: int, device: str
) -> Iterator[Comparison]:
    """Yield the seconds of a matrix's jobs over those of its diagonal, targets given.

    Args:
        targets: as in a suite; together they are the matrix's sources and its victims.
        side: of the embedded images.
        steps: of the sign-step attack that crafts.
        queries: perturbed for each source.
        rounds: how often the attack is repeated.
        device: as torch calls it.
    """
    suite = {
        "name": "perf",
        "datasets": [
            {
                "dataset": "digits",
                "params": {"n_train": 64, "n_query": queries, "n_database": 1000, "side": side},
            }
        ],
        "targets": targets,
        "attacks": [{"attack": "dhta-ifgsm", "params": {"steps": steps}}],
        "victims": "*",
        "seeds": rounds,
        "compute": {"batch": queries},
        "n_t": 1,
    }
    matrices, diagonals = [], []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        whole = make_plan(validate(Suite, suite, "perf"), folder)
        _run(whole, folder, device)
        names = sorted({str(cell.row["source"]) for cell in whole.cells})
        for seed in range(rounds):
            own = [f"draw_seed={seed},source={name},victim={name}" for name in names]
            matrices.append(_seconds(whole.only([f"draw_seed={seed}"]), folder))
            diagonals.append(_seconds(whole.only(own), folder))
    yield Comparison(
        name=f"transfer, {len(names)} by {len(names)}",
        ours=f"every source's images of {steps} steps hashed and scored by every victim",
        other="by their own source alone",
        unit="matrix",
        kind="overhead",
        ours_seconds=tuple(matrices),
        other_seconds=tuple(diagonals),
        wanted=1.15,
    )


def _run(plan: Plan, folder: Path, device: str) -> None:
    """Run what is not done of a plan in this process."""
    store, run = Store(folder / "store"), RunInfo("perf", folder, folder, None)
    for job in plan.jobs.values():
        if not store.is_done(job.ref):
            answer = execute(job=job, run=run, device=device)
            if answer["status"] != "ok":
                raise RuntimeError(answer["reason"])


def _seconds(plan: Plan, folder: Path) -> float:
    """Return the seconds of a plan's attacks; the targets are there either way."""
    store = Store(folder / "store")
    records = (store.record(job.ref) for job in plan.jobs.values() if job.stage in _ATTACKING)
    return sum(float(record["provenance"]["seconds"]) for record in records if record is not None)
