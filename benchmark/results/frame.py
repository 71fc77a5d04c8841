"""Result rows as a table. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hashattack.benchmark.columns import DTYPES
from hashattack.benchmark.results.manifest import MISSING, result_rows

_ABSENT = {"role": "", "overrides": "", "variant": "", "shortened": False}


def frame_of(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows as a table, columns and types always those of ``columns.yaml``."""
    return pd.DataFrame(list(rows), columns=list(DTYPES)).astype(DTYPES).fillna(_ABSENT)


def load_results(folder: Path | str) -> pd.DataFrame:
    """Return the results of an output folder as a tidy table: one row per cell that ended.

    Its columns are those of ``results.csv``, always the same: what was run (``attack``,
    ``source``, ``victim``, …), its ``status`` and ``reason``, and what was measured (``t_map``,
    ``map``, ``perceptibility``, ``linf``, …; fractions in [0, 1]). A row that is not ok lacks
    what was not measured.

    Raises:
        NoRunError: the folder holds no run.
        DamagedRunError: the list of its cells is damaged.
        FolderFormatError: another version of this program wrote it.

    Examples:
        >>> load_results("results/smoke").query("status == 'ok'")["attack"].nunique()
        9
    """
    cells = frame_of(result_rows(Path(folder)))
    return cells[cells["status"] != MISSING].reset_index(drop=True)
