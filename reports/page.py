"""The page: one self-contained HTML file of everything in a report, for ``file://`` too."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hashattack.reports.cells import CellLine
from hashattack.reports.comparisons import Against
from hashattack.reports.leaderboard import Board
from hashattack.reports.runs import Runs

# What the cells are filtered by: the heading, and the value of a line.
FACETS: Mapping[str, Callable[[CellLine], str]] = {
    "data set": lambda line: line.dataset,
    "method": lambda line: line.method,
    "backbone": lambda line: line.backbone,
    "code length": lambda line: str(line.bits),
    "attack": lambda line: line.attack,
    "protocol": lambda line: line.protocol,
    "budget": lambda line: line.budget,
    "kind": lambda line: "white-box" if line.white_box else "transfer",
    "status": lambda line: line.status,
}
_SMALLEST_P = 0.001  # what the permutations resolve
_REFERENCED = re.compile(r"(?:url\(#|href=\"#)([^)\"]+)")
_IDENTITY = re.compile(r" id=\"([^\"]+)\"")


@dataclass(frozen=True)
class Picture:
    """A figure or a gallery: what a person calls it, and its file."""

    title: str
    file: Path

    @property
    def markup(self) -> Markup:
        """The picture itself, in the page."""
        if self.file.suffix == ".svg":
            return Markup(_inline(self.file))
        data = base64.b64encode(self.file.read_bytes()).decode()
        tag = '<img loading="lazy" alt="{}" src="data:image/png;base64,{}">'
        return Markup(tag).format(self.title, data)


def render(
    runs: Runs,
    boards: Sequence[Board],
    lines: Sequence[CellLine],
    compared: Sequence[Sequence[Against]],
    figures: Sequence[Picture],
    galleries: Sequence[Picture],
) -> str:
    """Return the page.

    Args:
        runs: where everything is from.
        boards: the leaderboards.
        lines: the cells.
        compared: for each board, what its attacks are compared with.
        figures, galleries: pictures.
    """
    environment = Environment(
        loader=PackageLoader("hashattack.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "short": _short, "seconds": _seconds}
    environment.filters |= {"points": _points, "p": _p}
    found = {name: _values(lines, get) for name, get in FACETS.items()}
    values = {name: several for name, several in found.items() if len(several) > 1}
    return environment.get_template("page.html").render(
        boards=list(zip(boards, compared, strict=True)),
        lines=lines,
        facets=values,
        facets_of=[_coded(line, values) for line in lines],
        figures=figures,
        galleries=galleries,
        provenance=runs.provenance(),
        beside=str(runs.beside),
        counts=_counts(lines),
    )


def _coded(line: CellLine, values: Mapping[str, list[str]]) -> str:
    """Return which of the values each facet of a line has, as numbers."""
    return " ".join(str(known.index(FACETS[name](line))) for name, known in values.items())


def _values(lines: Sequence[CellLine], get: Callable[[CellLine], str]) -> list[str]:
    found = dict.fromkeys(get(line) for line in lines)
    return (
        sorted(found, key=lambda text: (len(text), text))
        if all(text.isdecimal() for text in found)
        else list(found)
    )


def _counts(lines: Sequence[CellLine]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for line in lines:
        counts[line.status] = counts.get(line.status, 0) + 1
    return counts


def _inline(file: Path) -> str:
    """Return an SVG to stand in a page: without its prologue, and without ids nothing refers to."""
    text = file.read_text(encoding="utf-8")
    text = text[text.index("<svg") :]
    kept = set(_REFERENCED.findall(text))
    return _IDENTITY.sub(lambda found: found[0] if found[1] in kept else "", text)


def _percent(value: float | None) -> str:
    return "\N{EN DASH}" if value is None else f"{100 * value:.2f}"


def _short(value: float | None, places: int = 4) -> str:
    return "\N{EN DASH}" if value is None else f"{value:.{places}f}"


def _seconds(value: float | None) -> str:
    return "\N{EN DASH}" if value is None else f"{value:.3g}"


def _points(value: float) -> str:
    return f"{100 * value:+.2f}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= _SMALLEST_P else f"< {_SMALLEST_P}"
