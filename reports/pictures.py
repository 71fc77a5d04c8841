"""Figures of a report: files beside the page, and their markup in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

# The neutral colours of figures. The page has variables of its own in their places.
INK, QUIET, LINE, PAPER = "#1b1f24", "#5b6470", "#d5d9df", "#ffffff"
_VARIABLES = {INK: "var(--ink)", QUIET: "var(--quiet)", LINE: "var(--line)", PAPER: "var(--paper)"}

_REFERENCED = re.compile(r"(?:url\(#|href=\"#)([^)\"]+)")
_IDENTITY = re.compile(r" id=\"([^\"]+)\"")
_COLOUR = re.compile("|".join(_VARIABLES))
_DROPPED = re.compile(r"<metadata>.*?</metadata>|<style.*?</style>|font-family: [^;\"]+;? ?", re.S)


@dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        name: unique in a report, the stem of its files.
        title: what it shows, a few words.
        files: the figure in several formats, SVG first.
        summary: what is seen in it, for readers who cannot see it.
        reading: how to read it, a sentence or two.
        panels: its parts as SVG, where the page shows them one by one, as many beside each other as
            fit.
        legend: of the panels, as SVG.
        narrow: the same as SVG for a phone.
        board: the number of the leaderboard whose forest plot it is; None of other figures.
        settings: the short names of attacks that stand in it, with the settings they stand for.
    """

    name: str
    title: str
    files: Sequence[Path]
    summary: str
    reading: str
    panels: Sequence[str] = ()
    legend: str = ""
    narrow: str = ""
    board: int | None = None
    settings: Sequence[tuple[str, str]] = ()

    @property
    def markup(self) -> Markup:
        """The picture itself, in the page."""
        panels = self.panels or [self.files[0].read_text(encoding="utf-8")]
        wide = self._group("panels" if self.panels else "whole", panels)
        return wide + self._group("narrow", [self.narrow]) if self.narrow else wide

    def _group(self, kind: str, panels: Sequence[str]) -> Markup:
        content = Markup("").join(Markup(_inline(svg)) for svg in panels)
        if self.legend and self.panels:
            content += Markup('<div class="legend">{}</div>').format(Markup(_inline(self.legend)))
        tag = Markup('<div class="{}" role="img" aria-label="{}">{}</div>')
        return tag.format(kind, self.summary, content)


def _inline(svg: str) -> str:
    """Return an SVG to stand in a page: in its font and colours, without ids nothing refers to."""
    svg = _DROPPED.sub("", svg[svg.index("<svg") :])
    svg = _COLOUR.sub(lambda found: _VARIABLES[found[0]], svg)
    kept = set(_REFERENCED.findall(svg))
    return _IDENTITY.sub(lambda found: found[0] if found[1] in kept else "", svg)
