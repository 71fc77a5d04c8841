"""Grids: a table of the paper filled with our numbers, as data; renderers come after.

What stands in a table is what the paper has in it, for each data set of the results; a number
that was not run, failed or is invalid says so in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from hashattack.reports.layouts import Layout
from hashattack.reports.published import KEYS, measured, published

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
class Setting:
    """What all numbers of a grid were measured under."""

    protocol: str
    policy: str
    n_queries: str
    overrides: str

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Setting:
        """Return the setting of result rows of one protocol and policy."""
        counts = sorted({int(count) for count in rows["n_queries"].dropna()})
        texts = rows["overrides"].fillna("").str.split(", ").explode()
        overrides = ", ".join(dict.fromkeys(text for text in texts if text))
        return cls(
            protocol=str(rows["protocol"].iloc[0]),
            policy=str(rows["policy"].iloc[0]),
            n_queries=" or ".join(map(str, counts)),
            overrides=overrides,
        )


@dataclass(frozen=True)
class Grid:
    """A filled table of one protocol."""

    layout: Layout
    dataset: str  # "" where data sets are columns
    setting: Setting
    rows: Sequence[tuple[str, ...]]
    columns: Sequence[tuple[str, ...]]
    numbers: dict[tuple[tuple[str, ...], tuple[str, ...]], Number]

    @property
    def has_published(self) -> bool:
        """Whether any number can be compared with the paper's."""
        return any(number.published is not None for number in self.numbers.values())


def grids(results: pd.DataFrame, layouts: Sequence[Layout]) -> Iterator[Grid]:
    """Yield each table, once a protocol and policy among the results."""
    paper = results[results["variant"].fillna("") == ""]
    for layout in layouts:
        for _, rows in paper.groupby(["protocol", "policy"], sort=False):
            yield from _grids(layout, Setting.of(rows), measured(rows))


def _grids(layout: Layout, setting: Setting, ours: pd.DataFrame) -> Iterator[Grid]:
    """Yield one grid, or one a data set where data sets are not columns."""
    theirs = published()
    theirs = theirs[theirs["table"] == layout.id.removeprefix("table")]
    ran = list(dict.fromkeys(ours["dataset"]))
    paper = list(dict.fromkeys(theirs["dataset"]))
    shown = list(dict.fromkeys([*paper, *ran])) if set(ran) & set(paper) else ran
    template = theirs if len(theirs) else _white_box(ours[ours["metric"].isin(layout.metrics)])
    template = template[[key for key in KEYS if key != "dataset"]].drop_duplicates()
    if not len(template):
        return
    whole = template.merge(pd.DataFrame({"dataset": shown}, dtype="string"), how="cross")
    whole = whole.merge(ours, how="left", on=KEYS)
    whole = whole.merge(
        theirs.drop(columns="table").rename(columns={"value": "published"}), how="left", on=KEYS
    )
    if "dataset" in layout.columns:
        yield _grid(layout, "", setting, whole)
        return
    for dataset, part in whole.groupby("dataset", sort=False):
        yield _grid(layout, str(dataset), setting, part)


def _white_box(lines: pd.DataFrame) -> pd.DataFrame:
    """Return the numbers of attacks against their own source, or without one."""
    both = (lines["source_backbone"] == lines["victim_backbone"]) & (
        lines["source_bits"] == lines["victim_bits"]
    )
    return lines[both | (lines["source_bits"] == "")]


def _grid(layout: Layout, dataset: str, setting: Setting, lines: pd.DataFrame) -> Grid:
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
    if len(numbers) < len(lines):
        raise ValueError(f"{layout.id}: rows and columns do not tell its numbers apart")
    return Grid(
        layout=layout,
        dataset=dataset,
        setting=setting,
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
