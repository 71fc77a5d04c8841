"""Galleries: what an attack did to some queries, and what they retrieve before and after."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hashattack.benchmark.store.files import write_bytes
from hashattack.benchmark.store.store import Arrays
from hashattack.datasets.base import UInt8Array
from hashattack.reports.captions import protocol_text
from hashattack.reports.pictures import Picture

mpl.use("Agg")
_HIT, _MISS = "#0072b2", "#d55e00"  # blue and vermilion, distinct for colour-blind readers
_DARKEST = 10  # the largest factor by which a perturbation is shown
_CELL = 0.75  # inches
_SIZE, _PITCH = 0.94, 1.2  # of an image, and between lines, in cells


def draw_gallery(
    row: dict[str, Any], label: str, arrays: Arrays, classes: list[str], folder: Path
) -> Picture:
    """Draw a cell's pictures as PNG.

    Two lines a query: the query with what it retrieves, and the adversarial image with what that
    retrieves; the perturbation stands before them, amplified by a stated factor around grey. A
    blue frame shares a label with the target, an orange one does not.

    Args:
        row: the cell's.
        label: its attack's.
        arrays: its pictures.
        classes: the names of the data set's labels.
        folder: where the file goes.
    """
    count, top = arrays["before_hits"].shape
    factor = _factor(arrays)
    width, height = top + 2, 2 * count * _PITCH
    figure = Figure(figsize=(_CELL * width, _CELL * height))
    axis = figure.add_axes((0, 0, 1, 1))
    for number in range(count):
        first, second = 2 * number, 2 * number + 1
        query, adversarial = arrays["query"][number], arrays["adversarial"][number]
        change = adversarial.astype(np.float64) - query.astype(np.float64)
        _show(axis, first, 0, query, _names(arrays["own"][number], classes))
        _show(axis, second, 0, adversarial, f"→ {_names(arrays['targets'][number], classes)}")
        amplified = np.clip(127.5 + factor * change, 0, 255).astype(np.uint8)
        title = f"{factor:g} \N{MULTIPLICATION SIGN} change (max {np.abs(change).max():.0f})"
        _show(axis, second, 1, amplified, title)
        for line, when in ((first, "before"), (second, "after")):
            for place in range(top):
                frame = _HIT if arrays[f"{when}_hits"][number, place] else _MISS
                _show(axis, line, place + 2, arrays[when][number, place], "", frame)
    axis.set(xlim=(-0.1, width), ylim=(height, _PITCH - 1.3))
    axis.axis("off")
    title = f"{label} on {row['source']}, {row['dataset']}, {protocol_text([row])}"
    axis.set_title(f"{title}: the top-{top} before and after", fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, bbox_inches="tight", metadata={"Software": None})
    file = folder / f"{_stem(row)}.png"
    write_bytes(file, buffer.getvalue())
    return Picture(file.stem, title, [file])


def _stem(row: dict[str, Any]) -> str:
    """Return what the file of a cell is called."""
    parts = [str(row[key]) for key in ("dataset", "attack", "source", "protocol", "policy")]
    parts.append(f"seed{row['target_seed']}.{row['draw_seed']}")
    parts += [row["variant"].replace("=", "").replace(", ", "-")] if row["variant"] else []
    return re.sub(r"[^\w.+-]", "_", "-".join(parts))[:200]


def _factor(arrays: Arrays) -> float:
    """Return one factor for the whole figure, so that its perturbations can be compared."""
    change = np.abs(arrays["adversarial"].astype(np.int16) - arrays["query"].astype(np.int16))
    largest = max(1, int(change.max()))
    return float(max(1, min(_DARKEST, 127 // largest)))


def _names(labels: UInt8Array, classes: list[str]) -> str:
    names = [classes[column] for column in np.flatnonzero(labels)]
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _show(
    axis: Axes, line: int, place: int, image: UInt8Array, title: str, frame: str | None = None
) -> None:
    """Draw an image ``[3, S, S]`` at a place of a line, under its title and in its frame."""
    left, right, top, bottom = place, place + _SIZE, line * _PITCH, line * _PITCH + _SIZE
    pixels = image.transpose(1, 2, 0)
    axis.imshow(pixels, interpolation="nearest", extent=(left, right, bottom, top))
    axis.text(left + _SIZE / 2, top - 0.03, title, fontsize=5, ha="center", va="bottom")
    if frame is not None:
        axis.add_patch(
            Rectangle((left, top), _SIZE, _SIZE, fill=False, edgecolor=frame, linewidth=2)
        )
