"""Grids: a table of the paper filled with our numbers, as data; renderers come after.

What stands in a table is what the paper has in it, for each data set of the results; a number
that was not run, failed or is invalid says so in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from reports.layouts import Layout
from reports.published import KEYS, measured, published

_LOWER_IS_BETTER = ("perceptibility_x100", "seconds_per_image")
_NO_RIVALS = ("Original", "Noise", "Anchor code", "Prototype code")  # never in bold


@dataclass(frozen=True)
class Number:
    """A cell: our value, the paper's, or the reason why there is none."""

    metric: str
    value: float | None = None
    published: float | None = None
    status: str = "not run"
    best: bool = False

    @property
    def difference(self) -> float | None:
        """Measured minus published."""
        if self.value is None or self.published is None:
            return None
        return round(self.value - self.published, 9)  # without the last bits of floating point


@dataclass(frozen=True)
class Grid:
    """A filled table of one protocol."""

    layout: Layout
    dataset: str  # "" where data sets are columns
    protocol: str
    rows: Sequence[tuple[str, ...]]
    columns: Sequence[tuple[str, ...]]
    numbers: dict[tuple[tuple[str, ...], tuple[str, ...]], Number]

    @property
    def has_published(self) -> bool:
        """Whether any number can be compared with the paper's."""
        return any(number.published is not None for number in self.numbers.values())


def grids(results: pd.DataFrame, layouts: Sequence[Layout]) -> Iterator[Grid]:
    """Yield each table, once a protocol among the results."""
    base = results["protocol"].str.removesuffix("+overrides")
    for layout in layouts:
        for protocol, rows in results.groupby(base, sort=False):
            yield from _grids(layout, str(protocol), measured(rows))


def _grids(layout: Layout, protocol: str, ours: pd.DataFrame) -> Iterator[Grid]:
    """Yield one grid, or one a data set where data sets are not columns."""
    theirs = published()
    theirs = theirs[theirs["table"] == layout.id.removeprefix("table")]
    ran = list(dict.fromkeys(ours["dataset"]))
    paper = list(dict.fromkeys(theirs["dataset"]))
    shown = paper if set(ran) & set(paper) else ran
    template = theirs.drop(columns=["table", "dataset", "value"])
    if not len(template):
        white_box = ours[ours["source_bits"].isin(["", *ours["victim_bits"]])]
        same = (white_box["source_backbone"] == white_box["victim_backbone"]) & (
            white_box["source_bits"] == white_box["victim_bits"]
        )
        template = white_box[same & white_box["metric"].isin(layout.metrics)]
        template = template.drop(columns=["dataset", "value", "status"])
    template = template.drop_duplicates()
    whole = template.merge(pd.DataFrame({"dataset": shown}, dtype="string"), how="cross")
    whole = whole.merge(ours, how="left", on=KEYS)
    whole = whole.merge(
        theirs.drop(columns="table").rename(columns={"value": "published"}), how="left", on=KEYS
    )
    if "dataset" in layout.columns:
        yield _grid(layout, "", protocol, whole)
        return
    for dataset, part in whole.groupby("dataset", sort=False):
        yield _grid(layout, str(dataset), protocol, part)


def _grid(layout: Layout, dataset: str, protocol: str, lines: pd.DataFrame) -> Grid:
    rows = _keys(lines, layout.rows)
    columns = _keys(lines, layout.columns)
    best = _best(layout, lines)
    numbers = {
        (row, column): Number(
            metric=str(line.metric),
            value=None if pd.isna(line.value) else float(line.value),  # type: ignore[arg-type]
            published=None if pd.isna(line.published) else float(line.published),  # type: ignore[arg-type]
            status="not run" if pd.isna(line.status) else str(line.status),  # type: ignore[arg-type]
            best=line.Index in best,
        )
        for row, column, line in zip(rows, columns, lines.itertuples(), strict=True)
    }
    return Grid(
        layout=layout,
        dataset=dataset,
        protocol=protocol,
        rows=_nested(rows),
        columns=_nested(columns),
        numbers=numbers,
    )


def _keys(lines: pd.DataFrame, names: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(map(str, key)) for key in lines[list(names)].itertuples(index=False, name=None)]


def _nested(keys: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the unique keys, equal outer parts together, each level by first appearance."""
    levels = [list(dict.fromkeys(level)) for level in zip(*keys, strict=True)]
    return sorted(
        dict.fromkeys(keys),
        key=lambda key: [level.index(part) for level, part in zip(levels, key, strict=True)],
    )


def _best(layout: Layout, lines: pd.DataFrame) -> set[object]:
    """Return the index of the best attack of each column, among rows that differ in it alone."""
    rivals = lines[~lines["attack"].isin(_NO_RIVALS) & lines["value"].notna()]
    same = [key for key in (*layout.columns, *layout.rows, "metric") if key != "attack"]
    found: set[object] = set()
    for _, group in rivals.groupby(list(dict.fromkeys(same)), sort=False):
        if len(group) < 2:
            continue
        lower = group["metric"].iloc[0] in _LOWER_IS_BETTER
        target = group["value"].min() if lower else group["value"].max()
        found |= set(group.index[group["value"] == target])
    return found
