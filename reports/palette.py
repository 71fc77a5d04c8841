"""One colour, marker and dash an attack, in every figure: by its name, whatever else is drawn."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable

import seaborn as sns

Colour = tuple[float, float, float]

_HUES: list[Colour] = list(sns.color_palette("colorblind", 10))
_GREY, _PALE, _BLACK = (0.35, 0.35, 0.35), (0.62, 0.62, 0.62), (0.0, 0.0, 0.0)
# References are grey and the upper bound is black; attacks have the hues of a colour-blind-safe
# palette. The order is that of every legend.
_KNOWN: dict[str, Colour] = {
    "Original": _GREY,
    "Noise": _PALE,
    **dict(
        zip(
            (
                *("P2P", "DHTA", "DHTA+FGSM", "DHTA+I-FGSM", "ProS-GAN", "ProS-GAN-eps"),
                *("GAN", "ProS-GAN1", "Prototype+I-FGSM", "Anchor code"),
            ),
            _HUES,
            strict=True,
        )
    ),
    "Prototype code": _BLACK,
}
_MARKERS = ("o", "X", "s", "D", "^", "v", "P", "*", "<", ">", "h", "d", "p")
_DASHES: tuple[tuple[int, ...], ...] = ((), (4, 1), (1, 1), (3, 1, 1, 1), (6, 2), (2, 3))


def colours(titles: Iterable[str]) -> dict[str, Colour]:
    """Return the colour of each attack, in the order of legends; a variant has its attack's."""
    return {title: _colour(title) for title in _sorted(titles)}


def markers(titles: Iterable[str]) -> dict[str, str]:
    """Return the marker of each attack."""
    return {title: _MARKERS[_place(title) % len(_MARKERS)] for title in _sorted(titles)}


def dashes(titles: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Return the dashes of each attack, others for each of one colour."""
    drawn: Counter[Colour] = Counter()
    found = {}
    for title in _sorted(titles):
        colour = _colour(title)
        found[title] = _DASHES[drawn[colour] % len(_DASHES)]
        drawn[colour] += 1
    return found


def _colour(title: str) -> Colour:
    return _KNOWN.get(_base(title), _HUES[_place(title) % len(_HUES)])


def _base(title: str) -> str:
    """Return the attack of a variant like ``DHTA (steps=20)``."""
    return title.split(" (")[0]


def _sorted(titles: Iterable[str]) -> list[str]:
    unique, known = list(dict.fromkeys(titles)), list(_KNOWN)
    listed = [title for title in unique if _base(title) in _KNOWN]
    listed.sort(key=lambda title: known.index(_base(title)))
    return [*listed, *(title for title in unique if _base(title) not in _KNOWN)]


def _place(title: str) -> int:
    """Return a number that is the name's own, so that no figure depends on what is beside it."""
    known = list(_KNOWN)
    return known.index(title) if title in known else zlib.crc32(title.encode())
