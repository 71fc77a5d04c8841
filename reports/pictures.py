"""Pictures of a report: files beside the page, and their markup in it."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

_REFERENCED = re.compile(r"(?:url\(#|href=\"#)([^)\"]+)")
_IDENTITY = re.compile(r" id=\"([^\"]+)\"")


@dataclass(frozen=True)
class Picture:
    """A figure or a gallery.

    Attributes:
        name: unique in a report, the stem of its files.
        title: what it shows, a few words.
        files: the same picture in several formats, that of the page first: SVG or PNG.
        summary: what is seen in it, for readers who cannot see it; "" says no more than the title.
    """

    name: str
    title: str
    files: Sequence[Path]
    summary: str = ""

    @property
    def markup(self) -> Markup:
        """The picture itself, in the page."""
        file = self.files[0]
        if file.suffix == ".svg":
            return Markup(_inline(file))
        data = base64.b64encode(file.read_bytes()).decode()
        tag = '<img loading="lazy" alt="{}" src="data:image/png;base64,{}">'
        return Markup(tag).format(self.summary or self.title, data)


def _inline(file: Path) -> str:
    """Return an SVG to stand in a page: without its prologue, and without ids nothing refers to."""
    text = file.read_text(encoding="utf-8")
    text = text[text.index("<svg") :]
    kept = set(_REFERENCED.findall(text))
    return _IDENTITY.sub(lambda found: found[0] if found[1] in kept else "", text)
