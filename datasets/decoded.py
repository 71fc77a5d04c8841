"""Decoded images in one memory-mapped file, for passes that would decode them again and again."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from filelock import FileLock

from hashattack.datasets.base import DatasetError, IntArray, UInt8Array
from hashattack.datasets.image_files import ImageFiles

logger = logging.getLogger(__name__)
_CHUNK = 256


@dataclass(frozen=True)
class DecodedImages:
    """Image files that are decoded into a cache file the first time one of them is read."""

    files: ImageFiles
    path: Path

    def __len__(self) -> int:
        return len(self.files)

    def read(self, rows: IntArray) -> UInt8Array:
        """Return the images of the given rows, uint8 ``[len(rows), 3, side, side]``."""
        return np.ascontiguousarray(self._array[rows])

    @cached_property
    def _array(self) -> UInt8Array:
        """Return all images, memory-mapped; one process decodes, others wait for it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.path}.lock"):
            if not self.path.is_file():
                _decode(self.files, self.path)
        array: UInt8Array = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return array


def _decode(files: ImageFiles, path: Path) -> None:
    side = files.framing.side
    shape = (len(files), 3, side, side)
    size = int(np.prod(shape))
    free = shutil.disk_usage(path.parent).free
    if size > free:  # a memory map on a full disk kills the process instead of raising
        raise DatasetError(
            f"{path.parent}: {len(files)} decoded images need {size / 1e9:.1f} GB, but "
            f"{free / 1e9:.1f} GB are free; leave out 'decoded', or use another --cache"
        )
    logger.info("decoding %d images into %s (%.1f GB)", len(files), path, size / 1e9)
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
