"""The same numbers whatever the compute batch, and the same bits for the same settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hashattack.benchmark.plan.plan import Plan
from hashattack.benchmark.results.frame import load_results
from hashattack.benchmark.store.store import Arrays, Store
from tests.conftest import TIMES, run_inline, small_suite

ATTACKS = [
    "original",
    "noise",
    {"attack": "p2p", "params": {"steps": 5, "rule": "l2"}},
    {"attack": "dhta", "params": {"steps": 5, "rule": "raw/32"}},
    "dhta-fgsm",
    {"attack": "dhta-ifgsm", "params": {"steps": 5}},
    "anchor-code",
]
BATCHES = (1, 7, 64)


def outputs(plan: Plan, out: Path, stage: str) -> list[Arrays]:
    store = Store(out / "store")
    return [store.arrays(cell.jobs[stage].ref) for cell in plan.cells if stage in cell.jobs]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compute_batches_1_7_and_64_agree(dtype: str, cache: Path, tmp_path: Path) -> None:
    runs = {}
    for batch in BATCHES:
        suite = small_suite(attacks=ATTACKS, queries=16, compute={"batch": batch, "dtype": dtype})
        out = tmp_path / str(batch)
        plan, _ = run_inline(suite, cache, out)
        runs[batch] = plan, out, load_results(out)
    plan, out, rows = runs[BATCHES[0]]
    assert (rows["status"] == "ok").all()
    for batch in BATCHES[1:]:
        other_plan, other_out, other = runs[batch]
        draws = [outputs(p, o, "craft") for p, o in ((plan, out), (other_plan, other_out))]
        noise = [arrays["images"] for arrays in (draws[0][1], draws[1][1])]
        assert (noise[0] == noise[1]).all(), "random draws are identical"
        if dtype == "float64":
            for one, two in zip(
                outputs(plan, out, "hash"), outputs(other_plan, other_out, "hash"), strict=True
            ):
                assert (one["codes"] == two["codes"]).all()
        assert np.abs(rows["t_map"] - other["t_map"]).max() <= 0.002


def test_the_same_settings_give_the_same_bits(cache: Path, tmp_path: Path) -> None:
    frames = []
    for name in ("one", "two"):
        suite = small_suite(attacks=ATTACKS)
        plan, _ = run_inline(suite, cache, tmp_path / name)
        frames.append(load_results(tmp_path / name).drop(columns=TIMES))
        images = outputs(plan, tmp_path / name, "hash")
        frames[-1].attrs["codes"] = b"".join(a["codes"].tobytes() for a in images)
    pd.testing.assert_frame_equal(frames[0], frames[1])
    assert frames[0].attrs["codes"] == frames[1].attrs["codes"]


def test_a_shorter_run_is_a_prefix_of_a_longer_one(cache: Path, tmp_path: Path) -> None:
    found = []
    for queries in (8, 16):  # two and four whole batches
        suite = small_suite(attacks=ATTACKS, queries=queries)
        out = tmp_path / str(queries)
        plan, _ = run_inline(suite, cache, out)
        found.append([arrays["codes"] for arrays in outputs(plan, out, "hash")])
    for short, long in zip(*found, strict=True):
        assert (short == long[:8]).all()
