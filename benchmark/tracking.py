"""Tracking a run with Weights & Biases, TensorBoard or MLflow.

The settings of the run, the metrics of every cell when its score job ends, and at the end files of
the report. Each library is an extra of the program, imported when it is asked for.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

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


class Tracker(Protocol):
    """What a run is tracked with; made of a run's library, folder, name and settings."""

    def log(self, metrics: dict[str, float], draw: int) -> None:
        """Log metrics by name, of one draw of target labels."""

    def close(self, files: Sequence[Path]) -> None:
        """Keep files, which lie in the output folder, and end the run."""


class _Wandb:
    """A run in the project ``hashattack``; wandb's own variables say where and whether online."""

    def __init__(self, wandb: Any, out: Path, name: str, settings: dict[str, str]) -> None:
        self._out = str(out)
        self._run = wandb.init(project="hashattack", name=name, dir=self._out, config=settings)

    def log(self, metrics: dict[str, float], draw: int) -> None:
        self._run.log({**metrics, "draw": draw})

    def close(self, files: Sequence[Path]) -> None:
        for file in files:
            self._run.save(str(file), base_path=self._out, policy="now")
        self._run.finish()


class _TensorBoard:
    """Event files in ``tensorboard`` in the output folder. It shows PNG pictures only."""

    def __init__(self, _: Any, out: Path, name: str, settings: dict[str, str]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(out / "tensorboard"))
        lines = [f"- {key}: `{value}`" for key, value in {"suite": name, **settings}.items()]
        self._writer.add_text("settings", "\n".join(lines))

    def log(self, metrics: dict[str, float], draw: int) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, draw)

    def close(self, files: Sequence[Path]) -> None:
        import numpy as np
        from PIL import Image

        for file in files:
            if file.suffix == ".png":
                pixels = np.asarray(Image.open(file).convert("RGB"))
                self._writer.add_image(file.stem, pixels, dataformats="HWC")
            elif file.suffix == ".csv":
                self._writer.add_text(file.name, f"```\n{file.read_text(encoding='utf-8')}\n```")
        self._writer.close()


class _Mlflow:
    """A run in the experiment ``hashattack``; MLflow's own variables say where."""

    def __init__(self, mlflow: Any, out: Path, name: str, settings: dict[str, str]) -> None:
        self._mlflow, self._out = mlflow, out
        mlflow.set_experiment("hashattack")
        mlflow.start_run(run_name=name)
        mlflow.log_params(settings)

    def log(self, metrics: dict[str, float], draw: int) -> None:
        self._mlflow.log_metrics(metrics, step=draw)

    def close(self, files: Sequence[Path]) -> None:
        for file in files:
            place = file.parent.relative_to(self._out).as_posix()
            self._mlflow.log_artifact(str(file), None if place == "." else place)
        self._mlflow.end_run()


_TRACKERS: dict[TrackerName, Callable[[Any, Path, str, dict[str, str]], Tracker]] = {
    "wandb": _Wandb,
    "tensorboard": _TensorBoard,
    "mlflow": _Mlflow,
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
        """Begin to track the run of a manifest into an output folder.

        Raises:
            LibraryError: the library is not installed, or refuses.
        """
        self._out, self._manifest, self._files = out, manifest, list[Path]()
        rows = [cell["row"] for cell in manifest["cells"]]
        self._naming = [name for name in _SHARED if len({str(row[name]) for row in rows}) > 1]
        out.mkdir(parents=True, exist_ok=True)
        library, suite = extra(name).load(), manifest["suite"]["name"]
        try:
            self._tracker: Tracker | None = _TRACKERS[name](library, out, suite, dict(settings))
        except Exception as error:
            raise LibraryError(f"--log {name}: {error_line(error)}") from error

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
