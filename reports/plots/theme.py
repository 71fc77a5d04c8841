"""The style of all figures: colours for light and dark pages, fonts, how files are made.

The page replaces the neutral colours by its own (``reports/pictures.py``), so that figures are dark
where it is. The hues have a contrast of at least three on both: they are drawn, never written.
"""

from __future__ import annotations

import bisect
import functools
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from hashattack.benchmark.store.files import write_bytes
from hashattack.reports.pictures import INK, LINE, PAPER, QUIET

# Okabe and Ito's for colour-blind readers, the light ones darkened.
HUES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a87900", "#3a8fd0", "#7b5cd6", "#8a6d3b")
SIZE = 8.0  # of text, in points: 10.7 pixels on a page
SMALL = 7.2
NAME = 1.35  # inches that the name of an attack or a hasher has in figures
Weight = Literal["normal", "bold"]

_STYLE: Any = {
    **{"font.size": SIZE, "axes.titlesize": SIZE + 0.5, "axes.labelsize": SIZE},
    **{"xtick.labelsize": SMALL, "ytick.labelsize": SMALL, "legend.fontsize": SMALL},
    **{"text.color": INK, "axes.labelcolor": QUIET, "axes.titlecolor": INK},
    **{"xtick.color": QUIET, "ytick.color": QUIET, "axes.edgecolor": QUIET},
    **{"xtick.labelcolor": QUIET, "ytick.labelcolor": QUIET},
    **{"axes.facecolor": "none", "figure.facecolor": PAPER, "savefig.facecolor": PAPER},
    **{"axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlepad": 8},
    **{"axes.grid": True, "grid.color": LINE, "grid.linewidth": 0.6, "axes.axisbelow": True},
    **{"axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.7},
    **{"xtick.major.width": 0.7, "ytick.major.width": 0.7, "xtick.minor.width": 0.5},
    **{"xtick.major.size": 3, "ytick.major.size": 3, "xtick.minor.size": 2},
    **{"legend.frameon": False, "lines.linewidth": 1.5, "lines.markersize": 6},
    # Text stays text, and no part of it is a formula.
    **{"svg.fonttype": "none", "pdf.fonttype": 42, "text.parse_math": False},
}


@contextmanager
def theme() -> Iterator[None]:
    """Draw and save figures in the style of a report."""
    with mpl.rc_context(_STYLE):
        yield


@functools.cache
def text_width(text: str, size: float, weight: Weight = "normal") -> float:
    """Return the width of a text in points."""
    if not text.strip():
        return 0.0
    font = FontProperties(weight=weight)
    return float(TextPath((0, 0), text, size=size, prop=font, usetex=False).get_extents().width)


@functools.cache
def fitted(text: str, inches: float = NAME, size: float = SMALL, weight: Weight = "normal") -> str:
    """Return a text, cut where it is wider than some inches."""
    if text_width(text, size, weight) <= 72 * inches:
        return text
    cut = [text[:n] + "\N{HORIZONTAL ELLIPSIS}" for n in range(len(text))]
    place = bisect.bisect(cut, 72 * inches, key=lambda part: text_width(part, size, weight))
    return cut[max(0, place - 1)]


def svg(figure: Figure, salt: str) -> str:
    """Return a figure as SVG; equal figures with equal salt are equal bytes."""
    return _bytes(figure, "svg", salt).decode()


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as SVG and PDF without dates, so that unchanged results give equal files."""
    files = []
    for suffix in ("svg", "pdf"):
        files.append(stem.with_suffix(f".{suffix}"))
        write_bytes(files[-1], _bytes(figure, suffix, stem.name))
    return files


def _bytes(figure: Figure, suffix: str, salt: str) -> bytes:
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        date = "Date" if suffix == "svg" else "CreationDate"
        figure.savefig(buffer, format=suffix, metadata={date: None})
    return buffer.getvalue()


def percent_limits(low: float, high: float) -> tuple[float, float]:
    """Return the ends of an axis of percentages that shows some values with a margin."""
    margin = max(0.06 * (high - low), 0.5)
    return max(low - margin, -margin / 4), min(high + margin, 100 + margin / 4)


def quiet_axis(axis: Axes) -> None:
    """Leave an axis its ticks' labels and the grid."""
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.tick_params(length=0)
