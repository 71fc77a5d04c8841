"""Verdicts as a table, as JSON and as JUnit's XML, which every CI system reads."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tabulate import tabulate

from hashattack.benchmark.regression.comparison import CellResult, Comparison, Pair
from hashattack.benchmark.regression.verdict import Demands, Outcome, Verdict, metric_name, points
from hashattack.benchmark.store.files import write_bytes

_MOST = 40  # cells a table shows; the worst of more
_COMMON = ("dataset", "protocol", "policy")
# What a text of XML 1.0 may hold; a reason may quote an exception, and that anything.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def table(verdicts: Sequence[Verdict]) -> str:
    """Return a line a cell, the worst first, and one for all of an attack where it has several."""
    lines = []
    metric = metric_name(verdicts[0].comparison.metric)
    for verdict in verdicts:
        one = verdict.comparison
        ordered = sorted(one.cells, key=lambda cell: cell.difference)
        lines += [_line(one, cell) for cell in ordered[:_MOST]]
        if len(ordered) > _MOST:
            lines.append([one.attack, f"… {len(ordered) - _MOST} more, none worse"])
        if len(ordered) > 1:
            lines.append([one.attack, "all", "", "", "", *_ends(one), "", _times(one.slowdown)])
    header = ["attack", "target", "seeds", "baseline", "candidate"]
    header += [f"{metric} points", "95 %", "p (Holm)", "time"]
    return tabulate(lines, header, tablefmt="simple", disable_numparse=True)


def as_json(verdicts: Sequence[Verdict], demands: Demands, baseline: Path) -> dict[str, Any]:
    """Return the verdicts as plain data; fractions, NaN as null."""
    return {
        "baseline": str(baseline),
        "demands": dataclasses.asdict(demands),
        "outcome": worst(verdicts).name.lower(),
        "exit_code": int(worst(verdicts)),
        "attacks": [_attack(verdict) for verdict in verdicts],
    }


def write_junit(verdicts: Sequence[Verdict], path: Path) -> None:
    """Write a test case an attack: a failure where it is worse or undecided, else an error."""
    bad = [verdict for verdict in verdicts if verdict.outcome is not Outcome.HELD]
    failures = [verdict for verdict in bad if verdict.outcome is not Outcome.MISSING]
    counts = {"tests": len(verdicts), "failures": len(failures), "errors": len(bad) - len(failures)}
    suite = ElementTree.Element("testsuite", {"name": "check"})
    for name, count in counts.items():
        suite.set(name, str(count))
    for verdict in verdicts:
        one = verdict.comparison
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=f"check.{one.metric}",
            name=f"{one.attack} against {one.against}",
        )
        sentence = _NO_XML.sub("?", verdict.sentence)
        told = _NO_XML.sub("?", "\n".join([verdict.sentence, *verdict.hints]))
        if verdict.outcome is Outcome.HELD:
            ElementTree.SubElement(case, "system-out").text = told
        else:
            kind = "error" if verdict.outcome is Outcome.MISSING else "failure"
            name = verdict.outcome.name.lower()
            found = ElementTree.SubElement(case, kind, message=sentence, type=name)
            found.text = f"{told}\n\n{_NO_XML.sub('?', table([verdict]))}"
    content: bytes = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    write_bytes(path, content)


def worst(verdicts: Sequence[Verdict]) -> Outcome:
    """Return the gravest outcome."""
    return max((verdict.outcome for verdict in verdicts), key=lambda one: one.gravity)


def _line(one: Comparison, cell: CellResult) -> list[str]:
    pair = cell.pair
    figures = [f"{100 * value:.2f}" for value in (cell.reference, cell.candidate)]
    p = "" if math.isnan(cell.p) else f"{cell.p:.2g}"
    named = [one.attack, _spot(one, pair), pair.candidate.seeds]
    return [*named, *figures, *_ends(cell), p, _times(pair.slowdown)]


def _spot(one: Comparison, pair: Pair) -> str:
    """Return what a person calls a cell: its target, and whatever else tells it from others."""
    differing = [
        name
        for name in (*_COMMON, "variant")
        if len({other.reference.row[name] for other in one.pairs}) > 1
    ]
    return ", ".join([pair.reference.name, *(str(pair.reference.row[name]) for name in differing)])


def _ends(one: CellResult | Comparison) -> list[str]:
    return [points(one.difference), f"[{points(one.low)}, {points(one.high)}]"]


def _times(slowdown: float | None) -> str:
    return "" if slowdown is None else f"{slowdown:.2f} times"


def _attack(verdict: Verdict) -> dict[str, Any]:
    one = verdict.comparison
    return {
        "attack": one.attack,
        "against": one.against,
        "metric": one.metric,
        "outcome": verdict.outcome.name.lower(),
        "sentence": verdict.sentence,
        "hints": list(verdict.hints),
        **_numbers(one),
        "slowdown": one.slowdown,
        "missing": [_spot(one, pair) for pair in one.pairs if not pair.judged],
        "cells": [
            {
                "target": cell.pair.reference.name,
                "seeds": cell.pair.candidate.seeds,
                **{name: cell.pair.candidate.row[name] for name in _COMMON},
                "baseline": cell.reference,
                "candidate": cell.candidate,
                **_numbers(cell),
                "p": None if math.isnan(cell.p) else cell.p,
                "slowdown": cell.pair.slowdown,
                "settings": cell.pair.candidate.settings,
                "baseline_settings": cell.pair.reference.settings,
            }
            for cell in one.cells
        ],
    }


def _numbers(one: CellResult | Comparison) -> dict[str, float | None]:
    values = {"difference": one.difference, "low": one.low, "high": one.high}
    return {name: None if math.isnan(value) else value for name, value in values.items()}
