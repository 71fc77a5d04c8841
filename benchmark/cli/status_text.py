"""The status of a run as text for a terminal."""

from __future__ import annotations

from tabulate import tabulate

from hashattack.benchmark.durations import span
from hashattack.benchmark.results.status import RunningJob, Status


def status_text(status: Status) -> str:
    """Return what ``status`` prints."""
    parts = [f"{status.out}: {status.state}" + (f" ({status.told})" if status.told else "")]
    rows = [[s.stage, s.jobs, s.done, s.running, s.failed] for s in status.stages]
    rows.append(["all", *(sum(counts) for counts in list(zip(*rows, strict=True))[1:])])
    parts.append(tabulate(rows, ["stage", "jobs", "done", "running", "failed"], tablefmt="simple"))
    if status.state == "running":
        at_work = {job.slot: job for job in status.running}
        names = dict.fromkeys([*status.slots, *at_work])  # workers may have joined since
        slots = [(slot, *_doing(at_work.get(slot))) for slot in names]
        parts.append(tabulate(slots, ["slot", "job", "for", "progress"], tablefmt="simple"))
    if status.seconds_left is not None:
        parts.append(f"about {span(status.seconds_left)} left")
    for failure in status.failures:
        told = [f"{failure.status}: {failure.label}: {failure.reason}"]
        told += [f"    {line}" for line in failure.last_lines]
        parts.append("\n".join(told))
    return "\n\n".join(parts)


def _doing(job: RunningJob | None) -> tuple[str, str, str]:
    if job is None:
        return "", "", ""
    told = f"{job.done}/{job.total} {job.unit}s" if job.total else ""
    return job.label, span(job.seconds), told
