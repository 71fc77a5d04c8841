"""Galleries as files beside the page, for papers: one PNG per cell, as wide as a page of text."""

from __future__ import annotations

import functools
import io
from pathlib import Path

from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from hashattack.benchmark.store.files import write_bytes
from hashattack.reports.galleries import Gallery, Query, Result, Shown

_HIT, _OTHER = "#0072b2", "#767676"  # as in galleries.css
_DPI = 245
_FONT = 24  # pixels: 7 points
_SIDE, _STEP, _LINE = 128, 140, 182  # of an image, and from one to the next, in pixels
_RESULTS = 340  # where they begin
_HEAD = 50  # the height of a line of text


def draw_gallery(gallery: Gallery, folder: Path) -> Path:
    """Draw a gallery and return its file.

    Two lines per query: the query with what it retrieves, and the adversarial query, with the
    perturbation, and what that retrieves. Below each result is its distance; a thick blue frame and
    a check mark say that it carries a label that counts.

    Args:
        gallery: of a cell.
        folder: where the file goes.
    """
    top = max(len(query.before) for query in gallery.queries)
    each = _HEAD + 2 * _LINE
    size = (_RESULTS + top * _STEP, _HEAD + len(gallery.queries) * each)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((4, 8), f"{gallery.title} ({gallery.context})", "black", _font("bold"))
    for number, query in enumerate(gallery.queries):
        _draw(sheet, draw, _HEAD + number * each, query, gallery.factor)
    buffer = io.BytesIO()
    sheet.save(buffer, format="png", dpi=(_DPI, _DPI))
    file = folder / f"{gallery.name}.png"
    write_bytes(file, buffer.getvalue())
    return file


def _draw(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, top: int, query: Query, factor: int
) -> None:
    """Draw the two lines of a query below its text."""
    draw.text((4, top + 8), f"Query: {query.query.labels}; {query.outcome}", "black", _font())
    first, second = top + _HEAD, top + _HEAD + _LINE
    changed = f"change \N{MULTIPLICATION SIGN} {factor}"
    pictures: list[tuple[int, int, Shown, str]] = [
        (8, first, query.query, "query"),
        (8, second, query.adversarial, "adversarial"),
        (34 + _STEP, second, query.perturbation, changed),
    ]
    for line, results in ((first, query.before), (second, query.after)):
        for place, one in enumerate(results):
            pictures.append((_RESULTS + place * _STEP, line, one, one.mark))
    for left, line, shown, text in pictures:
        sheet.paste(_scaled(shown), (left, line))
        draw.text((left + _SIDE // 2, line + _SIDE + 8), text, "black", _font(), anchor="ma")
        if isinstance(shown, Result):
            box = (left - 4, line - 4, left + _SIDE + 3, line + _SIDE + 3)
            colour, width = (_HIT, 6) if shown.hit else (_OTHER, 1)
            draw.rectangle(box, outline=colour, width=width)


def _scaled(shown: Shown) -> Image.Image:
    """Return an image of the one size; whole pixels stay sharp."""
    image = Image.fromarray(shown.pixels.transpose(1, 2, 0))
    whole = _SIDE % image.width == 0
    how = Image.Resampling.NEAREST if whole else Image.Resampling.LANCZOS
    return image.resize((_SIDE, _SIDE), how)


@functools.cache
def _font(weight: str = "normal") -> ImageFont.FreeTypeFont:
    """Return a font that comes with the program's libraries, so that files are alike everywhere."""
    properties = font_manager.FontProperties(family="DejaVu Sans", weight=weight)
    return ImageFont.truetype(font_manager.findfont(properties), _FONT)
