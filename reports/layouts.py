"""The layouts of the paper's tables, as data: what stands in rows, columns and headers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Layout:
    """A table: which numbers, by which keys.

    Attributes:
        id: as suites name it.
        title: the caption's beginning.
        rows, columns: keys of the long form, outermost first; others are constant in the table.
        metrics: of the long form.
        headings: what the row keys are called.
    """

    id: str
    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    metrics: tuple[str, ...]
    headings: tuple[str, ...]


_TRANSFER: dict[str, Any] = {
    "rows": ("source_backbone", "source_bits", "attack"),
    "columns": ("victim_backbone", "victim_bits"),
    "metrics": ("t-MAP",),
    "headings": ("Source", "Bits", "Attack"),
}

LAYOUTS = {
    layout.id: layout
    for layout in (
        Layout(
            id="table1",
            title="t-MAP (%) of targeted attacks on DPSH with VGG11 at four code lengths",
            rows=("metric", "attack"),
            columns=("dataset", "victim_bits"),
            metrics=("t-MAP", "MAP"),
            headings=("Metric", "Method"),
        ),
        Layout(
            id="table2",
            title="t-MAP (%), perceptibility and seconds an image at 32 bits",
            rows=("attack",),
            columns=("dataset", "metric"),
            metrics=("t-MAP", "perceptibility_x100", "seconds_per_image"),
            headings=("Method",),
        ),
        Layout(
            id="table3",
            title="Transfer (t-MAP, %) between networks and code lengths, DPSH",
            **_TRANSFER,
        ),
        Layout(
            id="table4",
            title="t-MAP (%) of targeted attacks on DPH and HashNet with VGG11",
            rows=("metric", "attack"),
            columns=("method", "victim_bits"),
            metrics=("t-MAP", "MAP"),
            headings=("Metric", "Method"),
        ),
        Layout(
            id="table5",
            title="Transfer (t-MAP, %) between code lengths, DPSH with VGG11",
            rows=("source_bits", "attack"),
            columns=("victim_bits",),
            metrics=("t-MAP",),
            headings=("Source bits", "Attack"),
        ),
        Layout(
            id="table6",
            title="Transfer (t-MAP, %) between networks and code lengths, DPSH",
            **_TRANSFER,
        ),
        Layout(
            id="table7",
            title="Transfer (t-MAP, %) between networks and code lengths, DPSH",
            **_TRANSFER,
        ),
        Layout(
            id="time",
            title="Seconds an image by network and code length",
            rows=("method", "attack"),
            columns=("victim_backbone", "victim_bits"),
            metrics=("seconds_per_image",),
            headings=("Hashing", "Attack"),
        ),
    )
}
