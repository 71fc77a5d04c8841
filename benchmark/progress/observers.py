"""Who is told how a run goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hashattack.benchmark.jobs import Job


class Observer(Protocol):
    """What is told about a run as it goes."""

    def begin(self, total: int, left: float) -> None:
        """Say how many jobs the graph has, and about how many seconds they take."""

    def started(self, job: Job, slot: str, left: float) -> None:
        """Say that a job began; about ``left`` seconds remain."""

    def progress(self, job: Job, done: int, total: int, unit: str) -> None:
        """Say how far a running job is."""

    def ended(self, job: Job, status: str, reason: str, seconds: float, left: float) -> None:
        """Say that a job ended: cached, ok, failed, invalid or blocked; ``left`` seconds remain."""

    def again(self, job: Job, slot: str, reason: str) -> None:
        """Say that an attempt came to nothing and the job is tried again."""

    def finishing(self, jobs: Sequence[Job]) -> None:
        """Say that nothing new is started, and that these jobs go on to their end."""


class Several:
    """Tells several observers."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def begin(self, total: int, left: float) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.begin(total, left)

    def started(self, job: Job, slot: str, left: float) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.started(job, slot, left)

    def progress(self, job: Job, done: int, total: int, unit: str) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.progress(job, done, total, unit)

    def ended(self, job: Job, status: str, reason: str, seconds: float, left: float) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.ended(job, status, reason, seconds, left)

    def again(self, job: Job, slot: str, reason: str) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.again(job, slot, reason)

    def finishing(self, jobs: Sequence[Job]) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.finishing(jobs)
