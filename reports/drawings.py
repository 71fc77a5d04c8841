"""Figures are drawn again only where what they show, or the program, has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hashattack.benchmark.store.files import Memo, write_bytes

_NAME = ".drawn.json"


class Drawings:
    """Keeps in a folder what each of its files shows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._memo = Memo(folder / _NAME)
        self._known = self._memo.read()
        self._now: dict[str, str] = {}

    def draw(
        self, names: list[str], shows: list[Any], make: Callable[[], Mapping[str, bytes]]
    ) -> list[Path]:
        """Write files unless they are there and show the same.

        Args:
            names: of the files, below the folder.
            shows: everything they depend on: tables, arrays, texts.
            make: returns their contents by name.
        """
        shown = _digest(shows)
        paths = [self.folder / name for name in names]
        same = all(self._known.get(name) == shown for name in names)
        if not same or not all(path.is_file() for path in paths):
            for name, content in make().items():
                write_bytes(self.folder / name, content)
        self._now.update(dict.fromkeys(names, shown))
        return paths

    def remember(self) -> None:
        """Write down what the files show."""
        if self._now:
            self._memo.write(self._now)


def _digest(things: list[Any]) -> str:
    found = hashlib.sha256()
    for thing in things:
        if isinstance(thing, pd.DataFrame):
            found.update(thing.to_csv(index=False).encode())
        elif isinstance(thing, np.ndarray):
            found.update(f"{thing.dtype} {thing.shape}".encode() + thing.tobytes())
        else:
            found.update(repr(thing).encode())
        found.update(b"\0")
    return found.hexdigest()
