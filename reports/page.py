"""The page: one self-contained HTML file of everything in a report, for ``file://`` too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from hashattack.benchmark.columns import COLUMNS, Column
from hashattack.benchmark.names import budget_text
from hashattack.benchmark.statistics import p_text
from hashattack.reports.galleries import Gallery
from hashattack.reports.leaderboard import Board, Comparison
from hashattack.reports.lines import Line, columns_of, white_box
from hashattack.reports.pictures import Picture
from hashattack.reports.results import Runs
from hashattack.reports.strip import Strip
from hashattack.reports.tables import interval_text

# What the cells are filtered by: the heading, and the value of a line.
FACETS: Mapping[str, Callable[[Line], object]] = {
    "data set": lambda line: line.facts["dataset"],
    "method": lambda line: line.facts["source_method"],
    "backbone": lambda line: line.facts["source_backbone"],
    "code length": lambda line: line.facts["source_bits"],
    "attack": lambda line: line.name.title,
    "protocol": lambda line: line.protocol,
    "budget": lambda line: budget_text(str(line.facts["budget_class"])),
    "kind": lambda line: "white-box" if white_box(line.facts) else "transfer",
    "status": lambda line: line.status,
}
_POINTS = Column("difference", scale=100, format="+.2f")


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
        figures: pictures.
        galleries: of cells; ``strip`` is the one query of the first screen, where there is one.
    """
    environment = Environment(
        loader=PackageLoader("hashattack.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": COLUMNS["t_map"].text, "interval": interval_text}
    environment.filters |= {"budget": budget_text, "points": _POINTS.text, "p": p_text}
    facets = {name: [str(get(line)) for line in lines] for name, get in FACETS.items()}
    values = {name: _values(found) for name, found in facets.items() if len(set(found)) > 1}
    return environment.get_template("page.html").render(
        boards=boards,
        board_columns=[_used(board) for board, _ in boards],
        lines=lines,
        cell_columns=columns_of("cells"),
        facets=values,
        facets_of=[  # which of its values each facet of a line has, as numbers
            " ".join(str(known.index(facets[name][n])) for name, known in values.items())
            for n in range(len(lines))
        ],
        figures=figures,
        galleries=galleries,
        strip=strip,
        provenance=runs.provenance(),
        not_shown=runs.not_shown,
        counts=Counter(line.status for line in lines),
    )


def _used(board: Board) -> list[Column]:
    """Return the columns of a board but the mean, those that some line has."""
    lines = [line for group in board.groups for line in group.lines]
    columns = columns_of("leaderboard")[1:]
    return [column for column in columns if any(column.name in line.values for line in lines)]


def _values(texts: Sequence[str]) -> list[str]:
    """Return the different texts, numbers in their order."""
    different = list(dict.fromkeys(texts))
    numbers = all(text.isdecimal() for text in different)
    return sorted(different, key=int) if numbers else different
