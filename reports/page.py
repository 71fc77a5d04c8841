"""The page: one self-contained HTML file of everything in a report, for ``file://`` too."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from hashattack.benchmark.columns import COLUMNS, Column
from hashattack.benchmark.names import budget_text, counted
from hashattack.benchmark.statistics import p_text
from hashattack.reports.captions import UNDERTRAINED, labels_name
from hashattack.reports.galleries import Gallery
from hashattack.reports.headline import headline
from hashattack.reports.leaderboard import Board, Comparison, Group
from hashattack.reports.lines import VISIBLE, Line, columns_of, white_box
from hashattack.reports.pictures import Picture
from hashattack.reports.results import Runs
from hashattack.reports.strip import Strip
from hashattack.reports.tables import marks_of, used_columns

# What the cells are filtered by: the heading, and the value of a line.
FACETS: Mapping[str, Callable[[Line], object]] = {
    "data set": lambda line: line.facts["dataset"],
    "method": lambda line: line.facts["source_method"],
    "backbone": lambda line: line.facts["source_backbone"],
    "code length": lambda line: line.facts["source_bits"],
    "attack": lambda line: line.name.title,
    "protocol": lambda line: line.protocol,
    "goal": lambda line: line.facts["goal"],
    "budget": lambda line: budget_text(str(line.facts["budget_class"])),
    "kind": lambda line: "white-box" if white_box(line.facts) else "transfer",
    "status": lambda line: line.status,
}
# What shall stand on one line: words with a hyphen, numbers with a unit, budgets.
_WHOLE = re.compile(r"[\w&;]+-[\w&;-]+|\d[\d.]* %|L∞ (?:≤ )?\d+/\d+")
_POINTS = Column("difference", scale=100, format="+.2f")


@dataclass(frozen=True)
class BoardView:
    """A leaderboard as the page shows it.

    Attributes:
        board: the leaderboard.
        compared: its comparisons.
        forest: its forest plot.
    """

    board: Board
    compared: Sequence[Comparison]
    forest: Picture | None

    @property
    def headline(self) -> str:
        """Its result in a sentence or two."""
        return headline(self.board)

    @property
    def columns(self) -> list[Column]:
        """The columns that some line has, but the mean."""
        return used_columns(self.board, "leaderboard")

    def marked(self, group: Group) -> list[tuple[Line, list[str]]]:
        """Return the lines of a group with the marks of their t-MAP by hasher and of the mean."""
        return list(zip(group.lines, marks_of(group, self.board), strict=True))


def render_page(
    runs: Runs,
    boards: Sequence[tuple[Board, Sequence[Comparison]]],
    lines: Sequence[Line],
    figures: Sequence[Picture],
    galleries: Sequence[Gallery],
    strip: Strip | None,
) -> str:
    """Return the page.

    Args:
        runs: where everything is from.
        boards: the leaderboards, each with its comparisons.
        lines: the cells.
        figures: pictures; the forest plots among them are shown with their leaderboards.
        galleries: of cells; ``strip`` is the one query of the first screen, where there is one.
    """
    environment = Environment(
        loader=PackageLoader("hashattack.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": COLUMNS["t_map"].text,
        "whole": _whole,
        "p": p_text,
        "labels": labels_name,
    }
    environment.filters |= {"budget": budget_text, "points": _POINTS.text, "counted": counted}
    facets = {name: [str(get(line)) for line in lines] for name, get in FACETS.items()}
    values = {name: _values(found) for name, found in facets.items() if len(set(found)) > 1}
    forests = {picture.board: picture for picture in figures if picture.board is not None}
    return environment.get_template("page.html").render(
        boards=[
            BoardView(board, compared, forests.get(number))
            for number, (board, compared) in enumerate(boards)
        ],
        board_columns=columns_of("leaderboard"),
        visible_above=round(255 * VISIBLE),
        undertrained=UNDERTRAINED,
        lines=lines,
        cell_columns=columns_of("cells"),
        facets=values,
        facets_of=[  # which of its values each facet of a line has, as numbers
            " ".join(str(known.index(facets[name][n])) for name, known in values.items())
            for n in range(len(lines))
        ],
        figures=[picture for picture in figures if picture.board is None],
        galleries=galleries,
        strip=strip,
        provenance=runs.provenance(),
        not_shown=runs.not_shown,
        counts=Counter(line.status for line in lines),
    )


def _values(texts: Sequence[str]) -> list[str]:
    """Return the different texts, numbers in their order."""
    different = list(dict.fromkeys(texts))
    numbers = all(text.isdecimal() for text in different)
    return sorted(different, key=int) if numbers else different


def _whole(text: str) -> Markup:
    """Return a text in which t-MAP, 70.2 % and the like stay on one line."""
    return Markup(_WHOLE.sub(r'<span class="whole">\g<0></span>', str(escape(text))))
