"""The Python API: its numbers are those of the results and the store, its images those of a run."""

from __future__ import annotations

import doctest
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from hashattack.attacks.base import Attack, Batch, Crafting, Pool, attack
from hashattack.attacks.protocols import Protocol
from hashattack.benchmark import api, metrics
from hashattack.benchmark import search as search_module
from hashattack.benchmark.audit import InvalidAttackError
from hashattack.benchmark.external.trials import Origin
from hashattack.benchmark.results import frame
from hashattack.benchmark.results.manifest import NoRunError, read_manifest
from hashattack.benchmark.results.run import SelectionError
from hashattack.targets.backbones import TargetError
from hashattack.targets.hasher import Hasher
from tests.conftest import SmokeRun, run_inline, small_suite

HASHER = "DPSH-Tiny-32"
MEANS = ["t_map", "t_map_stable", "t_map_8bit", "map", "precision_at_10", "perceptibility", "l2"]


@pytest.fixture(scope="module")
def run(smoke: SmokeRun, cache: Path) -> api.Run:
    return api.load_run(smoke.out, cache=cache)


@pytest.fixture(scope="module")
def hasher(run: api.Run) -> Hasher:
    return run.hasher(HASHER)


def row(run: api.Run, **columns: Any) -> dict[str, Any]:
    (found,) = run.results[(run.results[list(columns)] == pd.Series(columns)).all(axis=1)].to_dict(
        "records"
    )
    return {str(name): value for name, value in found.items()}


def test_importing_it_does_not_import_torch() -> None:
    code = "import sys, hashattack.benchmark.api; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("module", [api, frame, search_module, metrics.average_precision])
def test_its_examples_run(
    module: ModuleType,
    smoke: SmokeRun,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "smoke").symlink_to(smoke.out)
    (tmp_path / "hashattack").symlink_to(cache)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    done = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.attempted
    assert not done.failed


@pytest.mark.parametrize("name", ["dhta", "noise", "anchor-code"])
def test_means_of_scores_are_the_results(run: api.Run, name: str) -> None:
    scores = run.scores(attack=name, source=HASHER)
    wanted = row(run, attack=name, source=HASHER)
    assert list(scores["query"]) == list(range(wanted["n_queries"]))
    for column in MEANS:
        if name == "anchor-code" and column not in scores:
            assert pd.isna(wanted[column])
            continue
        assert scores[column].mean() == pytest.approx(wanted[column], abs=1e-12)


def test_the_scores_of_a_query_follow_from_codes_and_labels(run: api.Run) -> None:
    where = {"attack": "dhta", "source": HASHER}
    scores, data, targets = run.scores(**where), run.dataset(), run.target_labels(**where)
    codes = run.codes(**where), run.codes("database", **where)
    ap = metrics.average_precisions(*codes, targets, data.database.labels)
    np.testing.assert_array_equal(scores["t_map"], ap)
    t_map = api.mean_average_precision(*codes, targets, data.database.labels)
    assert t_map == pytest.approx(row(run, **where)["t_map"], abs=1e-12)
    assert scores["target"][0].split() == [str(label) for label in np.flatnonzero(targets[0])]
    change = run.images(**where) - data.query.images.read(np.arange(32)) / np.float32(255)
    np.testing.assert_allclose(scores["linf"], np.abs(change).max(axis=(1, 2, 3)), atol=1e-6)


def test_a_hasher_gives_the_codes_that_the_run_stored(run: api.Run, hasher: Hasher) -> None:
    data = run.dataset(dataset="digits")
    for split, stored in (
        (data.database.images, run.codes("database", victim=HASHER)),
        (data.query.images.read(np.arange(32)), run.codes("clean", victim=HASHER)),
        (run.images(attack="p2p", source=HASHER), run.codes(attack="p2p", source=HASHER)),
    ):
        np.testing.assert_array_equal(api.hash_codes(hasher, split, batch=16), stored)


def test_clean_codes_are_hashed_where_the_run_has_none(cache: Path, tmp_path: Path) -> None:
    run_inline(small_suite(), cache, tmp_path)
    run = api.load_run(tmp_path, cache=cache)
    codes = run.codes("clean")
    np.testing.assert_array_equal(codes, run.codes(attack="original"))
    assert run.hasher().name == "DPSH-Tiny-12"


@pytest.mark.parametrize(
    "name",
    ["original", "noise", "p2p", "dhta", "dhta-ifgsm", "anchor-code", "prosgan"],
)
def test_crafting_without_a_suite_gives_the_bits_of_a_run(
    run: api.Run, hasher: Hasher, name: str
) -> None:
    where = {"attack": name, "source": HASHER}
    data = run.dataset()
    before = {key: value.clone() for key, value in hasher.state_dict().items()}
    made = api.craft(
        name,
        hasher,
        data.query.images.read(np.arange(32)),
        run.target_labels(**where),
        train=data.train,
        database=data.database,
        params=json.loads(row(run, **where)["params"]),
        batch=16,
    )
    np.testing.assert_array_equal(made.codes, run.codes(**where))
    assert all(torch.equal(value, before[key]) for key, value in hasher.state_dict().items())
    if name.endswith("-code"):
        assert made.images is None
        assert made.target_codes is made.codes
        return
    np.testing.assert_array_equal(made.images, run.images(**where))
    for column in ("perceptibility", "l2", "linf"):
        np.testing.assert_array_equal(getattr(made, column), run.scores(**where)[column])


def test_floats_tensors_and_pools_are_as_good(run: api.Run, hasher: Hasher) -> None:
    data, targets = run.dataset(), run.target_labels()[:3]
    pixels = data.query.images.read(np.arange(3))
    codes = torch.from_numpy(run.codes("database", victim=HASHER))
    pool = Pool(np.array(data.database.labels), codes)
    made = api.craft(
        *("dhta", hasher, pixels, targets),
        database=data.database,
        params={"steps": 2},
        epsilon=4 / 255,
    )
    other = api.craft(
        "dhta",
        hasher,
        torch.from_numpy(pixels).float() / 255,
        torch.from_numpy(targets),
        database=pool,
        params={"steps": 2, "epsilon": 4 / 255},
    )
    assert made.linf is not None
    np.testing.assert_array_equal(made.images, other.images)
    assert 0 < made.linf.max() <= 4 / 255 + 1e-6


class Grey(Crafting):
    """Moves nothing but to grey; overdoes its budget."""

    needs_code = False

    def perturb(self, batch: Batch, hasher: Hasher, epsilon: float | None) -> torch.Tensor:
        return torch.full_like(batch.images, 0.5)


@attack
def grey(_: Protocol) -> Attack:
    """Grey images."""
    return Attack("grey", "Grey", None, Grey(), None)


def test_an_attack_of_ones_own_needs_no_registration(hasher: Hasher) -> None:
    images, targets = np.zeros((2, 3, 32, 32)), np.eye(2, 10)
    for one in (grey, Attack("grey", "Grey", None, Grey(), None)):
        made = api.craft(one, hasher, images, targets)
        np.testing.assert_array_equal(made.images, 0.5)
        assert made.target_codes is None
    with pytest.raises(InvalidAttackError, match="exceeds the declared budget"):
        api.craft(Attack("grey", "Grey", None, Grey(), 8 / 255), hasher, images, targets)


IMAGES, TARGETS = np.zeros((2, 3, 32, 32), np.uint8), np.eye(2, 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attack": "dhtq"}, "unknown attack 'dhtq'; did you mean 'dhta'?"),
        ({"attack": 3}, "expected an id, an Attack or a function with @attack, got a int"),
        ({"hasher": torch.nn.ReLU()}, "expected a Hasher, got a ReLU"),
        ({"images": IMAGES.transpose(0, 2, 3, 1)}, "move the channels first"),
        ({"images": IMAGES + 0.5 + 254}, "divide by 255, or give uint8"),
        ({"images": IMAGES.astype(int)}, "expected uint8 or floats in [0, 1], got int64"),
        ({"images": IMAGES[:0], "labels": TARGETS[:0]}, "images: there are none"),
        (
            {"labels": TARGETS[:1]},
            "labels: expected 2 label rows [2, C], got (1, 10)",
        ),
        ({"labels": TARGETS * 2}, "expected rows of 0 and 1"),
        ({"protocol": "papers"}, "did you mean 'paper'?"),
        ({"params": {"step": 2}}, "params.step: dhta has no such hyper-parameter; did you mean"),
        ({"params": {"steps": "many"}}, "params.steps: "),
        ({"epsilon": 8}, "epsilon must be"),
        ({}, "give database=(images, labels)"),
        ({"protocol": "paper"}, "give train=(images, labels)"),
        ({"database": IMAGES}, "database: expected (images, labels), a Split or a Pool"),
        ({"database": (IMAGES, TARGETS[:1])}, "database labels: expected 2 label rows"),
    ],
)
def test_bad_inputs_are_named(hasher: Hasher, arguments: dict[str, Any], message: str) -> None:
    given = {"attack": "dhta", "hasher": hasher, "images": IMAGES, "labels": TARGETS}
    with pytest.raises(api.UserError) as raised:
        api.craft(**{**given, **arguments})
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"atack": "dhta"}, "results have no column 'atack'; did you mean 'attack'?"),
        ({"attack": "dhtq"}, "no cell has attack='dhtq'; did you mean 'dhta'?"),
        (
            {"attack": "dhta"},
            "2 cells of several scores; select one by its columns:\n  source='DPSH-",
        ),
        ({"attack": "dhta", "source_bits": 13}, "source_bits=13; there is 12, 32"),
        ({}, "and 10 more"),
    ],
)
def test_a_selection_says_what_it_lacks(
    run: api.Run, columns: dict[str, Any], message: str
) -> None:
    with pytest.raises(SelectionError) as raised:
        run.scores(**columns)
    assert message in str(raised.value)


def test_what_a_run_lacks_is_a_sentence(run: api.Run, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(SelectionError, match="only names codes and crafts no image"):
        run.images(attack="anchor-code", source=HASHER)
    with pytest.raises(SelectionError, match="did you mean 'DPSH-Tiny-32'"):
        run.hasher("DPSH-Tiny32")
    with pytest.raises(SelectionError, match="several hashers"):
        run.hasher()
    with pytest.raises(SelectionError, match="not 'dirty'"):
        run.codes("dirty")  # type: ignore[arg-type]
    with pytest.raises(NoRunError, match="holds no run"):
        api.load_run(tmp_path)
    run_inline(small_suite(n_t=500), cache, tmp_path)
    broken = api.load_run(tmp_path, cache=cache)
    with pytest.raises(SelectionError, match="has no scores: failed, draw frequent"):
        broken.scores(attack="dhta")
    assert broken.hasher().bits == 12


def test_scores_that_the_results_lack_are_not_shown(smoke: SmokeRun, tmp_path: Path) -> None:
    shutil.copytree(smoke.out, tmp_path / "out")
    manifest, where = read_manifest(tmp_path / "out"), {"attack": "dhta", "source": HASHER}
    for cell in manifest["cells"]:
        if where.items() <= cell["row"].items():
            (tmp_path / "out" / "store" / "hash" / cell["jobs"]["hash"] / "done.json").unlink()
    stale = api.load_run(tmp_path / "out")
    assert stale.images(**where).shape == (32, 3, 32, 32)
    with pytest.raises(SelectionError, match="has no scores: missing, not run yet"):
        stale.scores(**where)


def test_a_target_is_a_hasher_of_a_run_or_a_file(
    run: api.Run, hasher: Hasher, smoke: SmokeRun, origin: Origin
) -> None:
    trial = origin.trials[0]
    file = origin.store.tensors(trial.hasher(HASHER).ref)
    found = api.load_target(file, backbone="Tiny", side=32)
    by_name = api.load_target(f"{smoke.out}:{HASHER}")
    for name, tensor in hasher.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor)
        assert torch.equal(by_name.state_dict()[name], tensor)
    with pytest.raises(TargetError, match="give backbone= and side="):
        api.load_target(file)
    with pytest.raises(TargetError, match="no such file; write FOLDER:NAME"):
        api.load_target("DPSH-Tiny-32")


def test_a_search_is_a_stable_sort_of_distances() -> None:
    draws = np.random.default_rng(0)
    codes, database = (draws.choice([-1, 1], (n, 12)).astype(np.int8) for n in (300, 500))
    distances = (codes[:, None] != database[None]).sum(axis=2)
    wanted = np.argsort(distances, axis=1, kind="stable")
    np.testing.assert_array_equal(api.search(codes, database, 7), wanted[:, :7])
    np.testing.assert_array_equal(api.search(codes, database, 501), wanted)
    with pytest.raises(api.UserError, match=r"codes \(300, 12\) and database codes \(500, 8\)"):
        api.search(codes, database[:, :8])
