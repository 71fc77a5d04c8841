"""Papers as data: a YAML file with the layouts of a paper's tables, and a CSV with its numbers.

A paper is added as ``papers/NAME.yaml`` and ``papers/NAME.csv``; suites then name its tables.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import pandas as pd
import yaml
from pydantic import AfterValidator, BaseModel, PrivateAttr, ValidationError

from hashattack.benchmark.columns import COLUMNS, Goal
from hashattack.datasets.errors import UserError

FOLDER = Path(__file__).parent / "papers"


class PaperError(UserError):
    """A paper's file that cannot be read; the text says where and why."""


def _declared(name: str) -> str:
    if name not in COLUMNS:
        raise ValueError(f"results.csv has no column '{name}'")
    return name


ColumnName = Annotated[str, AfterValidator(_declared)]


class Metric(BaseModel, extra="forbid", frozen=True):
    """A number of the paper: our column, and how the paper prints it."""

    column: ColumnName
    protocols: dict[str, ColumnName] = {}  # the column under protocols that have another
    goal: Goal = "targeted"  # of the rows that it is a number of
    top: int | None = None  # the k of MAP@k; rows scored at another one have no such number
    scale: float = 1.0  # what our value is multiplied by
    format: str  # the format specification of the scaled value
    title: str = ""  # its heading; the metric's name where there is none
    points: bool = False  # whether differences are judged in points, else as shares
    note: str = ""  # what captions say of it

    def values(self, results: pd.DataFrame) -> pd.Series[float]:
        """Return our values in the paper's units, of the column of each row's protocol.

        Rows of another goal or scored at another k are left out.
        """
        top = results["top"]
        same = top.isna() if self.top is None else (top == self.top).fillna(False)
        results = results[same & (results["goal"] == self.goal).fillna(False)]
        values = results[self.column]
        for protocol, column in self.protocols.items():
            values = values.where(results["protocol"] != protocol, results[column])
        return values * self.scale


class Layout(BaseModel, extra="forbid", frozen=True):
    """A table: which metrics, by which keys; keys in neither rows nor columns are constant."""

    id: str  # as suites and the paper's CSV name it
    title: str  # the caption's beginning
    rows: dict[str, str]  # headings by key, outermost first
    columns: list[str]  # keys, outermost first
    metrics: list[str]


class FigureLayout(BaseModel, extra="forbid", frozen=True):
    """A figure: the attacks side by side by target, or one over its hyper-parameter ``over``."""

    id: str
    title: str
    attacks: list[str]  # ids
    over: str = ""


class Paper(BaseModel, extra="forbid"):
    """A paper."""

    title: str
    keys: dict[str, str]  # our columns that identify a number, by its name; "dataset" is one
    attacks: dict[str, str] = {}  # what it calls attacks, by id
    draws: str = ""  # how its target labels differ from a shared draw
    without_source: list[str] = []  # those of these names that it gives no source hasher
    metrics: dict[str, Metric]
    tables: list[Layout] = []
    figures: list[FigureLayout] = []

    _numbers: pd.DataFrame = PrivateAttr()

    @property
    def all_keys(self) -> list[str]:
        """Everything that identifies a number."""
        return [*self.keys, "attack", "metric"]

    @property
    def numbers(self) -> pd.DataFrame:
        """What it published: ``table``, the keys as text, and ``published``."""
        return self._numbers

    def contradictions(self, table: str) -> list[str]:
        """Return a text for each number of a table that another table of the paper has otherwise.

        Like ``NUS-WIDE, DPSH, VGG11, 24, DHTA, t-MAP: 75.52 here, 75.60 in table5``.
        """
        here = self.numbers["table"] == table
        both = self.numbers[here].merge(self.numbers[~here], on=self.all_keys, suffixes=("", "_2"))
        texts = []
        for row in both[both["published"] != both["published_2"]].to_dict("records"):
            keys = ", ".join(filter(None, dict.fromkeys(row[key] for key in self.all_keys)))
            own, other = (
                f"{row[name]:{self.metrics[row['metric']].format}}"
                for name in ("published", "published_2")
            )
            texts.append(f"{keys}: {own} here, {other} in {row['table_2']}")
        return texts

    def blank_sources(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return numbers by keys, without the source where the paper gives none."""
        sources = [key for key, column in self.keys.items() if column.startswith("source")]
        frame[sources] = frame[sources].mask(frame["attack"].isin(self.without_source), "")
        return frame.fillna(dict.fromkeys(self.keys, ""))

    @classmethod
    def read(cls, file: Path) -> Paper:
        """Return the paper of a YAML file and the CSV beside it, where there is one.

        Raises:
            PaperError: one of them is not as it must be.
        """
        try:
            paper = cls.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
        except (ValidationError, yaml.YAMLError) as error:
            raise PaperError(f"{file}: {error}") from None
        numbers, columns = file.with_suffix(".csv"), ["table", *paper.all_keys, "value"]
        frame = pd.DataFrame(columns=columns, dtype="string")
        frame = pd.read_csv(numbers, dtype="string") if numbers.is_file() else frame
        if missing := [name for name in columns if name not in frame]:
            raise PaperError(f"{numbers}: no column {', '.join(missing)}")
        frame = frame[columns].astype({"value": "float64"}).rename(columns={"value": "published"})
        paper._numbers = paper.blank_sources(frame)
        return paper


def papers() -> list[Paper]:
    """Return all papers, in the order of their files' names."""
    return _read(FOLDER)


@functools.cache
def _read(folder: Path) -> list[Paper]:
    return [Paper.read(file) for file in sorted(folder.glob("*.yaml"))]


def tables() -> dict[str, tuple[Paper, Layout]]:
    """Return every table a suite can name, with its paper, by id.

    Raises:
        PaperError: two papers have a table of one id.
    """
    found: dict[str, tuple[Paper, Layout]] = {}
    for paper in papers():
        for layout in paper.tables:
            if layout.id in found:
                raise PaperError(f"two papers have a table '{layout.id}'; rename one")
            found[layout.id] = paper, layout
    return found
