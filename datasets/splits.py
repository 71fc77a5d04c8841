"""Seeded splits of one list of images into query, database and train."""

from __future__ import annotations

import numpy as np

from hashattack.datasets.base import DatasetError, IntArray, SplitName
from hashattack.datasets.seeds import generator


def seeded_splits(
    count: int, *, n_query: int, n_train: int, seed: int
) -> dict[SplitName, IntArray]:
    """Return the rows of each split, ascending: queries apart, training images of the database.

    Raises:
        DatasetError: more asked than there is.
    """
    if not (1 <= n_query < count and 1 <= n_train <= count - n_query):
        raise DatasetError(
            f"cannot split {count} images into {n_query} queries and a database that holds "
            f"{n_train} training images; lower n_query or n_train"
        )
    order = generator(seed, "splits").permutation(count)
    query, database = order[:n_query], order[n_query:]
    return {
        "query": np.sort(query),
        "database": np.sort(database),
        "train": np.sort(database[:n_train]),
    }
