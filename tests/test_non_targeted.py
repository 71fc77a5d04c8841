"""Non-targeted attacks: which labels they see, what they are scored by, how they are ranked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hashattack.attacks.base import Attack, AttackError
from hashattack.attacks.gradient import Identity
from hashattack.attacks.mainstay_code import MainstayCode
from hashattack.attacks.protocols import PROTOCOLS
from hashattack.benchmark import api
from hashattack.benchmark.names import budget_text
from hashattack.benchmark.plan.plan import Plan, make_plan
from hashattack.benchmark.registry import registry
from hashattack.benchmark.results.frame import load_results
from hashattack.benchmark.store.store import JobRef, Store
from hashattack.datasets.errors import UserError
from hashattack.reports.headline import headline
from hashattack.reports.leaderboard import leaderboards
from hashattack.reports.names import Names
from hashattack.reports.report import write_report
from hashattack.reports.tables import leaderboard_table, markdown
from tests.conftest import run_inline, small_suite
from tests.fake_runs import Sure, frame, row

STEPS = {"params": {"steps": 2}}
ATTACKS = [
    *("original", {"attack": "hag", **STEPS}, {"attack": "saat-nontargeted", **STEPS}),
    *("mainstay-opposite", "mainstay-code"),
]


@pytest.fixture(scope="module")
def ran(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    out = tmp_path_factory.mktemp("non-targeted")
    plan, _ = run_inline(small_suite(attacks=ATTACKS), cache, out)
    return plan, out


def test_a_reference_is_measured_for_both_goals_and_an_attack_for_its_own(
    ran: tuple[Plan, Path],
) -> None:
    rows = load_results(ran[1])
    assert [tuple(one) for one in rows[["attack", "goal", "policy"]].to_numpy()] == [
        ("original", "targeted", "frequent"),
        ("mainstay-code", "targeted", "frequent"),
        ("original", "non-targeted", "own"),
        ("hag", "non-targeted", "own"),
        ("saat-nontargeted", "non-targeted", "own"),
        ("mainstay-opposite", "non-targeted", "own"),
    ]
    non_targeted = rows["goal"] == "non-targeted"
    assert (
        rows.loc[non_targeted, ["t_map", "t_map_8bit", "chance", "precision_at_10"]]
        .isna()
        .all(axis=None)
    )
    assert rows.loc[non_targeted & ~rows["code_only"], "map_8bit"].notna().all()
    assert rows["map"].notna().all()
    classes = rows.set_index(["attack", "goal"])["budget_class"]
    assert classes["hag", "non-targeted"] == "8/255"
    assert classes["saat-nontargeted", "non-targeted"] == "8/255+labels"
    assert classes["mainstay-opposite", "non-targeted"] == "code+labels"
    # The unchanged queries have one MAP, whatever their targets are.
    assert rows.loc[rows["attack"] == "original", "map"].nunique() == 1


def test_only_who_declares_it_is_given_the_queries_labels(
    ran: tuple[Plan, Path], cache: Path
) -> None:
    plan, out = ran
    crafts = {
        job.task.attack.id: job.inputs.get("targets")
        for job in plan.jobs.values()
        if job.stage == "craft"
    }
    assert crafts["hag"] is None
    assert crafts["original"] is None
    own = crafts["saat-nontargeted"]
    assert own is not None
    assert own != crafts["mainstay-code"], "the targets of a targeted attack are others"
    stored = Store(out / "store").arrays(JobRef("draw", own.key))["targets"]
    task = plan.jobs[own.key].task
    labels = task.dataset.load(cache).query.labels[: len(stored)]
    assert (stored == labels).all()


def test_a_row_that_does_not_depend_on_target_labels_is_there_once(cache: Path) -> None:
    suite = small_suite(attacks=ATTACKS, policies=["frequent", "unique"])
    cells = [cell.row for cell in make_plan(suite, cache).cells]
    count = {one["attack"]: 0 for one in cells}
    for one in cells:
        count[one["attack"]] += 1
    assert count == {
        **{"original": 3, "mainstay-code": 2},
        **{"hag": 1, "saat-nontargeted": 1, "mainstay-opposite": 1},
    }
    alone = small_suite(attacks=["original", {"attack": "hag", **STEPS}])
    assert {cell.row["policy"] for cell in make_plan(alone, cache).cells} == {"own"}


def test_map_is_that_of_the_queries_own_labels(ran: tuple[Plan, Path], cache: Path) -> None:
    plan, out = ran
    store = Store(out / "store")
    (cell,) = (one for one in plan.cells if one.row["attack"] == "hag")
    inputs = cell.jobs["score"].inputs
    codes = store.arrays(inputs["codes"])["codes"].astype(int)
    database = store.arrays(inputs["database"])["codes"].astype(int)
    data = cell.jobs["score"].task.dataset.load(cache)
    distances = (codes.shape[1] - codes @ database.T) // 2
    relevant = data.query.labels[: len(codes)].astype(int) @ data.database.labels.T > 0
    scores = store.arrays(cell.jobs["score"].ref)
    for query, (distance, hit) in enumerate(zip(distances, relevant, strict=True)):
        ranks = np.flatnonzero(hit[np.argsort(distance, kind="stable")]) + 1
        precisions = np.arange(1, len(ranks) + 1) / ranks
        assert scores["map_stable"][query] == pytest.approx(precisions.mean(), abs=1e-12)


@pytest.mark.parametrize("name", ["hag", "saat-nontargeted", "mainstay-opposite"])
def test_crafting_without_a_suite_gives_the_bits_of_a_run(
    ran: tuple[Plan, Path], cache: Path, name: str
) -> None:
    run = api.load_run(ran[1], cache=cache)
    data, hasher = run.dataset(), run.hasher("DPSH-Tiny-12")
    own = np.asarray(data.query.labels[:10])
    made = api.craft(
        name,
        hasher,
        data.query.images.read(np.arange(10)),
        None if name == "hag" else own,
        train=data.train,
        database=data.database,
        params={} if name.endswith("opposite") else STEPS["params"],
        batch=4,
    )
    where = {"attack": name, "goal": "non-targeted"}
    np.testing.assert_array_equal(made.codes, run.codes(**where))
    np.testing.assert_array_equal(run.target_labels(**where), own)
    if name != "hag":
        with pytest.raises(UserError, match="needs the queries' own label rows"):
            api.craft(name, hasher, data.query.images.read(np.arange(10)), train=data.train)


def test_a_report_shows_both_goals(ran: tuple[Plan, Path]) -> None:
    report = write_report([ran[1]])
    page = (report.folder / "index.html").read_text(encoding="utf-8")
    assert "Leaderboard of non-targeted attacks: digits" in page
    assert "MAP is for the queries&#39; own labels" in page
    text = (report.folder / "leaderboard.tex").read_text(encoding="utf-8")
    assert "MAP in percent, mean over the target hashers" in text
    figures = {path.name for path in (report.folder / "figures").glob("*.svg")}
    assert {"forest.svg", "forest-2.svg", "map_against_perceptibility.svg"} <= figures
    assert "precision_recall_map.svg" in figures


def non_targeted(attack: str, value: float, **changes: Any) -> dict[str, Any]:
    more = {"goal": "non-targeted", "policy": "own", "map": value, "chance": None}
    return row(attack, "A-12", None, **{**more, **changes})


def test_the_lower_map_leads_and_who_sees_labels_is_ranked_apart() -> None:
    seeing = {"sees_query_labels": True, "budget_class": "8/255+labels"}
    rows = [
        non_targeted("original", 0.6),
        non_targeted("weak", 0.4),
        non_targeted("strong", 0.3),
        non_targeted("informed", 0.1, **seeing),
        non_targeted(
            "floor", 0.05, role="bound", code_only=True, budget_class="code+labels", linf=None
        ),
    ]
    table = frame(rows)
    (board,) = leaderboards(table, Names(table), Sure())
    titles = [(group.title, [line.name.title for line in group.lines]) for group in board.groups]
    assert titles == [
        ("no attack", ["Chance", "ORIGINAL"]),
        ("L∞ ≤ 8/255", ["STRONG", "WEAK"]),
        ("L∞ ≤ 8/255, sees the queries' labels", ["INFORMED"]),
        ("codes only (a bound), sees the queries' labels", ["FLOOR"]),
    ]
    ranks = {line.name.title: str(line.rank) for line in board.lines if line.rank}
    assert ranks == {"STRONG": "1", "WEAK": "2", "INFORMED": "1", "FLOOR": "1"}
    gains = {line.name.title: line.values.get("gain") for line in board.lines}
    assert gains["STRONG"] == pytest.approx(0.3), "what it takes from MAP"
    shares = {line.name.title: line.values.get("share") for line in board.lines}
    assert shares["INFORMED"] == pytest.approx(0.5 / 0.55)
    assert headline(board) == (
        "At L∞ ≤ 8/255, STRONG leads: MAP 30.0 % against 60.0 % without attack. "
        "At L∞ ≤ 8/255, of attacks that see the queries' labels, INFORMED reaches a MAP of 10.0 %."
    )
    text = markdown(leaderboard_table(board))
    assert "**30.00**" in text, "the best of its budget is the lowest"
    assert (
        "MAP in percent on each target hasher and its mean, expected over random tie order, "
        in (text)
    )
    assert "lower is stronger" in text


def test_the_goals_of_one_run_are_boards_of_their_own() -> None:
    rows = [row("original", "A-12", 0.3), row("x", "A-12", 0.5)]
    rows += [non_targeted("original", 0.6), non_targeted("y", 0.4)]
    table = frame(rows)
    boards = leaderboards(table, Names(table), Sure())
    assert [(board.score, board.metric.sign) for board in boards] == [("t-MAP", 1), ("MAP", -1)]


def test_a_goal_must_fit_the_labels() -> None:
    made = registry().attacks["saat-nontargeted"].build(PROTOCOLS["released"])
    with pytest.raises(AttackError, match="only with sees_query_labels=True"):
        replace(made, sees_query_labels=False)
    with pytest.raises(AttackError, match="only a non-targeted attack may see"):
        replace(made, goal="targeted")
    with pytest.raises(AttackError, match="goal cannot be none"):
        Attack("x", "X", MainstayCode(), Identity(), None, goal="none")
    with pytest.raises(AttackError, match="goal must be one of"):
        replace(made, goal="both")  # type: ignore[arg-type]


def test_budget_classes_in_words() -> None:
    assert budget_text("8/255+labels") == "L∞ ≤ 8/255, sees the queries' labels"
    assert budget_text("unbounded+labels") == "no budget, sees the queries' labels"
