"""The headline of a leaderboard: who leads at each budget, in sentences that hold for any board."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hashattack.benchmark.names import REFERENCE
from hashattack.reports.leaderboard import Board, Group
from hashattack.reports.lines import Line, shares_draw

_NAMED = 3  # attacks, and budgets, that one sentence names


def headline(board: Board) -> str:
    """Return who leads at each budget and how far the best attack without a budget gets.

    Attacks of one budget are only named as leaders where they are ranked; a result on some of the
    hashers, or of some seeds, says so.
    """
    lines = [line for line in board.lines if line.by_victim]
    if all(line.facts["budget_class"] == REFERENCE for line in lines):
        return "No attack has a result yet."
    if not shares_draw(lines[0].facts):
        return (
            "Each attack has target labels of its own here: compare it with its published number, "
            "not with another attack."
        )
    budgets = [group for group in board.groups if group.epsilon]
    if len(budgets) > _NAMED:
        ends = budgets[0].epsilon, budgets[-1].epsilon  # the smallest and the largest
        budgets = [group for group in budgets if group.epsilon in ends]
    sentences = [_of_budget(group, board, first=not n) for n, group in enumerate(budgets)]
    sentences += [_unbounded(group) for group in board.groups if group.budget == "unbounded"]
    return " ".join(filter(None, sentences)) or "Only bounds have a result yet."


def _of_budget(group: Group, board: Board, *, first: bool) -> str:
    """Return who leads at a budget; only the first of them says what no attack reaches."""
    ranked = [line for line in group.lines if line.rank]
    if not ranked:
        where = f"on all {len(board.targets)} hashers" if len(board.targets) > 1 else "yet"
        return f"{group.where}, no attack has a complete result {where}."
    best = [line for line in ranked if line.rank and line.rank.number == 1]
    level = best[0].values.get("no_attack")
    against = "" if level is None or not first else f" against {_percent(level)} without attack"
    score = board.score
    if best[0].values.get("gain", 1.0) <= 0:
        verb = "are" if len(best) > 1 else "is"
        return (
            f"{group.where}, even the best, {_names(best)}, {verb} no stronger than no attack: "
            f"{score} {_means(best)} against {_percent(best[0].values['no_attack'])}."
        )
    if len(ranked) == 1:
        return f"{group.where}, {_names(best)} reaches a {score} of {_means(best)}{against}."
    if len(best) == 1:
        verb = "leads"
    elif len(best) == 2:
        verb = "lead, not significantly different"
    else:
        verb = f"lead, not significantly different from {best[0].name.label}"
    return f"{group.where}, {_names(best)} {verb}: {score} {_means(best)}{against}."


def _unbounded(group: Group) -> str:
    """Return how far the best attack without a budget gets, and how visibly."""
    known = [line for line in group.lines if line.by_victim]
    best = [line for line in known if line.rank and line.rank.number == 1]
    if not best and known:  # on the most hashers, then the highest
        best = [max(known, key=lambda line: (len(line.by_victim), line.strength))]
    if not best:
        return ""
    has, reach = ("which has", "reaches") if len(best) == 1 else ("which have", "reach")
    part = f" ({best[0].note})" if best[0].note else ""
    sees = "sees" if len(best) == 1 else "see"
    seeing = f" and {sees} the queries' labels" if group.budget != group.kind else ""
    largest = [line.numbers["linf"] for line in best if "linf" in line.numbers]
    if not largest:
        seen = ""
    else:
        visibly = ", visibly" if all(line.visible for line in best) else ""
        upto = "up to " if len(largest) > 1 else ""
        seen = f"{visibly} (L∞ {upto}{255 * max(largest):.0f}/255)"
    return f"{_names(best)}, {has} no budget{seeing}, {reach} {_means(best)}{part}{seen}."


def _names(lines: Sequence[Line]) -> str:
    names = [f"{line.name.label}{f' ({line.flag})' if line.flag else ''}" for line in lines]
    return _list(names if len(names) <= _NAMED else [names[0], f"{len(names) - 1} others"])


def _means(lines: Sequence[Line]) -> str:
    means = [line.numbers[line.metric.name] for line in lines]
    if len(means) > _NAMED:
        return f"{_percent(min(means))} to {_percent(max(means))}"
    return _list(map(_percent, means))


def _list(texts: Iterable[str]) -> str:
    *others, last = texts
    return f"{', '.join(others)} and {last}" if others else last


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"
