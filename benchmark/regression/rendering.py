"""The results of a check as a table, as JSON, and as JUnit's XML, which CI systems read."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from hashattack.benchmark.columns import COLUMNS
from hashattack.benchmark.regression.comparison import CellResult, Comparison, Pair
from hashattack.benchmark.regression.result import (
    CheckResult,
    Outcome,
    Thresholds,
    cell_outcome,
    points,
    worst,
)
from hashattack.benchmark.statistics import p_text
from hashattack.benchmark.store.files import write_bytes
from hashattack.benchmark.terminal import Table, text_of

_CELLS_SHOWN = 40  # in a table; the worst of more
_COMMON = ("dataset", "protocol", "policy")
# What XML 1.0 does not allow; a reason may quote an exception, which may hold anything.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def table(results: Sequence[CheckResult]) -> Table:
    """Return by attack a line per cell, the worst first, and one over all its cells."""
    lines = []
    titles = {COLUMNS[result.comparison.metric].title for result in results}
    for one in (result.comparison for result in results):
        ordered = sorted(one.cells, key=lambda cell: cell.difference)
        lines += [[_heading(one, titles)]] if ordered else []
        lines += [_line(one, cell) for cell in ordered[:_CELLS_SHOWN]]
        if len(ordered) > _CELLS_SHOWN:
            more = f"… {len(ordered) - _CELLS_SHOWN} more, none worse"
            lines.append([more, *[""] * 6])
        if len(ordered) > 1:
            lines.append(["all", "", "", *_ends(one), "", _times(one.slowdown)])
    header = ["hasher, seeds", "baseline", "candidate"]
    header += [
        f"{next(iter(titles))} points" if len(titles) == 1 else "points",
        "95 % (uncorrected)",
        "p (Holm)",
        "time ratio",
    ]
    return Table(header, "frrrrrr", lines)


def as_json(
    results: Sequence[CheckResult], thresholds: Thresholds, baseline: Path
) -> dict[str, Any]:
    """Return the results as plain data; fractions, NaN as null."""
    return {
        "baseline": str(baseline),
        "thresholds": dataclasses.asdict(thresholds),
        "outcome": worst(results).name.lower(),
        "exit_code": int(worst(results)),
        "attacks": [_attack(result, thresholds) for result in results],
    }


def write_junit(results: Sequence[CheckResult], thresholds: Thresholds, path: Path) -> None:
    """Write a test case for each attack, over all its cells, and one for each of its cells.

    Worse and undecided are failures, a missing result is an error.
    """
    suite = ElementTree.Element("testsuite", name="check")
    for result in results:
        one = result.comparison
        text = "\n".join([result.sentence, *result.hints, "", text_of([table([result])])])
        _case(suite, one, "all cells", result.outcome, text)
        cells = {id(cell.pair): cell for cell in one.cells}
        for pair in one.pairs:
            outcome, text = cell_outcome(pair, cells.get(id(pair)), thresholds)
            _case(suite, one, f"{_name(one, pair)}, seeds {pair.candidate.seeds}", outcome, text)
    suite.set("tests", str(len(suite)))
    for total, kind in (("failures", "failure"), ("errors", "error")):
        suite.set(total, str(len(suite.findall(f"testcase/{kind}"))))
    content: bytes = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    write_bytes(path, content)


def _case(
    suite: ElementTree.Element, one: Comparison, name: str, outcome: Outcome, text: str
) -> None:
    about = f"check.{one.metric}.{one.attack} against {one.against}"
    case = ElementTree.SubElement(suite, "testcase", classname=about, name=name)
    text = _NO_XML.sub("?", text)
    if outcome is Outcome.HELD:
        ElementTree.SubElement(case, "system-out").text = text
        return
    kind = "error" if outcome is Outcome.MISSING else "failure"
    message = text.split("\n", 1)[0]
    found = ElementTree.SubElement(case, kind, message=message, type=outcome.name.lower())
    found.text = text


def _heading(one: Comparison, titles: set[str]) -> str:
    """Return an attack's line above its cells, with its metric where there are several."""
    return one.attack if len(titles) == 1 else f"{one.attack}, {COLUMNS[one.metric].title}"


def _line(one: Comparison, cell: CellResult) -> list[str]:
    pair = cell.pair
    means = [f"{100 * value:.2f}" for value in (cell.reference, cell.candidate)]
    p = "" if math.isnan(cell.p) else p_text(cell.p)
    name = f"{_name(one, pair)}, {pair.candidate.seeds}"
    return [name, *means, *_ends(cell), p, _times(pair.slowdown)]


def _name(one: Comparison, pair: Pair) -> str:
    """Return a cell's target hasher, and what else distinguishes it from the other cells."""
    row = pair.reference.row
    differing = [
        str(row.get(name, ""))
        for name in (*_COMMON, "variant")
        if len({other.reference.row.get(name, "") for other in one.pairs}) > 1
    ]
    return ", ".join([pair.reference.name, *differing])


def _ends(one: CellResult | Comparison) -> list[str]:
    return [points(one.difference), f"[{points(one.low)}, {points(one.high)}]"]


def _times(slowdown: float | None) -> str:
    return "" if slowdown is None else f"{slowdown:.2f}"


def _attack(result: CheckResult, thresholds: Thresholds) -> dict[str, Any]:
    one = result.comparison
    return {
        "attack": one.attack,
        "against": one.against,
        "goal": one.goal,
        "metric": one.metric,
        "min_effect": thresholds.least(one.metric),
        "outcome": result.outcome.name.lower(),
        "sentence": result.sentence,
        "hints": list(result.hints),
        **_numbers(one, "difference", "low", "high"),
        "slowdown": one.slowdown,
        "passes_per_image": None if one.passes is None else list(one.passes),
        "passes_ratio": one.passes_ratio,
        "missing": [_name(one, pair) for pair in one.pairs if not pair.has_result],
        "cells": [
            {
                "target": cell.pair.reference.name,
                "seeds": cell.pair.candidate.seeds,
                **{name: cell.pair.candidate.row[name] for name in _COMMON},
                "baseline": cell.reference,
                **_numbers(cell, "candidate", "difference", "low", "high", "p"),
                "slowdown": cell.pair.slowdown,
                "settings": cell.pair.candidate.settings,
                "baseline_settings": cell.pair.reference.settings,
            }
            for cell in one.cells
        ],
    }


def _numbers(one: CellResult | Comparison, *names: str) -> dict[str, float | None]:
    values = {name: float(getattr(one, name)) for name in names}
    return {name: None if math.isnan(value) else value for name, value in values.items()}
