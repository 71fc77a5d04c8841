"""Trials handed out and images handed back, as another code base would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from benchmark.outside.asking import Asked
from benchmark.outside.submissions import submit
from benchmark.outside.trial_file import TrialFile
from benchmark.outside.trials import Origin
from benchmark.results.manifest import read_manifest, write_manifest
from benchmark.storage.store import JobRef, Store
from reports.results import load_results
from tests.conftest import (
    InlineEngine,
    run_jobs,
)

SOURCE = "DPSH-Tiny-32"


Arrays = npt.NDArray[Any]


CODES = np.ones((32, 32), dtype=np.int8)


def crafted(out: Path, attack: str) -> Arrays:
    """Return the images, or the codes, that an attack of a run made on the source."""
    for cell in read_manifest(out)["cells"]:
        if (cell["row"]["attack"], cell["row"]["source"]) == (attack, SOURCE):
            arrays = Store(out / "store").arrays(JobRef("craft", cell["jobs"]["craft"]))
            return next(iter(arrays.values()))
    raise AssertionError(attack)


def own_row(out: Path, attack: str, victim: str = SOURCE) -> pd.Series[Any]:
    rows = load_results(out)
    return rows[(rows["attack"] == attack) & (rows["victim"] == victim)].iloc[0]


def asked(path: Path, **changes: Any) -> Asked:
    values: dict[str, Any] = {
        **{"kind": "images", "path": path, "attack": "theirs", "title": "Theirs"},
        **{"source": SOURCE, "epsilon": 8 / 255, "victims": (), "setting": None},
    }
    return Asked(**{**values, **changes})


def scored(origin: Origin, trials: Path, cache: Path, to: Path, what: Asked) -> pd.DataFrame:
    """Score in this process and return the rows of the folder."""
    whole, plan = submit(origin, to, what.submissions(TrialFile.read(trials), origin))
    write_manifest(whole, to)
    run_jobs(plan.jobs, to, InlineEngine(), None, cache)
    return load_results(to)


def write_png(images: Arrays, folder: Path) -> Path:
    folder.mkdir()
    for row, image in enumerate(np.rint(255 * images).astype(np.uint8)):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{row:05d}.png")
    return folder
