"""The columns of ``results.csv``, each declared once: all reports and ``check`` read them here.

A new metric is one :class:`Column` here and its formula in a stage, which stores the value of a
row under the column's name and, for ``check``, an array with the value of each query.
Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal[
    "cell",  # what was run: data, attack, hashers, seeds, protocol
    "status",  # what became of it
    "retrieval",  # metrics of the ranking
    "distortion",  # metrics of the images, also of a row without a result
    "cost",  # passes and seconds
    "compute",  # batch, threads, precision, device
]
Better = Literal["higher", "lower"] | None  # for an attacker
Table = Literal[  # where a report shows it
    "leaderboard",
    "cells",  # the page's table of all cells
    "figures",  # t-MAP drawn against it
]
MISSING = "\N{EN DASH}"  # what tables show of a number that is not there


@dataclass(frozen=True)
class PerQuery:
    """Where a run stores a metric of each query.

    Attributes:
        stage: the stage whose job stores it.
        array: its name there, ``[q]``.
        squared: whether the array holds squares of the metric.
        min_effect: the smallest loss that counts in ``check`` by default, a fraction.
    """

    stage: str
    array: str
    squared: bool = False
    min_effect: float = 0.02


@dataclass(frozen=True)
class Column:
    """A column of ``results.csv``. Fractions lie in [0, 1]; what does not apply is empty.

    Attributes:
        name: its name in files and options.
        dtype: its pandas type.
        kind: what it is about.
        title: what tables and sentences call it.
        unit: stands behind the title in a heading; empty where there is none.
        scale: what a value is multiplied by in tables.
        format: the format specification of a scaled value.
        least: a smaller scaled value is shown as ``< least``.
        better: which values are better for an attacker; None where neither.
        mean: how the values of several seeds or hashers become one.
        tables: where it is shown.
        per_query: where the values of the queries are; None where it cannot be checked.
        help: what a reader must know to read it.
    """

    name: str
    dtype: Literal["string", "Int64", "float64", "boolean"] = "string"
    kind: Kind = "cell"
    title: str = ""
    unit: str = ""
    scale: float = 1.0
    format: str = ""
    least: float | None = None
    better: Better = None
    mean: Literal["mean", "max"] = "mean"
    tables: tuple[Table, ...] = ()
    per_query: PerQuery | None = None
    help: str = ""

    @property
    def heading(self) -> str:
        """The title with its unit, like ``MAP (%)``."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def sign(self) -> int:
        """+1 where higher is better, -1 where lower is."""
        return -1 if self.better == "lower" else 1

    def text(self, value: float | None) -> str:
        """Return a value as tables show it, scaled; a dash for None."""
        if value is None:
            return MISSING
        scaled = self.scale * value
        if self.least is not None and scaled < self.least:
            return f"< {self.least:g}"
        return f"{scaled:{self.format}}"


_BOTH: tuple[Table, ...] = ("leaderboard", "cells")
_EVERYWHERE: tuple[Table, ...] = (*_BOTH, "figures")


def _percent(
    name: str,
    title: str,
    better: Better,
    tables: tuple[Table, ...] = (),
    array: str = "",
    meaning: str = "",
) -> Column:
    """Return a metric of the ranking, a fraction that tables show in percent.

    ``array`` is where scoring stores the values of the queries; empty where it does not.
    """
    column = Column(name, "float64", "retrieval", title, "%", 100, ".2f", better=better)
    per_query = PerQuery("score", array) if array else None
    return replace(column, tables=tables, per_query=per_query, help=meaning)


_DECLARED = (
    Column("dataset"),
    Column("dataset_fingerprint"),
    Column("attack"),
    Column("title"),
    Column("role", help="no-attack, bound or standard: what reports compare other attacks with"),
    Column("targeted", "boolean"),
    Column("code_only", "boolean"),
    Column("learns", "boolean"),
    Column("params"),
    Column("overrides", help="the hyper-parameters that differ from the protocol's"),
    Column("variant", help="the hyper-parameters set for this row alone"),
    Column("source"),
    Column("source_method"),
    Column("source_backbone"),
    Column("source_bits", "Int64"),
    Column("victim"),
    Column("victim_method"),
    Column("victim_backbone"),
    Column("victim_bits", "Int64"),
    Column("policy"),
    Column("target_seed", "Int64"),
    Column("draw_seed", "Int64"),
    Column("attack_seed", "Int64"),
    Column("protocol"),
    Column("status", kind="status", help="ok, failed, skipped or invalid"),
    Column("reason", kind="status"),
    Column("n_queries", "Int64"),
    Column("n_no_relevant", "Int64", kind="status", help="queries without a relevant item"),
    _percent("t_map", "t-MAP", "higher", _BOTH, "target_expected", "MAP for the target label"),
    _percent("t_map_stable", "stable t-MAP", "higher", (), "target_stable"),
    _percent("t_map_8bit", "t-MAP after 8 bits", "higher", ("cells",), "target_8bit_expected"),
    _percent("map", "MAP", "lower", _BOTH, "own_expected", "for the query's own labels"),
    _percent("map_stable", "stable MAP", "lower"),
    _percent("chance", "chance", None, ("cells",), "", "t-MAP when all codes are equal"),
    _percent("chance_map", "chance MAP", None),
    _percent("precision_at_10", "precision at 10", "higher", (), "target_precision_at_10"),
    Column("budget_class"),
    Column("epsilon", "float64", help="the declared L-infinity budget in pixels of [0, 1]"),
    Column(
        "perceptibility",
        "float64",
        "distortion",
        "perceptibility",
        format=".4f",
        better="lower",
        tables=_EVERYWHERE,
        per_query=PerQuery("hash", "mse", squared=True, min_effect=0.002),  # half a grey level
        help="mean over images of the root of the mean squared error, the paper's formula",
    ),
    Column(
        "perceptibility_rms",
        "float64",
        "distortion",
        "RMS perceptibility",
        format=".4f",
        better="lower",
        help="the released code's formula",
    ),
    Column(
        "linf",
        "float64",
        "distortion",
        "L∞ · 255",
        scale=255,
        format=".2f",
        better="lower",
        mean="max",
        tables=_BOTH,
        help="the largest measured L-infinity",
    ),
    Column("l2", "float64", "distortion", "L2", format=".4f", better="lower"),
    Column(
        "passes_per_image",
        "Int64",
        "cost",
        "passes per image",
        format=",.0f",
        tables=_BOTH,
        help="forward passes of the hasher, as the attack declares; backward ones count double",
    ),
    Column(
        "seconds_per_image",
        "float64",
        "cost",
        "seconds per image",
        format=".2g",
        least=0.001,
        better="lower",
        tables=_EVERYWHERE,
        help="of the attack alone: model loaded, warm, device synchronised",
    ),
    Column(
        "fit_seconds",
        "float64",
        "cost",
        "training",
        unit="s",
        format=".0f",
        better="lower",
        tables=_BOTH,
        help="seconds before the first query",
    ),
    Column("batch", "Int64", "compute"),
    Column("threads", "Int64", "compute"),
    Column("dtype", kind="compute"),
    Column("precision", kind="compute"),
    Column("compiled", "boolean", "compute"),
    Column("device", kind="compute"),
    Column("notes", kind="status"),
    Column("job_key", kind="status"),
)
COLUMNS: Mapping[str, Column] = {column.name: column for column in _DECLARED}  # in the file's order
DTYPES = {name: column.dtype for name, column in COLUMNS.items()}
PER_QUERY = {  # what can be checked
    name: column.per_query for name, column in COLUMNS.items() if column.per_query is not None
}


def names_of(*kinds: Kind) -> tuple[str, ...]:
    """Return the names of the columns of some kinds."""
    return tuple(name for name, column in COLUMNS.items() if column.kind in kinds)
