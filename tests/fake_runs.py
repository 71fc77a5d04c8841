"""Results without a run: rows, and output folders with records as workers would write them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hashattack.benchmark.columns import DTYPES
from hashattack.benchmark.results.manifest import FORMAT
from hashattack.benchmark.statistics import Estimate
from hashattack.benchmark.store.keys import digest
from hashattack.benchmark.store.store import JobRef, Store
from hashattack.datasets.files import write_checked
from hashattack.datasets.seeds import generator
from hashattack.reports.uncertainty import Uncertainty

PROVENANCE = {
    **{"python": "3.11", "torch": "2", "torchvision": "0", "machine": "x86_64", "code": "c"},
    **{"device": "cpu", "torch_device": "cpu", "host": "here", "revision": None, "run": "r"},
    **{"attempt": 1, "began": 0.0, "seconds": 1.0, "notes": []},
}


ROLES = {"original": "no-attack", "prototype-code": "bound", "dhta": "standard"}


def described(attack: str, source: str, victim: str) -> dict[str, Any]:
    """Return the columns that say what an attack is, and the parts of its hashers."""
    columns: dict[str, Any] = {"attack": attack, "role": ROLES.get(attack, "")}
    reference = attack in ("original", "noise")
    columns |= {"goal": "targeted", "sees_query_labels": False}
    columns |= {"budget_class": "reference" if reference else "8/255"}
    columns |= {"code_only": attack.endswith("-code"), "learns": False}
    for side, name in (("source", source), ("victim", victim)):
        hasher, _, bits = name.rpartition("-")
        method, _, backbone = hasher.partition("-")  # DPSH-ViT-B16-12
        columns |= {side: name, f"{side}_method": method, f"{side}_backbone": backbone}
        columns |= {f"{side}_bits": int(bits)}
    return columns


def row(attack: str, source: str, t_map: float | None, **changes: Any) -> dict[str, Any]:
    """Return a row of results with made-up numbers."""
    return {
        **dict.fromkeys(DTYPES),
        **described(attack, source, str(changes.get("victim", source))),
        **{"dataset": "digits", "title": attack.upper(), "overrides": "", "variant": ""},
        **{"policy": "frequent", "protocol": "released", "params": "{}"},
        **{"target_seed": 0, "draw_seed": 0, "attack_seed": 0, "n_queries": 10},
        **{"status": "ok", "reason": "", "t_map": t_map, "map": 0.5, "chance": 0.25},
        **{"chance_map": 0.2, "linf": 0.03, "perceptibility": 0.02},
        **{"seconds_per_image": 0.01},
        **changes,
    }


def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as a report reads them."""
    return pd.DataFrame(rows, columns=list(DTYPES)).astype(DTYPES)


class Sure(Uncertainty):
    """Says that every difference is significant, or with another p-value that none is."""

    def __init__(self, p: float = 0.0) -> None:
        self.interval = lambda _: (0.123, 0.987)  # type: ignore[assignment]
        self.difference = lambda *_: Estimate(0.1, 0.05, 0.15, p)  # type: ignore[assignment]


def cell(attack: str, source: str, mean: float | None, **changes: Any) -> dict[str, Any]:
    """Return a cell's row; its queries' APs are drawn about ``mean``.

    What a job ``measured`` beside them goes into its record.
    """
    return {
        **dict.fromkeys(DTYPES),
        **{"dataset": "digits", "dataset_fingerprint": "f" * 64},
        **{"title": attack, "params": "{}", "overrides": "", "variant": "", "policy": "frequent"},
        **described(attack, source, source),
        **{"target_seed": 0, "draw_seed": 0, "attack_seed": 0, "protocol": "released"},
        **{"n_queries": 50, "budget_class": "8/255", "epsilon": 8 / 255, "mean": mean},
        **{"measured": {}},
        **changes,
    }


def write_run(
    out: Path, cells: list[dict[str, Any]], suite: str = "fake", tables: tuple[str, ...] = ()
) -> None:
    """Write a run of these cells; one whose mean is None has not been run."""
    store = Store(out / "store")
    jobs, listed = {}, []
    for row in cells:
        mean, measured = row.pop("mean"), row.pop("measured")
        key = digest({**row, "suite": None})[:40]
        jobs[key] = {"stage": "score", "label": f"score {row['title']}", "task": {}, "inputs": {}}
        known = {name: value for name, value in row.items() if value is not None}
        for name in ("title", "attack", "variant"):
            known[name] = row[name]
        listed.append({"row": known, "jobs": {"score": key}, "skipped": None})
        if mean is not None:
            place = [row[name] for name in ("attack", "source", "victim", "overrides", "draw_seed")]
            draws = generator(0, f"fake-run/{place}")  # new columns change no value
            values = np.clip(mean + 0.2 * draws.standard_normal(row["n_queries"]), 0, 1)
            data = {
                **{"t_map": float(values.mean()), "t_map_stable": float(values.mean())},
                **{"map": 0.5, "chance": 0.25, "chance_map": 0.2, "perceptibility": 0.02},
                **{"linf": 8 / 255, "seconds_per_image": 0.01, "t_map_8bit": 0.4},
                **measured,
            }
            tops = np.array([1, 10])
            arrays = {
                "t_map": values,
                "curve_top": tops,
                "curve_precision": np.full(2, 0.5),
                "curve_recall": np.array([0.1, 1.0]),
            }
            store.finish(JobRef("score", key), arrays, data, {}, PROVENANCE)
    about = {"name": suite, "tables": list(tables)}
    content = {"format": FORMAT, "suite": about, "cells": listed, "jobs": jobs}
    write_checked(out / "plan.json", content)


@contextmanager
def unsynced() -> Iterator[None]:
    """Let files be written without waiting for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield
