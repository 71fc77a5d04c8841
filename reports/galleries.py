"""Galleries: what an attack did to some queries, and what they retrieve before and after."""

from __future__ import annotations

import base64
import functools
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from hashattack.benchmark.names import REFERENCE, counted
from hashattack.benchmark.store.store import Arrays
from hashattack.datasets.base import UInt8Array
from hashattack.reports.captions import labels_name, protocol_text
from hashattack.reports.names import Names
from hashattack.reports.results import Runs

_DARKEST = 10  # the largest factor by which a perturbation is shown
_SIDE = 96  # pixels of a thumbnail, at most
_QUALITY = 75  # of WebP: a kilobyte per thumbnail
_NAMED = 3  # labels of an image that are shown
IN_PAGE = 40  # galleries: 40 kB each of two queries of 64 pixels a side, 110 kB of 224
Place = tuple[str, ...]  # what a gallery and a line of a board have in common


@dataclass(frozen=True)
class Shown:
    """An image ``[3, S, S]``, uint8, with the names of its labels; "" where they are not known."""

    pixels: UInt8Array
    labels: str = ""

    @property
    def side(self) -> int:
        """Pixels a side in the page."""
        return min(_SIDE, len(self.pixels[0]))

    @property
    def uri(self) -> str:
        """The image for the page, which holds it itself."""
        return _uri(self.pixels.tobytes(), self.pixels.shape[-1])


@dataclass(frozen=True)
class Result(Shown):
    """A retrieved image.

    Attributes:
        hit: whether it carries a label that counts: the target's, or the query's own.
        distance: of its code to the query's, in bits; None in runs of earlier versions.
    """

    hit: bool = False
    distance: int | None = None

    @property
    def mark(self) -> str:
        """What stands under it: not by colour alone."""
        mark = "\N{CHECK MARK}" if self.hit else "\N{EN DASH}"
        return mark if self.distance is None else f"{mark} {counted(self.distance, 'bit')}"

    @property
    def text(self) -> str:
        """What it is, for readers who cannot see it."""
        kind = "relevant" if self.hit else "other"
        return ": ".join(filter(None, (kind, self.labels)))


@dataclass(frozen=True)
class Query:
    """A query, an attack's image of it, and what both retrieve.

    Attributes:
        query, adversarial: the images; the labels of ``adversarial`` are the target's, "" where the
            attack is non-targeted.
        perturbation: the change, amplified around grey.
        largest: the largest change of a pixel, of 255.
        several: whether there is more than one label that counts.
        before, after: the first results of both.
    """

    query: Shown
    adversarial: Shown
    perturbation: Shown
    largest: int
    several: bool
    before: Sequence[Result]
    after: Sequence[Result]

    @property
    def outcome(self) -> str:
        """How many results carry a label that counts, before and after."""
        before, after = (sum(one.hit for one in side) for side in (self.before, self.after))
        carry = "carry one of them" if self.several else "carry it"
        targeted = bool(self.adversarial.labels)
        labels = self.adversarial.labels if targeted else self.query.labels
        aim = "asked for" if targeted else "moved away from"
        return (
            f"{aim} \N{LEFT DOUBLE QUOTATION MARK}{labels}"
            f"\N{RIGHT DOUBLE QUOTATION MARK}: {before} of {len(self.before)} results {carry} "
            f"before, {after} of {len(self.after)} after"
        )


@dataclass(frozen=True)
class Gallery:
    """The pictures of a cell.

    Attributes:
        name: unique in a report, the stem of its file.
        row: the cell's.
        attack: what its attack is called, with its settings where there are several.
        context: what else it was measured under.
        factor: by which its perturbations are amplified.
        queries: one or more.
    """

    name: str
    row: Mapping[str, Any]
    attack: str
    context: str
    factor: int
    queries: Sequence[Query]

    @property
    def title(self) -> str:
        """The attack on the hasher."""
        return f"{self.attack} on {self.row['source']}"

    @property
    def place(self) -> Place:
        """Where it belongs on a board; seeds share it."""
        return place_of(self.row)

    @property
    def distances(self) -> bool:
        """Whether the distances of its results are known."""
        return self.queries[0].before[0].distance is not None

    @property
    def summary(self) -> str:
        """How many results carry a label that counts, over all of its queries."""
        before, after = (
            sum(one.hit for query in self.queries for one in getattr(query, when))
            for when in ("before", "after")
        )
        total = sum(len(query.before) for query in self.queries)
        label = "target label" if self.row["goal"] == "targeted" else "own label"
        return (
            f"{label} in {before} of {total} results before, {after} of {total} after "
            f"({counted(len(self.queries), 'query')})"
        )


def galleries(runs: Runs, names: Names) -> Iterator[Gallery]:
    """Yield the galleries of all cells of attacks that have pictures.

    Args:
        runs: where they are from.
        names: of the report's attacks.
    """
    for row, arrays, classes in runs.galleries():
        if row["budget_class"] != REFERENCE:
            factor = _factor(arrays)
            context = f"{row['dataset']}, {protocol_text([row])}, {labels_name(row['policy'])}"
            yield Gallery(
                name=_stem(row),
                row=row,
                attack=names.of(row).label,
                context=context,
                factor=factor,
                queries=[
                    _query(number, arrays, classes, factor, targeted=row["goal"] == "targeted")
                    for number in range(len(arrays["rows"]))
                ],
            )


def place_of(row: Mapping[str, Any]) -> Place:
    """Return what a row of results and a gallery of the same cell have in common."""
    names = ("dataset_fingerprint", "protocol", "policy", "attack", "params", "source")
    return tuple(str(row[name]) for name in names)


def _query(
    number: int, arrays: Arrays, classes: Sequence[str], factor: int, *, targeted: bool
) -> Query:
    query, adversarial = arrays["query"][number], arrays["adversarial"][number]
    change = adversarial.astype(np.int16) - query.astype(np.int16)
    target = arrays["targets"][number]
    return Query(
        query=Shown(query, _names(arrays["own"][number], classes)),
        adversarial=Shown(adversarial, _names(target, classes) if targeted else ""),
        perturbation=Shown(np.clip(128 + factor * change, 0, 255).astype(np.uint8)),
        largest=int(np.abs(change).max()),
        several=int(target.sum()) > 1,
        before=_results("before", number, arrays, classes),
        after=_results("after", number, arrays, classes),
    )


def _results(when: str, number: int, arrays: Arrays, classes: Sequence[str]) -> list[Result]:
    """Return the first results; runs of earlier versions have neither labels nor distances."""
    images, hits = arrays[when][number], arrays[f"{when}_hits"][number]
    labels, distances = arrays.get(f"{when}_labels"), arrays.get(f"{when}_distances")
    return [
        Result(
            pixels=image,
            labels="" if labels is None else _names(labels[number, place], classes),
            hit=bool(hits[place]),
            distance=None if distances is None else int(distances[number, place]),
        )
        for place, image in enumerate(images)
    ]


def _factor(arrays: Arrays) -> int:
    """Return one factor for the whole gallery, so that its perturbations can be compared."""
    change = np.abs(arrays["adversarial"].astype(np.int16) - arrays["query"].astype(np.int16))
    return max(1, min(_DARKEST, 127 // max(1, int(change.max()))))


def _names(labels: npt.NDArray[Any], classes: Sequence[str]) -> str:
    """Return the names of a label row, the first few."""
    names = [classes[column] for column in np.flatnonzero(labels).tolist()]
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return ", ".join([*names[:_NAMED], *more]) or "no label"


def _stem(row: Mapping[str, Any]) -> str:
    """Return what the file of a cell is called."""
    parts = [str(row[key]) for key in ("dataset", "attack", "source", "protocol", "policy")]
    parts.append(f"seed{row['target_seed']}.{row['draw_seed']}")
    parts += [row["variant"].replace("=", "").replace(", ", "-")] if row["variant"] else []
    return re.sub(r"[^\w.+-]", "_", "-".join(parts))[:200]


@functools.lru_cache(maxsize=512)  # attacks on a hasher retrieve the same images before
def _uri(pixels: bytes, side: int) -> str:
    image = Image.fromarray(
        np.frombuffer(pixels, np.uint8).reshape(3, side, side).transpose(1, 2, 0)
    )
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, format="webp", quality=_QUALITY, method=6)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
