"""Names beside what they name: at points where there is space, and at the ends of lines."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from scipy.optimize import isotonic_regression

from hashattack.reports.pictures import PAPER, QUIET
from hashattack.reports.plots.theme import SMALL, fitted, text_width

Boxes = npt.NDArray[np.float64]  # left, bottom, right, top in points

_HEIGHT = SMALL * 1.15
_MARKER = 4.0  # points from the centre of a marker to its edge
_DISTANCES = (6.5, 11.0, 17.0, 25.0, 35.0, 47.0)  # points from a marker to its name
_ANGLES = (0, 180, 40, -40, 140, -140, 90, -90)  # degrees; the first are preferred
_LEADER = 8.0  # a name further away is joined to its marker
_FAR = np.array([1.5 * far + turn for far in _DISTANCES for turn in range(len(_ANGLES))])  # costs
_APART = np.array([-3.0, -0.5, 3.0, 0.5])  # how much space a name needs about it
_PASSES = 4


def label_points(axis: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Write a name beside each point, where it covers no other name and as few points as possible.

    Args:
        axis: with its scales set, of a figure of 72 dots per inch.
        points: x, y and name.
    """
    places = _places(axis, points)
    markers = np.hstack([places - _MARKER, places + _MARKER])
    widths = [text_width(name, SMALL) for _, _, name in points]
    frame = np.array([axis.bbox.extents])
    offered = [_candidates(place, width) for place, width in zip(places, widths, strict=True)]
    # What a place costs whatever the other names do.
    own = [
        _FAR
        + 2 * _overlaps(boxes, markers).sum(axis=1)
        + 8 * (_HEIGHT * width - _overlaps(boxes, frame)[:, 0])  # what leaves the frame
        for boxes, width in zip(offered, widths, strict=True)
    ]
    chosen = [int(cost.argmin()) for cost in own]
    for _, n in itertools.product(range(_PASSES), range(len(points))):
        others = [offered[m][chosen[m]] for m in range(len(points)) if m != n]
        clashes = _overlaps(offered[n], np.array(others) + _APART).sum(axis=1) if others else 0.0
        chosen[n] = int((own[n] + 6 * clashes).argmin())
    for (x, y, name), place, boxes, number in zip(points, places, offered, chosen, strict=True):
        left, bottom, _, top = boxes[number]
        leader = {"arrowstyle": "-", "color": QUIET, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
        axis.annotate(
            name,
            (x, y),
            xytext=(left - place[0], (bottom + top) / 2 - place[1]),
            textcoords="offset points",
            va="center",
            size=SMALL,
            zorder=2,  # its ground over lines, below markers and intervals
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.4},
            arrowprops=leader if _DISTANCES[number // len(_ANGLES)] > _LEADER else None,
        )


def _places(axis: Axes, points: Sequence[tuple[float, float, str]]) -> Boxes:
    """Return where points are in the figure."""
    axis.get_xlim(), axis.get_ylim()  # limits that follow the data are known from here on
    places: Boxes = axis.transData.transform([(x, y) for x, y, _ in points])
    return places


def _candidates(place: Boxes, width: float) -> Boxes:
    """Return the boxes that a name ``width`` points wide could have, by distance and angle."""
    boxes = []
    for distance, angle in itertools.product(_DISTANCES, _ANGLES):
        across, up = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        left = place[0] + distance * across - width * (1 - across) / 2
        middle = place[1] + (distance + _HEIGHT / 4) * up
        boxes.append((left, middle - _HEIGHT / 2, left + width, middle + _HEIGHT / 2))
    return np.array(boxes)


def _overlaps(boxes: Boxes, others: Boxes) -> Boxes:
    """Return the areas that boxes share with others ``[box, other]``."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    areas: Boxes = np.clip(high - low, 0, None).prod(axis=2)
    return areas


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Return places at least ``gap`` apart in the same order, as near as possible to the given."""
    order = np.argsort(places, kind="stable")
    steps = gap * np.arange(len(order))
    moved = isotonic_regression(np.asarray(places, dtype=float)[order] - steps).x + steps
    found = np.empty(len(order))
    found[order] = moved
    return [float(place) for place in found]


def label_ends(axis: Axes, ends: Sequence[tuple[float, float, str]]) -> None:
    """Write the names of lines right of the axes, at the heights where they end, apart.

    Args:
        axis: with its scales set, of a figure of 72 dots per inch.
        ends: x, y and name of each line.
    """
    places = _places(axis, ends)
    heights = spread([y for _, y in places], _HEIGHT * 1.05)
    leader = {"arrowstyle": "-", "color": QUIET, "linewidth": 0.5, "relpos": (0, 0.5), "shrinkA": 1}
    for (x, y, name), place, height in zip(ends, places, heights, strict=True):
        axis.annotate(
            fitted(name),
            (x, y),
            xytext=(axis.bbox.x1 + 8 - place[0], height - place[1]),
            textcoords="offset points",
            va="center",
            size=SMALL,
            annotation_clip=False,
            arrowprops=leader,
        )
