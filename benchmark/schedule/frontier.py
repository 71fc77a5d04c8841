"""Which jobs of a graph have all their inputs, and which of them is the most urgent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hashattack.benchmark.jobs import Job
from hashattack.benchmark.schedule.placement import Request


class Frontier:
    """The edge between jobs that have ended and jobs that wait.

    Attributes:
        open: jobs that have not ended, by key.
        ready: those a worker can take, the most urgent first.
    """

    def __init__(self, jobs: Mapping[str, Job], urgency: Mapping[str, float]) -> None:
        self.open = dict(jobs)
        self.ready: dict[str, Request] = {}
        self._urgency = urgency
        self._missing = {key: {ref.key for ref in job.inputs.values()} for key, job in jobs.items()}
        self._dependants: dict[str, list[str]] = {key: [] for key in jobs}
        for key, inputs in self._missing.items():
            for before in inputs:
                self._dependants[before].append(key)

    def roots(self) -> list[str]:
        """Return the jobs that read no other."""
        return [key for key, missing in self._missing.items() if not missing]

    def offer(self, requests: Iterable[Request]) -> None:
        """Make jobs ready."""
        self.ready.update((request.job.key, request) for request in requests)
        order = sorted(self.ready, key=lambda key: -self._urgency[key])
        self.ready = {key: self.ready[key] for key in order}

    def end(self, key: str) -> list[str]:
        """Note that a job ended; return those that waited for it alone."""
        del self.open[key]
        freed = []
        for dependant in self._dependants[key]:
            self._missing[dependant].discard(key)
            if not self._missing[dependant]:
                freed.append(dependant)
        return freed


def critical_path(jobs: Mapping[str, Job], seconds: Mapping[str, float]) -> dict[str, float]:
    """Return for each job the seconds of the longest chain that starts with it."""
    length = dict.fromkeys(jobs, 0.0)
    for key in reversed(list(jobs)):  # jobs come inputs first
        length[key] += seconds[key]
        for ref in jobs[key].inputs.values():
            length[ref.key] = max(length[ref.key], length[key])
    return length
