"""Galleries as files beside the page, for papers: a PNG a cell, as wide as a page of text."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hashattack.benchmark.store.files import write_bytes
from hashattack.reports.galleries import Gallery, Query, Shown

mpl.use("Agg")
HIT, OTHER = "#0072b2", "#767676"  # as in galleries.css
_CELL = 0.62  # inches
_SIZE, _PITCH, _HEAD = 0.92, 1.3, 0.45  # of an image, between lines, of a query's text, in cells
_FONT = 7  # points
_DPI = 200


def draw_gallery(gallery: Gallery, folder: Path) -> Path:
    """Draw a gallery and return its file.

    Two lines a query: the query with what it retrieves, and the adversarial query, after the
    perturbation, with what that retrieves. A solid frame and a check mark are of results that carry
    the target label; below each is its distance.

    Args:
        gallery: of a cell.
        folder: where the file goes.
    """
    top = max(len(query.before) for query in gallery.queries)
    each = _HEAD + 2 * _PITCH
    width, height = top + 2.2, len(gallery.queries) * each + _HEAD
    figure = Figure(figsize=(_CELL * width, _CELL * height))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(-0.05, width), ylim=(height, 0))
    axis.axis("off")
    title = f"{gallery.title} ({gallery.context})"
    _text(axis, 0, 0.3, title, ha="left", weight="bold")
    for number, query in enumerate(gallery.queries):
        _draw(axis, _HEAD + number * each, query, gallery.factor)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    file = folder / f"{gallery.name}.png"
    write_bytes(file, buffer.getvalue())
    return file


def _draw(axis: Axes, top: float, query: Query, factor: int) -> None:
    """Draw the two lines of a query below its text."""
    _text(axis, 0, top + 0.3, f"Query: {query.query.labels}; {query.outcome}", ha="left")
    first, second = top + _HEAD, top + _HEAD + _PITCH
    _image(axis, 0, first, query.query, "query")
    _image(axis, 0, second, query.adversarial, "adversarial")
    times = f"change \N{MULTIPLICATION SIGN} {factor}"
    _image(axis, 1, second, query.perturbation, times)
    for line, results in ((first, query.before), (second, query.after)):
        for place, result in enumerate(results):
            left = place + 2.2
            _image(axis, left, line, result, result.mark)
            frame = Rectangle((left, line), _SIZE, _SIZE, fill=False)
            frame.set(edgecolor=HIT if result.hit else OTHER, linewidth=2 if result.hit else 1)
            frame.set_linestyle("solid" if result.hit else (0, (2, 1)))
            axis.add_patch(frame)


def _image(axis: Axes, left: float, top: float, shown: Shown, text: str) -> None:
    """Draw an image with a text below it."""
    extent = (left, left + _SIZE, top + _SIZE, top)
    axis.imshow(shown.pixels.transpose(1, 2, 0), interpolation="nearest", extent=extent)
    _text(axis, left + _SIZE / 2, top + _SIZE + 0.21, text)


def _text(axis: Axes, x: float, y: float, text: str, **style: str) -> None:
    """Write a text on a baseline; names of others are no formulas."""
    shown = axis.text(x, y, text, parse_math=False)
    shown.set(**{"fontsize": _FONT, "ha": "center", **style})
