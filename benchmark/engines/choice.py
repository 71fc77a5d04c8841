"""Which engine a run takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hashattack.benchmark.engines.base import Engine, EngineError
from hashattack.benchmark.engines.local import LocalEngine
from hashattack.benchmark.engines.slots import machine_slots


@dataclass(frozen=True)
class Choice:
    """What the user says about where jobs run."""

    devices: str = "auto"
    per_device: int | None = None
    scheduler_file: Path | None = None  # of a dask cluster; None for this machine

    def open(self, threads: int, out: Path) -> Engine:
        """Start the engine for jobs of so many threads.

        Raises:
            EngineError: no such device, or a cluster that cannot be used.
        """
        if self.scheduler_file is None:
            return LocalEngine(machine_slots(self.devices, self.per_device, threads))
        from hashattack.benchmark.engines.cluster import DaskEngine

        if self.per_device is not None or self.devices not in ("auto", "cpu"):
            raise EngineError(
                "on a dask cluster the workers say which devices there are: start one for each; "
                "--devices can only be auto or cpu"
            )
        return DaskEngine(self.scheduler_file, out, cpu_only=self.devices == "cpu")
