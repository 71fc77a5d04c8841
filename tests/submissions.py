"""Images and codes of a finished run, submitted as another code base would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hashattack.benchmark.external.export import TrialFile
from hashattack.benchmark.external.scoring import ScoreRequest, submit
from hashattack.benchmark.external.trials import Origin
from hashattack.benchmark.plan.cells import Cell
from hashattack.benchmark.results.frame import load_results
from hashattack.benchmark.results.manifest import read_manifest, write_manifest
from hashattack.benchmark.store.store import JobRef, Store
from tests.conftest import InlineEngine, run_jobs

SOURCE = "DPSH-Tiny-32"
CODES = np.ones((32, 32), dtype=np.int8)
Arrays = npt.NDArray[Any]


def crafted(out: Path, attack: str) -> Arrays:
    """Return the images, or the codes, that an attack of a run made on the source."""
    for cell in read_manifest(out)["cells"]:
        if (cell["row"]["attack"], cell["row"]["source"]) == (attack, SOURCE):
            arrays = Store(out / "store").arrays(JobRef("craft", cell["jobs"]["craft"]))
            return next(iter(arrays.values()))
    raise AssertionError(attack)


def request(path: Path, **changes: Any) -> ScoreRequest:
    """Return a request to score images, or with ``kind="codes"`` codes without a budget."""
    values: dict[str, Any] = {
        **{"kind": "images", "path": path, "attack": "theirs", "title": "Theirs"},
        **{"source": SOURCE, "victims": []},
        "epsilon": None if changes.get("kind") == "codes" else 8 / 255,
    }
    return ScoreRequest(**{**values, **changes})


def scored(origin: Origin, trials: Path, cache: Path, to: Path, what: ScoreRequest) -> pd.DataFrame:
    """Score in this process and return the rows of the folder."""
    run_submissions(origin, to, what.cells(TrialFile.read(trials), origin), cache)
    return load_results(to)


def run_submissions(origin: Origin, to: Path, made: list[Cell], cache: Path) -> None:
    plan, manifest = submit(origin, to, made)
    write_manifest(manifest, to)
    run_jobs(plan.jobs, to, InlineEngine(), None, cache)
