"""What stages declare, and the t-MAP of a finished run computed again from its stored codes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hashattack.attacks.protocols import PROTOCOLS
from hashattack.benchmark import metrics
from hashattack.benchmark.external import ExternalError
from hashattack.benchmark.external.trials import Origin
from hashattack.benchmark.pipeline import STAGES
from hashattack.benchmark.results.frame import load_results
from hashattack.benchmark.results.manifest import read_manifest
from hashattack.benchmark.results.run import Run
from hashattack.benchmark.stages.attacking import trained
from hashattack.benchmark.store.store import JobRef, Store
from hashattack.datasets.base import RetrievalData
from hashattack.datasets.digits import Digits
from hashattack.reports.captions import score_text
from hashattack.reports.results import Runs
from tests.conftest import SmokeRun, run_inline, small_suite


def test_jobs_read_and_store_what_their_stages_declare(smoke: SmokeRun) -> None:
    store = Store(smoke.out / "store")
    inputs: dict[str, set[str]] = defaultdict(set)
    outputs: dict[str, set[str]] = defaultdict(set)
    for key, job in read_manifest(smoke.out)["jobs"].items():
        inputs[job["stage"]] |= job["inputs"].keys()
        outputs[job["stage"]] |= store.arrays(JobRef(job["stage"], key)).keys()
    others = {"weights", "import", "join"}  # of files and ensembles, of which that suite has none
    assert inputs.keys() == STAGES.keys() - others
    for name, read in inputs.items():
        assert read == set(STAGES[name].inputs), name
        if STAGES[name].outputs:
            # Of a non-targeted attack, which the smoke suite has none of.
            assert outputs[name] == set(STAGES[name].outputs) - {"map_8bit"}, name


def expected_ap(distances: np.ndarray, relevant: np.ndarray) -> float:
    """Return the mean average precision over all orders of equal distances (McSherry & Najork)."""
    total, before, found = 0.0, 0, 0
    for distance in np.unique(distances):
        tied = relevant[distances == distance]
        n, r = len(tied), int(tied.sum())
        place = np.arange(1, n + 1)
        others = (place - 1) * (r - 1) / max(n - 1, 1)  # expected relevant ones before, if one is
        total += float((r / n * (found + 1 + others) / (before + place)).sum())
        before, found = before + n, found + r
    return total / found if found else 0.0


def test_t_map_is_that_of_the_stored_codes(smoke: SmokeRun, cache: Path) -> None:
    manifest, store = read_manifest(smoke.out), Store(smoke.out / "store")
    labels = Digits(n_train=400, n_query=64, n_database=800, side=32).load(cache).database.labels
    rows = load_results(smoke.out)
    assert len(rows) == 18
    for key, stored in zip(rows["job_key"], rows["t_map"], strict=True):
        inputs = manifest["jobs"][key]["inputs"]

        def arrays(role: str, name: str, inputs: dict[str, str] = inputs) -> np.ndarray:
            stage = manifest["jobs"][inputs[role]]["stage"]
            return store.arrays(JobRef(stage, inputs[role]))[name].astype(int)

        codes, database = arrays("codes", "codes"), arrays("database", "codes")
        relevant = arrays("targets", "targets") @ labels.T.astype(int) > 0
        distances = (codes.shape[1] - codes @ database.T) // 2
        values = [expected_ap(*pair) for pair in zip(distances, relevant, strict=True)]
        assert np.mean(values) == pytest.approx(stored, abs=1e-12)


def test_a_protocol_counts_the_first_results_it_names(
    cache: Path, digits: RetrievalData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PROTOCOLS["saat"].top == 5000
    monkeypatch.setitem(PROTOCOLS, "saat", replace(PROTOCOLS["saat"], top=20))  # of 240 images
    run_inline(small_suite(protocols=["released", "saat"]), cache, tmp_path)
    run, rows = Run(tmp_path, cache), load_results(tmp_path)
    for row in rows.to_dict("records"):
        top = None if row["protocol"] == "released" else 20
        assert row["top"] == 20 if top else pd.isna(row["top"])
        where = {"attack": row["attack"], "protocol": row["protocol"]}
        codes = run.codes("adversarial", **where), run.codes("database", victim=row["victim"])
        targets, own = run.target_labels(**where), digits.query.labels[:10]
        scores = run.scores(**where)
        for name, labels in (("t_map", targets), ("map", own)):
            arrays = (*codes, labels, digits.database.labels)
            expected = metrics.average_precisions(*arrays, top=top)
            assert scores[name].to_numpy() == pytest.approx(expected)
            stable = metrics.average_precisions(*arrays, ties="stable", top=top)
            assert scores[f"{name}_stable"].to_numpy() == pytest.approx(stable)
    assert rows.groupby("protocol")["chance"].first().nunique() == 2, "chance is at k, too"
    assert {score_text(row) for row in rows.to_dict("records")} == {"t-MAP", "t-MAP@20"}


def test_rows_say_whether_what_an_attack_learnt_has_converged(smoke: SmokeRun) -> None:
    rows = load_results(smoke.out).groupby("attack").first().to_dict("index")
    assert pd.isna(rows["dhta"]["fit_loss"])
    assert pd.isna(rows["prototype-code"]["undertrained"])
    assert rows["prosgan"]["fit_epochs"] == 1
    assert 0 < rows["prosgan"]["fit_loss"] < 2
    assert rows["prosgan"]["undertrained"], "after one epoch"
    assert "[undertrained]" in smoke.printed
    quiet = {"convergence": [], "ended_early": False}
    weak = {"convergence": [1.0, 0.999], "ended_early": False}
    ended = {"convergence": [1.0, 0.3, 0.3], "ended_early": True}
    assert trained([quiet]) == {}
    assert trained([weak, quiet])["undertrained"]
    assert trained([weak, ended]) == {
        **{"fit_epochs": 2, "fit_loss": 0.3, "fit_loss_untrained": 1.0},
        **{"undertrained": True, "shortened": True},
    }


def test_rows_say_how_many_label_rows_their_targets_are_drawn_from(
    digits: RetrievalData, cache: Path, tmp_path: Path
) -> None:
    attacks = [{"attack": "dhta", "params": {"steps": 1}}, "anchor-code"]
    suite = small_suite(
        attacks=attacks, protocols=["released", "paper"], policies=["frequent", "as-published"]
    )
    run_inline(suite, cache, tmp_path)
    rows = load_results(tmp_path)
    counts = {
        split: np.unique(digits.split(split).labels, axis=0, return_counts=True)[1]
        for split in ("database", "train")
    }
    frequent, unique = int((counts["database"] > 1).sum()), len(counts["database"])
    in_train = len(counts["train"])
    assert len({frequent, unique, in_train}) == 3
    found = rows.groupby(["policy", "protocol", "attack"])["eligible_rows"].first()
    for protocol, published in (("released", unique), ("paper", in_train)):
        assert set(found["frequent"][protocol]) == {frequent}
        assert found["as-published"][protocol].to_dict() == {
            **{"dhta": frequent, "anchor-code": published}
        }
    same = rows[rows["policy"] == "frequent"].groupby("protocol")["chance"].first()
    assert same["released"] == same["paper"], "the same targets"
    assert Runs([tmp_path]).provenance()[0]["protocols"] == [
        "paper, shortened",
        "released, shortened",
    ]
    origin = Origin.of(tmp_path, cache)
    policies = [trial.setting.policy for trial in origin.trials]
    assert policies == ["frequent", "own"] * 2, "attacks from outside share no published draw"
    with pytest.raises(ExternalError, match="its policy is as-published"):
        replace(origin, trials=[]).trained(())
