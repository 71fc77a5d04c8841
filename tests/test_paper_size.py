"""One cell at the paper's sizes: 224 pixels, full-width networks, lists like FLICKR-25K's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from hashattack.benchmark.results.manifest import result_rows
from hashattack.benchmark.suites.suite import Suite, validate
from hashattack.datasets.image_lists import ImageList, write_pair
from tests.conftest import run_inline

CLASSES = 38


def flickr(root: Path) -> None:
    """Write a handful of photographs with released lists: three label rows, some scenery."""
    rng = np.random.default_rng(0)
    rows = np.zeros((8, CLASSES), dtype=np.uint8)
    rows[np.arange(8), np.arange(8) % 3] = 1
    rows[:, 37] = rows[:, 0]
    (root / "mirflickr").mkdir(parents=True)
    for number in range(8):
        coarse = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((340, 260), Image.Resampling.BICUBIC)
        image.save(root / f"mirflickr/im{number}.jpg")
    paths = tuple(f"mirflickr/im{number}.jpg" for number in range(8))
    whole = ImageList(paths, rows, tuple(map(str, range(CLASSES))))
    for name, rows_of in {"test": [0, 1], "database": range(2, 8), "train": range(2, 5)}.items():
        write_pair(whole.take(list(rows_of)), root, name)


def test_paper_size_shapes_go_through_every_stage(tmp_path: Path, cache: Path) -> None:
    flickr(tmp_path / "FLICKR-25K")
    few = {"prototype_steps": 2, "epochs": 1}
    suite = validate(
        Suite,
        {
            "name": "paper-size",
            "datasets": {"dataset": "FLICKR-25K", "params": {"root": str(tmp_path / "FLICKR-25K")}},
            "targets": [
                {
                    **{"method": "DPSH", "backbone": "ResNet18", "bits": 48, "weights": "none"},
                    "training": {"epochs": 1, "learning_rate": 1e-07, "batch": 3},
                }
            ],
            "attacks": ["original", "dhta", "prosgan", "anchor-code", "prototype-code"],
            "attack_params": {"dhta": {"steps": 2}, "pros*": few, "proto*": {"prototype_steps": 2}},
            "queries": 2,
            "n_t": 1,
            "gallery": 1,
            "compute": {"batch": 2, "threads": 1},
        },
        "test:",
    )
    _, outcome = run_inline(suite, cache, tmp_path / "out")
    assert set(outcome.status.values()) == {"ok"}, outcome
    rows = {row["attack"]: row for row in result_rows(tmp_path / "out")}
    prosgan = rows["prosgan"]
    params = json.loads(prosgan["params"])
    assert params["width"] == 64
    assert params["alpha"] == 100.0, "the paper's for this data set"
    assert "alpha" not in prosgan["overrides"]
    assert rows["dhta"]["linf"] <= 8 / 255 + 1e-6
