"""Tracking a run with Weights & Biases, TensorBoard or MLflow.

The settings of the run, the metrics of every cell when its score job ends, and at the end files of
the report. Each library is an extra of the program, imported when it is asked for.
"""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from hashattack.attacks.libraries import LibraryError, extra
from hashattack.benchmark.columns import COLUMNS
from hashattack.benchmark.progress.events import Event
from hashattack.benchmark.results.manifest import Manifest, result_rows
from hashattack.datasets.texts import error_line

logger = logging.getLogger(__name__)

TrackerName = Literal["wandb", "tensorboard", "mlflow"]
_METRICS = [name for name, column in COLUMNS.items() if "leaderboard" in column.tables]
_SHARED = ("dataset", "protocol", "policy", "target_seed")  # in a name where cells differ in them
_OTHER = re.compile(r"[^\w./-]+")  # than what all trackers take in the name of a metric
_PICTURES = (".svg", ".png")


class Tracker(ABC):
    """What a run is tracked with."""

    library: ClassVar[str]

    def __init__(self, out: Path, name: str, settings: Mapping[str, str]) -> None:
        """Begin a run.

        Raises:
            LibraryError: the library is not installed, or refuses.
        """
        self.out = out
        library = extra(self.library).load()
        try:
            self.open(library, name, dict(settings))
        except Exception as error:
            raise LibraryError(f"--log {self.library}: {error_line(error)}") from error

    @abstractmethod
    def open(self, library: Any, name: str, settings: dict[str, str]) -> None:
        """Begin a run of a name, with its settings."""

    @abstractmethod
    def log(self, metrics: dict[str, float], draw: int) -> None:
        """Log metrics by name, of one draw of target labels."""

    @abstractmethod
    def close(self, files: Sequence[Path]) -> None:
        """Keep files, which lie in the output folder, and end the run."""


class WandbTracker(Tracker):
    """A run in the project ``hashattack``; wandb's own variables say where and whether online."""

    library = "wandb"

    def open(self, library: Any, name: str, settings: dict[str, str]) -> None:
        """Begin a run whose local files lie in the output folder."""
        self._run = library.init(
            project="hashattack", name=name, dir=str(self.out), config=settings
        )

    def log(self, metrics: dict[str, float], draw: int) -> None:
        """Log a step; the summary has each metric's last value."""
        self._run.log({**metrics, "draw": draw})

    def close(self, files: Sequence[Path]) -> None:
        """Add the files to the run."""
        for file in files:
            self._run.save(str(file), base_path=str(self.out), policy="now")
        self._run.finish()


class TensorBoardTracker(Tracker):
    """Event files in ``tensorboard`` in the output folder. It shows PNG pictures only."""

    library = "tensorboard"

    def open(self, library: Any, name: str, settings: dict[str, str]) -> None:  # noqa: ARG002
        """Begin event files with the settings as a text."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(self.out / "tensorboard"))
        lines = [f"- {key}: `{value}`" for key, value in {"suite": name, **settings}.items()]
        self._writer.add_text("settings", "\n".join(lines))

    def log(self, metrics: dict[str, float], draw: int) -> None:
        """Log scalars, with the draw as their step."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, draw)

    def close(self, files: Sequence[Path]) -> None:
        """Add pictures and tables."""
        import numpy as np
        from PIL import Image

        for file in files:
            if file.suffix == ".png":
                pixels = np.asarray(Image.open(file).convert("RGB"))
                self._writer.add_image(file.stem, pixels, dataformats="HWC")
            elif file.suffix == ".csv":
                self._writer.add_text(file.name, f"```\n{file.read_text(encoding='utf-8')}\n```")
        self._writer.close()


class MlflowTracker(Tracker):
    """A run in the experiment ``hashattack``; MLflow's own variables say where."""

    library = "mlflow"

    def open(self, library: Any, name: str, settings: dict[str, str]) -> None:
        """Begin a run with the settings as parameters."""
        self._mlflow = library
        library.set_experiment("hashattack")
        library.start_run(run_name=name)
        library.log_params(settings)

    def log(self, metrics: dict[str, float], draw: int) -> None:
        """Log metrics, with the draw as their step."""
        self._mlflow.log_metrics(metrics, step=draw)

    def close(self, files: Sequence[Path]) -> None:
        """Add the files as artifacts."""
        for file in files:
            place = file.parent.relative_to(self.out).as_posix()
            self._mlflow.log_artifact(str(file), None if place == "." else place)
        self._mlflow.end_run()


_TRACKERS: dict[TrackerName, type[Tracker]] = {
    "wandb": WandbTracker,
    "tensorboard": TensorBoardTracker,
    "mlflow": MlflowTracker,
}


def check_installed(name: TrackerName) -> None:
    """Check that a tracker's library can be used.

    Raises:
        LibraryError: it is not installed; the text names the extra.
    """
    if (missing := extra(name).missing) is not None:
        raise LibraryError(f"--log {name} {missing}")


class Tracking:
    """A listener that tracks a run, for a ``with`` block, whose end it tracks, too.

    Where the tracker fails, a warning says why, and the run goes on without it.
    """

    def __init__(
        self, name: TrackerName, out: Path, manifest: Manifest, settings: Mapping[str, str]
    ) -> None:
        """Begin to track the run of a manifest into an output folder."""
        self._out, self._manifest, self._files = out, manifest, list[Path]()
        rows = [cell["row"] for cell in manifest["cells"]]
        self._naming = [name for name in _SHARED if len({str(row[name]) for row in rows}) > 1]
        out.mkdir(parents=True, exist_ok=True)
        self._tracker: Tracker | None = _TRACKERS[name](out, manifest["suite"]["name"], settings)

    def __call__(self, event: Event) -> None:
        """Log the metrics of the cells whose score job has ended."""
        job = event.job
        if event.kind != "ended" or job is None or job.stage != "score":
            return
        cells = [one for one in self._manifest["cells"] if one["jobs"].get("score") == job.key]
        for row in result_rows(self._out, {**self._manifest, "cells": cells}):
            if row["status"] == "ok":
                found = {name: row[name] for name in _METRICS if row.get(name) is not None}
                place = self.place(row)
                metrics = {f"{place}/{name}": float(value) for name, value in found.items()}
                self._try(lambda to, of=metrics, draw=row["draw_seed"]: to.log(of, draw))

    def place(self, row: Mapping[str, Any]) -> str:
        """Return what metrics of a cell are called, like ``dhta/DPSH-AlexNet-32``."""
        attack = " ".join(filter(None, (row["attack"], row["variant"])))
        transfer = [] if row["source"] == row["victim"] else [row["victim"]]
        shared = [str(row[name]) for name in self._naming]
        return _OTHER.sub("-", "/".join([*shared, attack, row["source"], *transfer]))

    def keep(self, files: Sequence[Path]) -> None:
        """Take the files of the report: those that are tables or pictures."""
        pictures = [file for file in files if file.suffix in _PICTURES]
        self._files = [file for file in files if file.name == "results.csv"] + pictures

    def __enter__(self) -> Tracking:
        return self

    def __exit__(self, *_: object) -> None:
        self._try(lambda to: to.close(self._files))

    def _try(self, action: Any) -> None:
        if self._tracker is None:
            return
        try:
            action(self._tracker)
        except Exception as error:  # noqa: BLE001 - of another library, about its network or disk
            logger.warning("the run is tracked no more: %s", error_line(error))
            self._tracker = None
