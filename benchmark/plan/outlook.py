"""What a run is about to do, as a table: jobs a stage, what sharing saves, time and space."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tabulate import tabulate

from hashattack.benchmark.engines.base import Slot
from hashattack.benchmark.names import span
from hashattack.benchmark.pipeline import STAGES
from hashattack.benchmark.plan.plan import Plan
from hashattack.benchmark.schedule.simulation import Makespan, simulate
from hashattack.benchmark.stages.attacking import Craft

_PIXEL_BYTES = 3 * 4  # an adversarial image is kept exactly as it was crafted


@dataclass(frozen=True)
class Outlook:
    """A plan's stages and totals; seconds are of work to do, on one device."""

    plan: Plan
    slots: Sequence[Slot]
    seconds: Mapping[str, float]
    done: Collection[str]
    table: str

    @property
    def image_bytes(self) -> int:
        """Bytes of adversarial images, done and to do."""
        total = 0
        for job in self.plan.jobs.values():
            task = job.task
            if isinstance(task, Craft) and not task.attack.code_only:
                side = self.plan.data[task.fingerprint].side
                total += task.n_queries * side**2 * _PIXEL_BYTES
        return total

    @property
    def left(self) -> list[str]:
        """Keys of the jobs that are to do."""
        return [key for key in self.plan.jobs if key not in self.done]

    @property
    def summary(self) -> str:
        """What is to do, in a sentence."""
        if not self.left:
            return "everything is done"
        seconds = sum(self.seconds[key] for key in self.left)
        return (
            f"{len(self.left)} jobs to do: {seconds / 3600:.2g} device-hours, about "
            f"{span(seconds / len(self.slots))} on this machine ({len(self.slots)} at a time)"
        )

    def simulated(self) -> str:
        """Run the schedule in virtual time and tell how good it is."""

        def run(first_in_first_out: bool) -> Makespan:
            return simulate(
                self.plan.jobs,
                self.seconds,
                self.slots,
                done=self.done,
                first_in_first_out=first_in_first_out,
            )

        ours, plain = run(False), run(True)
        return (
            f"simulated on {len(self.slots)} slots: {span(ours.seconds)}, {ours.ratio:.3f} times "
            f"the lower bound {span(ours.bound)} (first in first out: {span(plain.seconds)}, "
            f"{plain.ratio:.3f} times)"
        )


def outlook(
    plan: Plan, seconds: Mapping[str, float], done: Collection[str], slots: Sequence[Slot]
) -> Outlook:
    """Return what is done, what is to do and what cells have in common.

    The column ``shared`` counts the jobs that were to do on top if every cell stood alone.
    """
    asked = Counter(plan.jobs[key].stage for cell in _closures(plan) for key in cell)
    stages: dict[str, list[str]] = {}
    for key, job in plan.jobs.items():
        stages.setdefault(job.stage, []).append(key)
    rows = []
    for stage in sorted(stages, key=list(STAGES).index):
        keys = stages[stage]
        left = [key for key in keys if key not in done]
        work = span(sum(seconds[key] for key in left)) if left else ""
        rows.append((stage, len(keys), asked[stage] - len(keys), len(keys) - len(left), work))
    table = tabulate(rows, ["stage", "jobs", "shared", "done", "work to do"], tablefmt="simple")
    return Outlook(plan, slots, seconds, done, table)


def _closures(plan: Plan) -> list[set[str]]:
    """Return, for every cell, all jobs it stands on."""
    needs: dict[str, set[str]] = {}
    for key, job in plan.jobs.items():  # inputs first
        needs[key] = {key}.union(*(needs[ref.key] for ref in job.inputs.values()))
    return [set().union(*(needs[job.key] for job in cell.jobs.values())) for cell in plan.cells]
