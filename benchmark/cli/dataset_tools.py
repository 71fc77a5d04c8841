"""Data sets on the command line: one by name and parameters, its examination, its lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from hashattack.benchmark.names import lookup
from hashattack.benchmark.registry import registry
from hashattack.benchmark.suites.loading import rooted
from hashattack.benchmark.suites.parameters import construct, parse_params
from hashattack.datasets.base import SPLITS, DatasetError, DatasetSpec, seeded_splits
from hashattack.datasets.doctor import Diagnosis
from hashattack.datasets.image_lists import write_pair
from hashattack.datasets.image_sets import PublishedData
from hashattack.datasets.official import READERS

_FILE_NAMES = {"train": "train", "query": "test", "database": "database"}  # as released


def dataset_spec(name: str, params: Sequence[str], data_root: Path | None) -> DatasetSpec:
    """Return the data set of that name with parameters ``name=value``.

    Raises:
        SuiteError: an unknown parameter or a bad value.
    """
    cls = lookup("data set", name, registry().datasets)
    values: dict[str, Any] = rooted(cls, {}, data_root)
    spec: DatasetSpec = construct(cls, {**values, **parse_params(params)}, "--param")
    return spec


def diagnosis_table(diagnosis: Diagnosis) -> str:
    """Return an examination as text."""
    splits = [name for name in SPLITS if name in diagnosis.statistics["images"]]
    rows = [
        (name, *(f"{row[split]:,.6g}" for split in splits))
        for name, row in diagnosis.statistics.items()
    ]
    policies = [
        (line.policy, line.rows, "" if line.chance is None else f"{100 * line.chance:.1f}")
        for line in diagnosis.policies
    ]
    parts = [
        f"{diagnosis.name}: {diagnosis.classes} classes",
        tabulate(
            rows, ["", *splits], tablefmt="simple", colalign=("left", *["right"] * len(splits))
        ),
    ]
    if policies:
        header = ["target labels", "label rows", "chance t-MAP (%)"]
        parts.append(tabulate(policies, header, tablefmt="simple"))
    parts.append("\n".join(f"{found.level}: {found.text}" for found in diagnosis.findings))
    return "\n\n".join(part for part in parts if part)


def write_lists(name: str, official: Path, to: Path, seed: int) -> Iterator[str]:
    """Write split lists of the paper's sizes, drawn by a seed, and yield what was written.

    Raises:
        DatasetError: official files that are not there or of another size.
    """
    reader = lookup("data set with official files", name, READERS)
    cls = registry().datasets[name]
    assert issubclass(cls, PublishedData)
    listed = reader(official)
    sizes = cls.expected
    wanted = sizes["query"] + sizes["database"]
    if len(listed) != wanted:
        raise DatasetError(
            f"{official}: {len(listed)} labelled images, but {name} has {wanted}; are all official "
            "files there and whole?"
        )
    rows = seeded_splits(len(listed), n_query=sizes["query"], n_train=sizes["train"], seed=seed)
    for split in SPLITS:
        write_pair(listed.take(rows[split].tolist()), to, _FILE_NAMES[split])
        yield f"{to / _FILE_NAMES[split]}_img.txt, …_label.txt: {len(rows[split])} images"
    (to / "classes.txt").write_text("\n".join(listed.classes) + "\n", encoding="utf-8")
    yield f"{to / 'classes.txt'}: {len(listed.classes)} classes; put the images below {to}"
