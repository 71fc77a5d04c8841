"""Galleries: what an attack did to some queries, and what they retrieve before and after."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hashattack.benchmark.store.files import write_bytes
from hashattack.benchmark.store.store import Arrays

mpl.use("Agg")
_HIT, _MISS = "#0072b2", "#d55e00"  # blue and vermilion, distinct for colour-blind readers
_DARKEST = 10  # the largest factor by which a perturbation is shown
_CELL = 0.9  # inches


def draw_gallery(
    row: dict[str, Any], label: str, arrays: Arrays, classes: list[str], folder: Path
) -> Path:
    """Draw a cell's pictures as PNG and return the file.

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
    figure = Figure(figsize=(_CELL * (top + 2.6), 2 * _CELL * count + 0.6))
    axes = figure.subplots(
        2 * count, top + 2, squeeze=False, gridspec_kw={"wspace": 0.06, "hspace": 0.3}
    )
    for number in range(count):
        lines = axes[2 * number], axes[2 * number + 1]
        query, adversarial = arrays["query"][number], arrays["adversarial"][number]
        change = adversarial.astype(np.float64) - query.astype(np.float64)
        _show(lines[0][0], query, f"{_names(arrays['own'][number], classes)}")
        _show(lines[1][0], adversarial, f"→ {_names(arrays['targets'][number], classes)}")
        lines[0][1].axis("off")
        amplified = np.clip(127.5 + factor * change, 0, 255).astype(np.uint8)
        title = f"{factor:g} \N{MULTIPLICATION SIGN} change (max {np.abs(change).max():.0f})"
        _show(lines[1][1], amplified, title)
        for line, when in zip(lines, ("before", "after"), strict=True):
            for place in range(top):
                hit = bool(arrays[f"{when}_hits"][number, place])
                _show(line[place + 2], arrays[when][number, place], "", _HIT if hit else _MISS)
    figure.suptitle(
        f"{label} on {row['source']}, {row['dataset']}, {row['protocol']}: the top-{top} before "
        "and after",
        fontsize=8,
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, bbox_inches="tight", metadata={"Software": None})
    file = folder / f"{_stem(row)}.png"
    write_bytes(file, buffer.getvalue())
    return file


def _stem(row: dict[str, Any]) -> str:
    """Return what the file of a cell is called."""
    parts = [str(row[key]) for key in ("dataset", "attack", "source", "protocol", "policy")]
    parts.append(f"seed{row['target_seed']}.{row['draw_seed']}")
    parts += [row["variant"].replace("=", "").replace(", ", "-")] if row["variant"] else []
    return "-".join(parts)


def _factor(arrays: Arrays) -> float:
    """Return one factor for the whole figure, so that its perturbations can be compared."""
    change = np.abs(arrays["adversarial"].astype(np.int16) - arrays["query"].astype(np.int16))
    largest = max(1, int(change.max()))
    return float(max(1, min(_DARKEST, 127 // largest)))


def _names(labels: npt.NDArray[np.uint8], classes: list[str]) -> str:
    names = [classes[column] for column in np.flatnonzero(labels)]
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _show(axis: Axes, image: npt.NDArray[np.uint8], title: str, frame: str | None = None) -> None:
    axis.imshow(image.transpose(1, 2, 0), interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_title(title, fontsize=5, pad=2)
    for spine in axis.spines.values():
        spine.set_visible(frame is not None)
        spine.set_color(frame or "none")
        spine.set_linewidth(2)
