"""The stage of pictures: some queries, an attack's images of them, and what each retrieves."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image

from hashattack.benchmark.jobs import Context, OnData, Output, implements
from hashattack.benchmark.pipeline import STAGES
from hashattack.benchmark.search import search
from hashattack.datasets.base import Images, UInt8Array
from hashattack.datasets.seeds import generator

TOP = 10
_THUMBNAIL = 96  # pixels a side, at most


@dataclass(frozen=True, kw_only=True)
class Gallery(OnData):
    """Keep a handful of queries, drawn by a seed and not by success."""

    n_queries: int
    count: int
    seed: int
    of: str = field(metadata={"key": False})  # for messages; the inputs' keys say it already


@implements(STAGES["gallery"], Gallery, label=lambda task: f"pictures of {task.of}")
def gallery(task: Gallery, context: Context) -> Output:
    """Store uint8 pictures of ``count`` queries g.

    ``query`` and ``adversarial`` ``[g, 3, S, S]``; ``before`` and ``after`` ``[g, 10, 3, s, s]``,
    the first results by stable order, and of each ``…_hits`` ``[g, 10]``, whether it shares a label
    with the target, ``…_labels`` ``[g, 10, C]``, its label row, and ``…_distances``
    ``[g, 10]``, the Hamming distance of its code to the query's in bits; ``own`` and ``targets``
    label rows ``[g, C]``; ``rows`` of the queries ``[g]``.
    """
    data = task.data(context)
    draws = generator(task.seed, "gallery")
    count = min(task.count, task.n_queries)
    rows = np.sort(draws.choice(task.n_queries, size=count, replace=False))
    targets = context.arrays("targets")["targets"][rows]
    crafted = context.arrays("images")["images"][rows]
    arrays = {
        "rows": rows,
        "own": np.asarray(data.query.labels[rows]),
        "targets": targets,
        "query": data.query.images.read(rows),
        "adversarial": np.rint(255 * np.clip(crafted, 0, 1)).astype(np.uint8),
    }
    database, labels = context.arrays("database")["codes"], np.asarray(data.database.labels)
    for when, role in (("before", "clean"), ("after", "codes")):
        codes = context.arrays(role)["codes"][rows]
        first = search(codes, database, TOP)
        distances = (codes[:, None] != database[first]).sum(axis=2)
        arrays[when] = _thumbnails(data.database.images, first)
        arrays[f"{when}_labels"] = labels[first]
        arrays[f"{when}_hits"] = (labels[first] & targets[:, None]).any(axis=2)
        arrays[f"{when}_distances"] = distances
    return Output(arrays)


def _thumbnails(images: Images, rows: npt.NDArray[np.int64]) -> UInt8Array:
    """Return the images of rows ``[g, 10]``, made small."""
    flat = images.read(rows.ravel())
    side = min(_THUMBNAIL, flat.shape[-1])
    if side < flat.shape[-1]:
        small = [
            np.asarray(Image.fromarray(image.transpose(1, 2, 0)).resize((side, side)))
            for image in flat
        ]
        flat = np.stack(small).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(flat).reshape(*rows.shape, *flat.shape[1:])
