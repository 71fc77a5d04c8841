"""A folder of photographs made here, with its lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from hashattack.datasets.doctor import Diagnosis
from hashattack.datasets.image_sets import FolderData

Pixels = npt.NDArray[np.uint8]


def photograph(path: Path, seed: int, size: tuple[int, int] = (40, 30)) -> Pixels:
    """Write a random PNG and return its pixels, ``[height, width, 3]``."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def photo_folder(root: Path) -> Path:
    """Fill a root with 12 images of 3 classes: 3 queries, 9 in the database, 4 of them train."""
    rows = [(f"img/{number}.png", number) for number in range(12)]
    for path, number in rows:
        photograph(root / path, number)
    parts = {"test": rows[:3], "database": rows[3:], "train": rows[3:7]}
    for name, part in parts.items():
        lines = [f"{path} {int(n % 2)} {int(n % 3 == 0)} 1\n" for path, n in part]
        (root / f"{name}.txt").write_text("".join(lines))
    return root


def spec(root: Path, **changes: Any) -> FolderData:
    return FolderData(**{"root": str(root), "resize": 32, "side": 32, **changes})


def texts(diagnosis: Diagnosis) -> list[str]:
    return [finding.text for finding in diagnosis.findings]
