"""The headline of a leaderboard is true of every board that results can give."""

from __future__ import annotations

from typing import Any

from hashattack.reports.headline import headline
from hashattack.reports.leaderboard import leaderboards
from hashattack.reports.names import Names
from tests.fake_runs import Sure, frame, row


def headline_of(rows: list[dict[str, Any]], p: float = 0.0) -> str:
    table = frame(rows)
    (board,) = leaderboards(table, Names(table), Sure(p))
    return headline(board)


def original(source: str = "A-12", t_map: float = 0.3) -> dict[str, Any]:
    return row("original", source, t_map, budget_class="reference")


def loud(source: str = "A-12", t_map: float = 0.9, linf: float = 190 / 255) -> dict[str, Any]:
    return row("loud", source, t_map, budget_class="unbounded", linf=linf)


def test_the_leader_of_a_budget_and_the_best_without_one() -> None:
    rows = [original(), row("weak", "A-12", 0.5), row("strong", "A-12", 0.702), loud()]
    rows.append(row("x-code", "A-12", 0.95, budget_class="code", linf=None))
    assert headline_of(rows) == (
        "At L∞ ≤ 8/255, STRONG leads: t-MAP 70.2 % against 30.0 % without attack. "
        "LOUD, which has no budget, reaches 90.0 %, visibly (L∞ 190/255)."
    )


def test_one_attack_leads_nobody() -> None:
    assert headline_of([original(), row("x", "A-12", 0.5)]) == (
        "At L∞ ≤ 8/255, X reaches a t-MAP of 50.0 % against 30.0 % without attack."
    )
    assert headline_of([row("x", "A-12", 0.5)]) == "At L∞ ≤ 8/255, X reaches a t-MAP of 50.0 %."


def test_shared_ranks_share_the_lead() -> None:
    rows = [original(), row("x", "A-12", 0.5), row("y", "A-12", 0.6)]
    assert headline_of(rows, p=1.0) == (
        "At L∞ ≤ 8/255, Y and X lead, not significantly different: "
        "t-MAP 60.0 % and 50.0 % against 30.0 % without attack."
    )
    rows += [row("z", "A-12", 0.55)]
    assert "Y, Z and X lead, not significantly different from Y: t-MAP" in headline_of(rows, 1.0)
    rows += [row("u", "A-12", 0.4), row("v", "A-12", 0.45)]
    assert "Y and 4 others lead, not significantly different from Y: t-MAP 40.0 % to 60.0 %" in (
        headline_of(rows, 1.0)
    )


def test_who_does_not_exceed_no_attack_does_not_lead() -> None:
    rows = [original(t_map=0.6), row("x", "A-12", 0.5), row("y", "A-12", 0.4)]
    assert headline_of(rows) == (
        "At L∞ ≤ 8/255, even the best, X, is no stronger than no attack: "
        "t-MAP 50.0 % against 60.0 %."
    )


def test_a_sentence_for_each_budget_by_its_size() -> None:
    rows = [original()]
    for budget in (16, 8):
        rows += [
            row(name, "A-12", t_map, budget_class=f"{budget}/255")
            for name, t_map in ((f"x{budget}", 0.5), (f"y{budget}", 0.6))
        ]
    assert headline_of(rows) == (
        "At L∞ ≤ 8/255, Y8 leads: t-MAP 60.0 % against 30.0 % without attack. "
        "At L∞ ≤ 16/255, Y16 leads: t-MAP 60.0 %."
    )
    rows += [row(f"z{n}", "A-12", 0.5, budget_class=f"{n}/255") for n in (2, 32)]
    text = headline_of(rows)
    assert text.startswith("At L∞ ≤ 2/255, Z2 reaches")
    assert text.endswith("At L∞ ≤ 32/255, Z32 reaches a t-MAP of 50.0 %.")
    assert "16/255" not in text, "the smallest and the largest are enough"


def test_a_partial_row_says_on_what() -> None:
    rows = [original(source) for source in ("A-12", "B-12")]
    rows += [loud(), row("x", "A-12", 0.99)]
    assert headline_of(rows) == (
        "At L∞ ≤ 8/255, no attack has a complete result on all 2 hashers. "
        "LOUD, which has no budget, reaches 90.0 % (on 1 of 2 hashers), visibly (L∞ 190/255)."
    )


def test_several_without_a_budget_and_small_perturbations() -> None:
    rows = [original(), loud(linf=5 / 255)]
    assert headline_of(rows) == "LOUD, which has no budget, reaches 90.0 % (L∞ 5/255)."
    rows.append(row("also", "A-12", 0.8, budget_class="unbounded", linf=20 / 255))
    text = headline_of(rows, p=1.0)
    assert text == "LOUD and ALSO, which have no budget, reach 90.0 % and 80.0 % (L∞ up to 20/255)."


def test_boards_without_a_ranking_or_an_attack() -> None:
    rows = [original(), row("x", "A-12", 0.5), row("y", "A-12", 0.6)]
    as_published = [{**one, "policy": "as-published"} for one in rows]
    assert headline_of(as_published).startswith("Each attack has target labels of its own here")
    assert headline_of([original()]) == "No attack has a result yet."
    missing = row("x", "A-12", None, status="failed", reason="broke")
    assert headline_of([original(), missing]) == "No attack has a result yet."
    bound = row("x-code", "A-12", 0.95, budget_class="code", linf=None)
    assert headline_of([original(), bound]) == "Only bounds have a result yet."
