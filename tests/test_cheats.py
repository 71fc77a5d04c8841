"""Attacks that cheat: each is a row with its reason, and no other row is any different for it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from joblib.externals.loky.cloudpickle_wrapper import dumps

from hashattack.attacks.base import Attack, AttackError
from hashattack.attacks.gradient import ProjectedGradient
from hashattack.attacks.target_codes import AnchorCode
from hashattack.benchmark.audit import InvalidAttackError, check_seconds
from hashattack.benchmark.columns import DTYPES
from hashattack.benchmark.engines.base import cpu_slots
from hashattack.benchmark.engines.local import LocalEngine
from hashattack.benchmark.plan.plan import make_plan
from hashattack.benchmark.plugins import _loaded, load_plugins
from hashattack.benchmark.results.frame import load_results
from hashattack.benchmark.store.keys import is_own
from hashattack.benchmark.terminal import text_of
from hashattack.datasets.base import DatasetError, RetrievalData
from hashattack.reports.galleries import _stem
from hashattack.reports.report import write_report
from hashattack.reports.results import export_results
from hashattack.targets.hasher import Hasher
from tests.cheats import write_cheats, write_many
from tests.conftest import run_inline, run_process, small_suite
from tests.processes import alive, wait_until

HONEST: list[Any] = [
    "original",
    "dhta-fgsm",
    {"attack": "dhta", "params": {"steps": 2, "rule": "l2"}},
]
NUMBERS = ["attack", "t_map", "t_map_8bit", "map", "linf", "l2", "perceptibility", "chance"]


@pytest.fixture(scope="module")
def cheats(tmp_path_factory: pytest.TempPathFactory, digits: RetrievalData) -> Iterator[Path]:
    """Load the plug-in of all cheats; leave it to no other test."""
    file = write_cheats(tmp_path_factory.mktemp("cheats"), digits, queries=10)
    load_plugins([file])
    yield file
    del sys.modules[_loaded.pop(file.resolve()).__name__]


@pytest.fixture(scope="module")
def honest(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Return the rows of a run in which nobody cheats."""
    out = tmp_path_factory.mktemp("honest")
    run_inline(small_suite(attacks=HONEST), cache, out)
    return load_results(out).set_index("attack")


@pytest.fixture
def rows(
    cheats: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Give a function that runs one cheat in this process, and returns its row."""
    monkeypatch.setattr(Hasher, "forward", Hasher.forward)  # what a cheat does to it is undone

    def run(name: str) -> pd.Series[Any]:
        run_inline(small_suite(attacks=[name]), cache, tmp_path)
        (row,) = load_results(tmp_path).to_dict("records")
        return pd.Series(row)

    yield run
    sys.modules["plugin_cheats"].KEPT.clear()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("peeks", "the attack reads the queries' labels, which the threat model hides"),
        ("peeksquietly", "the attack reads the queries' labels, which the threat model hides"),
        ("movesaweight", "hasher it was shown: the values of hash_layer.weight"),
        ("movesabuffer", "hasher it was shown: the values of scale"),
        ("trains", "hasher it was shown: training of trunk is True, was False"),
        ("thaws", "requires_grad of trunk.0.weight is True, was False"),
        ("hooks", "hasher it was shown: _forward_hooks of trunk is 3, was 0"),
        ("overrides", "hasher it was shown: forward of the hasher is <class 'function'>"),
        ("notatensor", "the attack returned ndarray, expected a tensor"),
        ("claims", "all is well"),
        ("peekstomoveaway", "the attack reads the queries' labels, which the threat model hides"),
        (
            "stopsthecount",
            "the attack changed the hasher it was shown: trunk does not count passes",
        ),
        ("setsthecountback", "the attack set back the count of its passes"),
    ],
)
def test_a_cheat_is_an_invalid_row_with_its_reason(name: str, reason: str, rows: Any) -> None:
    row = rows(name)
    assert row["status"] == "invalid"
    assert reason in row["reason"]
    assert pd.isna(row["t_map"])
    assert pd.isna(row["map"])


def test_an_attack_that_declares_to_see_no_label_is_given_none(rows: Any) -> None:
    row = rows("aimsundeclared")
    assert (row["status"], row["goal"], row["sees_query_labels"]) == ("ok", "non-targeted", False)
    given = sys.modules["plugin_cheats"].KEPT["given"]
    assert len(given) == 3
    assert all(codes is None and not labels.any() for codes, labels in given)


def test_a_declaration_that_does_not_fit_the_goal_is_refused() -> None:
    rule, loop = AnchorCode(pool="train", replacement=True), ProjectedGradient(steps=2, rule="l2")
    with pytest.raises(AttackError, match="only with sees_query_labels=True"):
        Attack("a", "A", rule, loop, 0.1, goal="non-targeted")
    with pytest.raises(AttackError, match="only a non-targeted attack may see the queries' labels"):
        Attack("a", "A", rule, loop, 0.1, sees_query_labels=True)


def test_passes_that_go_around_the_hasher_are_counted_and_told(rows: Any) -> None:
    row = rows("goesaround")
    assert row["status"] == "ok"
    assert row["passes_per_image"] == 2 * 2 + 1
    assert row["notes"] == "goesaround declares 1 pass per image and takes 5"


def test_an_image_changed_after_it_was_returned_stays_what_it_was(
    rows: Any, honest: pd.DataFrame
) -> None:
    row = rows("changesitsmind")
    assert row["status"] == "ok"
    for name in NUMBERS[1:]:
        assert row[name] == honest.loc["dhta", name]


def test_the_timed_call_is_the_first_sight_of_a_query(rows: Any) -> None:
    assert rows("records")["status"] == "ok"
    warm_up, *timed = sys.modules["plugin_cheats"].KEPT["calls"]
    assert [len(batch) for batch in timed] == [4, 4, 4]
    first, second, last = map(set, timed)
    assert len(first | second | last) == 10, "the last batch is padded"
    assert first.isdisjoint(second | last)
    assert set(warm_up).isdisjoint(first | second | last), "it warms up on training images"


def test_an_attack_that_says_it_needs_no_hasher_sees_none(rows: Any) -> None:
    row = rows("usesthehasher")
    assert row["status"] == "failed"
    assert "needs_hasher is False, so the attack sees no hasher" in row["reason"]


@pytest.mark.parametrize(
    "name", ["trainswhenmadeready", "trainswhenrehearsed", "trainswithitscodes"]
)
def test_what_an_attack_does_before_the_first_query_is_counted(name: str, rows: Any) -> None:
    row = rows(name)
    assert row["status"] == "ok"
    assert row["fit_seconds"] >= 0.7, "it slept for .8 seconds"


OUTCOMES = {
    "raises-surrogates": ("failed", r"ValueError: \\ud800\\x1b\[2J =cmd\|"),
    "raises-for-the-user": ("failed", r"\\ud800\\x1b\[2J =cmd\|"),
    "raises-without-text": ("failed", "MuteError without a readable text"),
    "raises-with-odd-data": ("failed", "odd"),
    "raises-a-mute-error": ("failed", "MuteRuntimeError without a readable text"),
    "raises-an-odd-error": ("failed", "OddOSError|its worker died 3 times"),
    "raises-base": ("failed", r"Escape: \\ud800"),
    "interrupts": ("failed", "KeyboardInterrupt"),
    "exits": ("failed", "SystemExit: 0"),
    "claims-measures": ("invalid", "x"),
    "claims-objects": ("invalid", "x"),
    "claims-nan": ("failed", "x"),
    "claims-text": ("failed", "x"),
    "own-detach": ("ok", ""),
    "resizes": ("ok", ""),
    "enormous": ("invalid", r"images of shape \(1000000, 3, 999, 999\), expected \(4, 3, 32, 32\)"),
    "fewer": ("invalid", r"images of shape \(1, 3, 32, 32\), expected \(4, 3, 32, 32\)"),
    "meta": ("invalid", r"the attack returned a torch.strided tensor on meta, expected"),
    "sparse": (
        "invalid",
        r"the attack returned a torch.sparse_coo tensor on cpu, expected",
    ),
    "of-a-list": ("invalid", "the attack returned list, expected a tensor"),
    "lying-images": ("invalid", "the attack returned Lying, expected a tensor"),
    "nothing": ("invalid", "the attack returned NoneType, expected a tensor"),
    "progress-text": ("failed", "ValueError: invalid literal for int"),
    "progress-nan": ("failed", "ValueError: cannot convert float NaN"),
    "progress-unit": ("ok", ""),
    "curves-of-text": ("failed", "the curves of a fit must be lists of finite numbers by name"),
    "curves-of-nan": ("failed", "the curves of a fit must be lists of finite numbers by name"),
    "convergence-of-nan": ("failed", "the curves of a fit must be lists of finite numbers by name"),
    "no-curves": ("failed", "the curves of a fit must be lists of finite numbers by name"),
    "odd-curves": ("ok", ""),
    "no-state": ("failed", "AttributeError: 'int' object has no attribute 'items'"),
    "curves-of-a-failure": ("failed", "x"),
    "slow-state": ("ok", ""),
    "late-journal": ("ok", ""),
    "early-journal": ("ok", ""),
    "swaps-knowledge": ("ok", ""),
    "lying-codes": ("failed", r"its target codes are a Lying \(10, 12\), not a Tensor"),
    "own-double": ("failed", "its target codes contain [-3]+, not only"),
    "three": ("failed", "its target codes contain [-3]+, not only"),
    "nan-codes": ("failed", "its target codes contain nan, not only"),
    "listed-codes": ("failed", r"its target codes are a list \(10, 12\), not a Tensor"),
    "slow-codes": ("failed", "its target codes are a Sleeps"),
}


@pytest.fixture(scope="module")
def many(
    cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, pd.DataFrame]]:
    """Run many cheats beside an honest attack; return the folder and its rows."""
    folder = tmp_path_factory.mktemp("many")
    file = write_many(folder)
    load_plugins([file])
    run_inline(small_suite(attacks=[*HONEST, *OUTCOMES]), cache, folder / "out")
    yield folder / "out", load_results(folder / "out").set_index("attack")
    del sys.modules[_loaded.pop(file.resolve()).__name__]


@pytest.mark.parametrize("name", OUTCOMES)
def test_one_of_many_cheats_is_a_row_with_its_reason(
    name: str, many: tuple[Path, pd.DataFrame], honest: pd.DataFrame
) -> None:
    row, (status, reason) = many[1].loc[name], OUTCOMES[name]
    assert row["status"] == status, row["reason"]
    assert re.search(reason, str(row["reason"]))
    assert str(row["reason"]).isprintable()
    assert len(str(row["reason"])) < 1200
    for number in NUMBERS[1:-1]:
        assert pd.isna(row[number]) if status != "ok" else row[number] == honest.loc["dhta", number]


def test_no_time_is_hidden(many: tuple[Path, pd.DataFrame]) -> None:
    fits, images = many[1]["fit_seconds"], many[1]["seconds_per_image"]
    assert min(fits["slow-state"], fits["late-journal"]) >= 0.6
    assert fits["early-journal"] >= 0
    assert images["resizes"] >= 0.1 / 4


def test_many_cheats_harm_no_other_row_and_no_report(
    many: tuple[Path, pd.DataFrame], honest: pd.DataFrame
) -> None:
    out, rows = many
    for name in NUMBERS[1:]:
        assert rows.loc[honest.index, name].tolist() == honest[name].tolist()
    written = write_report([out], formats=("md", "tex", "csv"))
    for file in written.files:
        if file.suffix != ".parquet":
            text = file.read_text(encoding="utf-8")
            assert not set("\x1b\r\0") & set(text), file
            assert "\\end{document}" not in text or file.suffix != ".tex", file
            assert len(text) < 500_000
    assert "\x1b" not in text_of(written.leaderboard)
    cells = pd.read_csv(out / "results.csv", dtype=str, keep_default_na=False)
    assert cells["attack"].tolist() == rows.index.tolist()
    numbers = re.compile(r"-?\d")
    texts = [text for text in cells.to_numpy().ravel() if text[:1] in ("=", "+", "-", "@")]
    assert all(numbers.match(text) for text in texts)


def test_no_text_is_a_formula_and_no_name_a_path(tmp_path: Path) -> None:
    hostile = "=cmd|' /C calc'!A0"
    row = {**dict.fromkeys(DTYPES), "dataset": hostile, "policy": "@x", "t_map": -0.5}
    export_results(pd.DataFrame([row]).astype(DTYPES), tmp_path)
    text = (tmp_path / "results.csv").read_text(encoding="utf-8")
    assert f"'{hostile}" in text
    assert "'@x" in text
    assert "'-0.5" not in text
    assert pd.read_csv(tmp_path / "results.csv")["t_map"].tolist() == [-0.5]
    assert pd.read_parquet(tmp_path / "results.parquet")["dataset"].tolist() == [hostile]
    names = dict.fromkeys(("attack", "source", "protocol", "target_seed", "draw_seed"), "x")
    stem = _stem({**names, **row, "variant": "rule=raw/32, to=../../y"})
    assert "/" not in stem


def test_the_clock_is_the_harness_s_own(rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.perf_counter", lambda: 0.0)
    assert rows("trainswhenmadeready")["fit_seconds"] >= 0.7


@pytest.mark.parametrize("seconds", [-1e-9, float("nan"), float("inf"), -float("inf")])
def test_a_time_that_is_none_is_invalid(seconds: float) -> None:
    with pytest.raises(InvalidAttackError, match="the clock does not run while the attack does"):
        check_seconds(seconds)


def test_in_one_process_with_the_scoring_the_labels_would_be_found(rows: Any) -> None:
    """The control of the test below: the search finds what is there."""
    row = rows("searches")
    found = re.search(r"\d+ label matrices in memory, (\d+) of them the queries'", row["reason"])
    assert found is not None
    assert int(found[1]) > 0


def test_cheats_on_the_command_line_harm_nobody(
    cheats: Path, honest: pd.DataFrame, cache: Path, tmp_path: Path
) -> None:
    suite = small_suite(attacks=[*HONEST, "searches", "patches"])
    content = suite.model_dump(mode="json", exclude_defaults=True, exclude={"parts"})
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    out = ["--out", str(tmp_path / "out"), "--cache", str(cache), "--format", "csv"]
    out += ["--slots-per-device", "1"]
    done = run_process("run", "--suite", str(file), "--plugin", str(cheats), *out)
    assert done.returncode == 3, done.stdout + done.stderr
    found = load_results(tmp_path / "out").set_index("attack")
    assert found["status"].to_dict() == {
        **dict.fromkeys(honest.index, "ok"),
        "patches": "ok",
        "searches": "failed",
    }
    reason = str(found.loc["searches", "reason"])
    matrices = re.search(r"(\d+) label matrices in memory, 0 of them the queries'", reason)
    assert matrices is not None, reason
    assert int(matrices[1]) > 0, "those of the training images are there"
    for name in NUMBERS[1:]:
        assert found.loc[honest.index, name].tolist() == honest[name].tolist()


def test_scoring_holds_nothing_of_an_attack(cheats: Path, cache: Path) -> None:
    plan = make_plan(small_suite(attacks=["patches", "usesthehasher"], gallery=2), cache)
    holds: dict[str, bool] = {}
    for job in plan.jobs.values():
        found = b"plugin_cheats" in dumps(job)
        holds[job.stage] = holds.get(job.stage, False) or found
        assert (job.isolation == "harness") == (job.stage not in ("craft", "fit"))
    assert {"draw", "encode", "hash", "score", "gallery"} < holds.keys()
    assert [stage for stage, held in holds.items() if held] == ["craft"]


def test_each_job_of_foreign_code_has_a_process_of_its_own(cheats: Path, cache: Path) -> None:
    everything = [*HONEST, "noise", "p2p", "prototype-ifgsm", "prosgan", "prosgan-eps"]
    plan = make_plan(small_suite(attacks=[*everything, "patches", "hooks"]), cache)
    groups: dict[bool, list[str]] = {True: [], False: []}
    for job in plan.jobs.values():
        if job.stage in ("craft", "fit"):
            groups["patches" in job.label or "hooks" in job.label] += [job.isolation]
    assert set(groups[False]) == {"attacker"}
    assert len({*groups[True], "attacker", "harness"}) == 4


def test_code_cannot_pass_for_the_programs_own() -> None:
    assert is_own(ProjectedGradient(steps=2, rule="l2"))

    class Steps(int):
        """A number that could do anything."""

    class Posing(ProjectedGradient):
        """A class of another place than it says."""

    Posing.__module__, Posing.__qualname__ = ProjectedGradient.__module__, "ProjectedGradient"
    Posing.__name__ = "ProjectedGradient"
    assert not is_own(ProjectedGradient(steps=Steps(2), rule="l2"))
    assert not is_own(Posing(steps=2, rule="l2"))
    laden = ProjectedGradient(steps=2, rule="l2")
    object.__setattr__(laden, "perturb", print)
    assert not is_own(laden)
    assert not is_own((1, {"loop": laden}))


def test_jobs_of_different_isolation_share_no_process() -> None:
    engine = LocalEngine(cpu_slots(1))

    def process(isolation: str) -> Any:
        future = engine.submit("cpu 0", os.getpid, isolation=isolation)
        assert engine.alive("cpu 0")
        return future.result(timeout=120)

    try:
        own, harness = process("attacker"), process("harness")
        assert process("attacker") == own, "it waited"
        foreign = process("attacker a")
        assert foreign not in (own, harness)
        assert process("attacker a") == foreign, "tried again"
        other = process("attacker b")
        assert other not in (own, harness, foreign)
        assert process("harness") == harness
        wait_until(lambda: not list(alive([own, foreign, other])), "they make way", 15)
        engine.replace("cpu 0")
        assert process("harness") != harness
        assert not list(alive([harness]))
    finally:
        engine.close()


def test_a_plan_has_no_labels(cache: Path) -> None:
    plan = make_plan(small_suite(), cache)
    (data,) = plan.data.values()
    assert [len(data.train), len(data.query), len(data.database)] == [120, 24, 240]
    with pytest.raises(InvalidAttackError, match="the queries' labels"):
        _ = data.query.labels


def test_what_is_shown_has_nothing_hidden_behind_it(digits: RetrievalData) -> None:
    blind = digits.without_labels("query", "database", refusal=lambda name: DatasetError(name))
    assert (blind.train.labels == digits.train.labels).all()
    assert blind.train.labels.base is None, "a view leads to the whole"
    assert type(blind.train.labels) is np.ndarray
    with pytest.raises(DatasetError, match="database"):
        _ = blind.database.labels
