"""Examination of a data set: its statistics, and every fault at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from hashattack.datasets.base import (
    SPLITS,
    DatasetError,
    Inspection,
    SplitName,
    UInt8Array,
    first_few,
    listed_twice,
    same_content,
)
from hashattack.datasets.draws import QUERIES_AT_ONCE, Policy, allowed_rows, eligible_rows

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """A finding of the examination; one of level ``error`` stops a run."""

    level: Level
    text: str


@dataclass(frozen=True)
class PolicyLine:
    """The rows a target-label policy draws from, and its chance t-MAP."""

    policy: Policy
    rows: int  # eligible label rows
    chance: float | None  # in [0, 1], expected over the draw


@dataclass(frozen=True)
class Diagnosis:
    """The result of an examination."""

    name: str
    classes: Sequence[str]
    statistics: Mapping[str, Mapping[SplitName, float]]
    policies: Sequence[PolicyLine]
    findings: Sequence[Finding]

    @property
    def healthy(self) -> bool:
        """Whether no finding would stop a run."""
        return all(finding.level != "error" for finding in self.findings)


def examine(found: Inspection, n_t: int = 9) -> Diagnosis:
    """Examine a data set for anchor codes of ``n_t`` votes."""
    identities = {
        name: [
            content or f"path {place}"
            for content, place in zip(found.contents[name], found.places[name], strict=True)
        ]
        for name in found.labels
    }
    lengths = {matrix.shape[1] for matrix in found.labels.values() if len(matrix)}
    policies, faults = _policies(found.labels, n_t) if len(lengths) == 1 else ([], [])
    findings = [
        *(Finding("error", fault) for fault in found.faults),
        *(Finding("warning", fault) for fault in faults),
        *_absent(found),
        *_sizes(found),
        *_overlaps(found, identities),
        *_labels(found),
        *_names(found),
        *_duplicates(found, identities),
    ]
    return Diagnosis(
        name=found.name,
        classes=found.classes,
        statistics=_statistics(found.labels, identities, n_t),
        policies=policies,
        findings=findings,
    )


def _statistics(
    labels: Mapping[SplitName, UInt8Array], identities: Mapping[SplitName, list[str]], n_t: int
) -> dict[str, dict[SplitName, float]]:
    statistics: dict[str, dict[SplitName, float]] = {}
    for name, matrix in labels.items():
        rows, counts = np.unique(matrix, axis=0, return_counts=True)
        frequent = counts > n_t
        column = {
            "images": len(matrix),
            "unique images": len(set(identities[name])),
            "labels per image": float(matrix.sum(axis=1).mean()) if len(matrix) else 0.0,
            "without any label": int((~matrix.any(axis=1)).sum()),
            "unique label rows": len(rows),
            "rows with more than 1 image": int((counts > 1).sum()),
            f"rows with more than {n_t} images": int(frequent.sum()),
            "of these eligible as targets": int((frequent & rows.any(axis=1)).sum()),
        }
        for statistic, value in column.items():
            statistics.setdefault(statistic, {})[name] = value
    return statistics


def chance_of(relevant: npt.NDArray[np.int64], total: int) -> npt.NDArray[np.float64]:
    """Return the expected AP of a random ranking of ``total`` items, for relevant counts [n].

    The tie-expected AP with all codes equal: ((1 − k)·H(N) + k·N) / N with
    k = (R − 1)/(N − 1); 0 where nothing is relevant.
    """
    harmonic = float((1 / np.arange(1, total + 1)).sum())
    k = (relevant - 1) / max(1, total - 1)
    expected: npt.NDArray[np.float64] = ((1 - k) * harmonic + k * total) / total
    return np.where(relevant > 0, expected, 0.0)


def _policies(
    labels: Mapping[SplitName, UInt8Array], n_t: int
) -> tuple[list[PolicyLine], list[str]]:
    if not all(len(labels.get(name, ())) for name in SPLITS):
        return [], []
    database, query = labels["database"].astype(np.float32), labels["query"]
    lines, faults = [], []
    for policy in get_args(Policy):
        try:
            rows = eligible_rows(policy, labels["database"], labels["train"], n_t)
        except DatasetError as error:
            faults.append(str(error))
            continue
        floating = rows.astype(np.float32)
        relevant = np.zeros(len(rows), dtype=np.int64)
        for part in np.array_split(database, max(1, len(database) // 10_000)):
            relevant += (floating @ part.T > 0).sum(axis=1)
        chance = chance_of(relevant, len(database))
        means, stuck = [], 0
        for first in range(0, len(query), QUERIES_AT_ONCE):
            allowed = allowed_rows(policy, rows, query[first : first + QUERIES_AT_ONCE])
            counts = allowed.sum(axis=1)
            stuck += int((counts == 0).sum())
            means += ((allowed @ chance)[counts > 0] / counts[counts > 0]).tolist()
        if stuck:
            faults.append(f"policy {policy!r}: no eligible target label for {stuck} queries")
        lines.append(PolicyLine(policy, len(rows), float(np.mean(means)) if means else None))
    return lines, faults


def _absent(found: Inspection) -> Iterator[Finding]:
    for name, contents in found.contents.items():
        missing = [
            place
            for place, content in zip(found.places[name], contents, strict=True)
            if content is None
        ]
        if missing:
            text = f"{len(missing)} of {len(contents)} {name} images are not in {found.folder}"
            yield Finding("error", f"{text}: {first_few(missing)}")


def _sizes(found: Inspection) -> Iterator[Finding]:
    for name, size in found.expected.items():
        there = len(found.labels.get(name, ()))
        if there != size:
            yield Finding("warning", f"{name} has {there} images; the paper's has {size}")


def _overlaps(found: Inspection, identities: Mapping[SplitName, list[str]]) -> Iterator[Finding]:
    named = {
        name: list(zip(found.places[name], contents, strict=True))
        for name, contents in identities.items()
    }
    for name in ("database", "train"):
        shared = same_content(named.get("query", ()), named.get(name, ()))
        if shared:
            text = f"{len(shared)} query images are also in the {name} split: {first_few(shared)}"
            allowed = Finding("warning", f"{text}; allowed")
            refused = Finding("error", f"{text} (parameter allow_overlap)")
            yield allowed if found.overlap_allowed else refused
    outside = set(identities.get("train", ())) - set(identities.get("database", ()))
    if outside and "database" in identities:
        yield Finding("note", f"{len(outside)} training images are not in the database")


def _labels(found: Inspection) -> Iterator[Finding]:
    for name, matrix in found.labels.items():
        empty = ~matrix.any(axis=1)
        if empty.any():
            text = f"{int(empty.sum())} of {len(matrix)} {name} images carry no label"
            if name == "query":
                cap = 100 * (1 - empty.mean())
                text += f": their AP is 0, and MAP is at most {cap:.1f} %"
            yield Finding("note", text)
        unused = [found.classes[column] for column in np.flatnonzero(~matrix.any(axis=0))]
        if unused and len(matrix):
            yield Finding("warning", f"no {name} image carries {first_few(unused)}")


def _names(found: Inspection) -> Iterator[Finding]:
    if not found.named:
        text = "the lists name no labels: a classes.txt beside them gives reports their names"
        yield Finding("note", f"{text}, a line for each of {len(found.classes)} columns")


def _duplicates(found: Inspection, identities: Mapping[SplitName, list[str]]) -> Iterator[Finding]:
    rows: dict[str, set[bytes]] = {}
    for name in (name for name in SPLITS if name in identities):
        repeated = listed_twice(found.places[name])
        if repeated:
            text = f"the {name} list has {len(repeated)} images more than once"
            yield Finding("warning", f"{text}: {first_few(repeated)}")
        unique = dict(zip(found.places[name], identities[name], strict=True))
        extra = len(unique) - len(set(unique.values()))
        if extra:
            others: dict[str, str] = {}
            twins = [
                f"{place} (the same content as {others[identity]})"
                for place, identity in unique.items()
                if others.setdefault(identity, place) != place
            ]
            text = f"{extra} {name} images repeat another of that split under another name"
            yield Finding("note", f"{text}: {first_few(twins)}")
        for identity, row in zip(identities[name], found.labels[name], strict=True):
            rows.setdefault(identity, set()).add(row.tobytes())
    contradicting = sum(len(label_rows) > 1 for label_rows in rows.values())
    if contradicting:
        yield Finding("warning", f"{contradicting} images are listed with different label rows")
