"""Decoded images in one memory-mapped file, for passes that would decode them again and again."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

import numpy as np

from datasets.base import ArrayImages
from datasets.image_files import ImageFiles

logger = logging.getLogger(__name__)
_CHUNK = 256


def decoded_images(files: ImageFiles, key: str, cache: Path) -> ArrayImages:
    """Return the images of ``files``, decoded once into ``cache`` under ``key``."""
    path = cache / "decoded" / f"{key}.npy"
    if not path.is_file():
        _decode(files, path)
    return ArrayImages(np.load(path, mmap_mode="r", allow_pickle=False))


def _decode(files: ImageFiles, path: Path) -> None:
    side = files.framing.side
    shape = (len(files), 3, side, side)
    logger.info("decoding %d images into %s (%.1f GB)", len(files), path, np.prod(shape) / 1e9)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    os.close(handle)
    try:
        array = np.lib.format.open_memmap(name, mode="w+", dtype=np.uint8, shape=shape)
        for first in range(0, len(files), _CHUNK):
            rows = np.arange(first, min(first + _CHUNK, len(files)))
            array[rows] = files.read(rows)
        array.flush()
        os.replace(name, path)  # noqa: PTH105 - the atomic call, by its name
    finally:
        Path(name).unlink(missing_ok=True)
