"""What attacks are called: ids where titles are shared, settings where rows differ in them."""

from __future__ import annotations

from typing import Any

import pytest

from hashattack.attacks.base import Batch, Crafting
from hashattack.attacks.gradient import ProjectedGradient
from hashattack.benchmark.plan.plan import make_plan
from hashattack.benchmark.registry import registry
from hashattack.reports.grids import measured
from hashattack.reports.leaderboard import Board, leaderboards
from hashattack.reports.names import Names
from hashattack.reports.published import tables
from hashattack.reports.tables import leaderboards_markdown
from tests.conftest import small_suite
from tests.fake_runs import Sure, frame, row


def names(rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    found = Names(frame(rows))
    called = [found.of(one) for one in rows]
    return [(name.title, name.settings, name.label) for name in called]


def boards_of(rows: list[dict[str, Any]]) -> list[Board]:
    results = frame(rows)
    return leaderboards(results, Names(results), Sure())


def test_two_ids_with_one_title_are_shown_with_their_ids() -> None:
    rows = [row(name, "A-12", 0.5, title="MI-FGSM") for name in ("mine", "theirs")]
    rows.append(row("dhta", "A-12", 0.5, title="DHTA"))
    assert [title for title, *_ in names(rows)] == ["MI-FGSM [mine]", "MI-FGSM [theirs]", "DHTA"]
    board = leaderboards_markdown(boards_of(rows))
    assert "MI-FGSM [mine]" in board
    assert "MI-FGSM [theirs]" in board


def test_what_one_row_sets_is_shown_of_all_that_have_it() -> None:
    few = {"variant": "steps=10, rule=l2", "overrides": "steps=10, rule=l2"}
    rows = [
        row("dhta", "A-12", 0.5, params='{"epsilon":0.03,"rule":"l2","steps":10}', **few),
        row("medoid", "A-12", 0.6, params='{"n_t":9,"rule":"raw","steps":2000}'),
        row("anchor-code", "A-12", 0.6, params='{"n_t":9}'),
    ]
    settings = [settings for _, settings, _ in names(rows)]
    assert settings == ["steps=10, rule=l2", "steps=2000, rule=raw", ""]


def test_what_a_suite_sets_for_some_is_shown_and_for_all_is_said_once() -> None:
    rows = [
        row("dhta", "A-12", 0.5, overrides="steps=10, width=4", params='{"steps":10,"width":4}'),
        row("mine", "A-12", 0.5, overrides="width=4", params='{"steps":2000,"width":4}'),
    ]
    assert [settings for _, settings, _ in names(rows)] == ["steps=10", "steps=2000"]
    (board,) = boards_of(rows)
    assert board.shared == "width=4"
    alone = frame(rows[:1])
    assert Names(alone).of(rows[0]).settings == ""
    assert Names(alone).common(rows[:1]) == "steps=10, width=4"


def test_figures_show_settings_where_an_attack_has_several() -> None:
    rows = [
        row("dhta", "A-12", 0.5, title="DHTA", params='{"steps":2000}'),
        row("dhta", "A-12", 0.5, title="DHTA", params='{"steps":5}', variant="steps=5"),
        row("p2p", "A-12", 0.5, title="P2P", params='{"steps":2000}'),
    ]
    labels = [label for *_, label in names(rows)]
    assert labels == ["DHTA (steps=2000)", "DHTA (steps=5)", "P2P"]


class Guess(Crafting):
    """A crafting that does not say what it costs."""

    def perturb(self, batch: Batch, hasher: Any, epsilon: float | None) -> Any: ...


def test_an_attack_declares_its_passes(cache: Any) -> None:
    plan = make_plan(small_suite(attacks=["original", "dhta", "dhta-fgsm", "anchor-code"]), cache)
    crafts = [cell.jobs["craft"].task.attack for cell in plan.cells]
    found = {attack.id: attack.passes for attack in crafts}
    assert found == {"original": None, "dhta": 4000, "dhta-fgsm": 2, "anchor-code": None}
    assert type(Guess().passes) is int
    assert Guess.passes is Crafting.passes
    assert ProjectedGradient.passes is not Crafting.passes


@pytest.mark.parametrize("steps", [10, 2000])
def test_the_leaderboard_shows_the_passes(steps: int) -> None:
    rows = [row("a", "A-12", 0.5, passes_per_image=2 * steps), row("b", "A-12", 0.4)]
    text = leaderboards_markdown(boards_of(rows))
    assert f"{2 * steps:,}" in text
    assert registry().attacks


def test_the_papers_tables_keep_a_plug_in_with_a_papers_title_apart() -> None:
    target = "DPSH-VGG11-32"
    values = {"t_map_stable": 0.5, "params": "{}"}
    rows = [
        row("dhta", target, 0.5, title="DHTA", **values),
        row("mine", target, 0.9, title="DHTA", **{**values, "t_map_stable": 0.9}),
    ]
    paper, _ = tables()["table1"]
    found = measured(frame(rows), paper, Names(frame(rows)))
    values_of = found[found["metric"] == "t-MAP"].set_index("attack")["value"]
    assert values_of.to_dict() == {"DHTA": 50.0, "DHTA [mine]": 90.0}
