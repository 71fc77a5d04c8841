"""What a code retrieves: the first items of a database by Hamming distance. Imports no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hashattack.datasets.errors import UserError

_ROWS = 128  # queries at a time, which bounds the memory


def search(
    codes: npt.NDArray[Any], database_codes: npt.NDArray[Any], top: int = 10
) -> npt.NDArray[np.int64]:
    """Return the rows of the nearest items of a database, the nearest first, ties in its order.

    Args:
        codes: {-1, +1} ``[q, K]``.
        database_codes: the same ``[n, K]``.
        top: the length of a result list; one longer than the database takes it whole.

    Returns:
        int64 ``[q, min(top, n)]``.

    Raises:
        UserError: the codes differ in length.

    Examples:
        >>> search(np.array([[1, 1]]), np.array([[-1, -1], [1, 1], [1, -1]]), top=2)
        array([[1, 2]])
    """
    if codes.ndim != 2 or codes.shape[1:] != database_codes.shape[1:]:
        raise UserError(
            f"codes {codes.shape} and database codes {database_codes.shape}: expected [q, K] and "
            "[n, K], by one hasher"
        )
    database = database_codes.astype(np.float32).T  # products of codes are exact
    found = [
        np.argsort(-(codes[start : start + _ROWS].astype(np.float32) @ database), kind="stable")
        for start in range(0, max(1, len(codes)), _ROWS)
    ]
    return np.concatenate([order[:, :top] for order in found])
