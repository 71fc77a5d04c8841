"""Images that lie as files: framed as the paper frames them, decoded, and hashed.

An image is decoded to what a viewer shows: upright, on white where it is transparent. Framing
resizes the short side (bilinear, antialiased) and crops the centre, without augmentation.
Paths come from list files, so a path that leaves its root is refused, and so is an image above the
pixel cap before it is decoded.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from filelock import FileLock
from PIL import Image, ImageOps

from hashattack.datasets.base import DatasetError, IntArray, UInt8Array
from hashattack.datasets.files import read_checked, replacing, write_checked

logger = logging.getLogger(__name__)
_DECODED_AT_ONCE = 256
_HASHING_THREADS = 8
PIXEL_CAP = 100_000_000  # a photograph has 12 to 50 million
DECODING = 2  # part of a data set's fingerprint; raise it when files come out as other pixels
# Pillow runs Ghostscript to read EPS, for example.
_FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_WITH_A_WHITE = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")


@dataclass(frozen=True)
class Framing:
    """From an image of any size to ``[3, side, side]``."""

    resize: int = 256  # the short side
    side: int = 224

    def __post_init__(self) -> None:
        if not 0 < self.side <= self.resize:
            raise DatasetError(f"needs 0 < side <= resize, got {self}")

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return width and height after resizing the short side."""
        short = min(size)
        return int(self.resize * size[0] / short), int(self.resize * size[1] / short)

    def apply(self, image: Image.Image) -> UInt8Array:
        """Return the framed pixels, uint8 RGB ``[3, side, side]``."""
        image = as_seen(image)
        size = self.resized(image.size)
        if size != image.size:
            image = image.resize(size, Image.Resampling.BILINEAR)
        left, top = (round((length - self.side) / 2) for length in size)
        image = image.crop((left, top, left + self.side, top + self.side))
        return np.ascontiguousarray(np.asarray(image, dtype=np.uint8).transpose(2, 0, 1))


def as_seen(image: Image.Image) -> Image.Image:
    """Return an image as a viewer shows it: RGB, upright, on white where it is transparent.

    Raises:
        ValueError: its format does not say which number is white.
    """
    image.load()
    with contextlib.suppress(Exception):  # damaged EXIF data turns nothing
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "I;16" and image.format == "PNG" and "transparency" not in image.info:
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.mode not in _WITH_A_WHITE:
        raise ValueError(f"mode {image.mode} does not say what is white; save it as 8-bit RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def decode(path: Path, framing: Framing) -> UInt8Array:
    """Return one image file as uint8 RGB ``[3, side, side]``.

    Raises:
        DatasetError: missing, unreadable, truncated or enormous, with the file's name.
    """
    try:
        with Image.open(path, formats=_FORMATS) as image:
            for width, height in (image.size, framing.resized(image.size)):
                if width * height > PIXEL_CAP:  # a strip of one pixel grows when it is resized
                    raise DatasetError(
                        f"{path}: {width} x {height} pixels are more than the cap of "
                        f"{PIXEL_CAP:,}; scale the image down or remove it from the lists"
                    )
            return framing.apply(image)
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such image") from None
    except (DatasetError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - the readers of formats raise anything
        raise DatasetError(f"{path}: not a readable image ({error})") from None


@dataclass(frozen=True)
class ImageFiles:
    """Image files below a root, in the order of a list, decoded in parallel when read."""

    root: Path
    paths: tuple[str, ...]
    framing: Framing
    workers: int = field(default=4, compare=False)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, rows: IntArray) -> UInt8Array:
        """Return the images of the given rows, uint8 ``[len(rows), 3, side, side]``.

        Raises:
            DatasetError: the first one that cannot be read.
        """
        side = self.framing.side
        images = np.empty((len(rows), 3, side, side), dtype=np.uint8)

        def load(place: int) -> None:
            images[place] = decode(self.root / self.paths[int(rows[place])], self.framing)

        with ThreadPoolExecutor(max(1, self.workers)) as pool:  # decoding releases Python's lock
            list(pool.map(load, range(len(rows))))
        return images


def path_fault(path: str) -> str | None:
    """Return what is wrong with a path from a list, or None."""
    pure = PurePosixPath(path)
    if not path:
        return "an empty path"
    if pure.is_absolute() or "\\" in path or ":" in path.split("/")[0]:
        return f"'{path}' is not relative to the image folder"
    if any(ord(character) < 32 for character in path):
        return f"{path!r} holds control characters"
    if ".." in pure.parts:
        return f"'{path}' leaves the image folder"
    return None


def outside(root: Path, path: str) -> bool:
    """Return whether a path, its links followed, lies outside of the root."""
    return not (root / path).resolve().is_relative_to(root.resolve())


@dataclass(frozen=True)
class DecodedImages:
    """Image files decoded into one memory-mapped cache file at the first read.

    An image and its checksum have a row each in the file. A damaged image is decoded anew whenever
    it is read, a file of another size once.
    """

    files: ImageFiles
    path: Path

    def __len__(self) -> int:
        return len(self.files)

    def read(self, rows: IntArray) -> UInt8Array:
        """Return the images of the given rows, uint8 ``[len(rows), 3, side, side]``."""
        images = np.ascontiguousarray(self._kept["image"][rows])
        with ThreadPoolExecutor(max(1, self.files.workers)) as pool:  # it releases Python's lock
            sums = list(pool.map(zlib.crc32, images))
        damaged = np.flatnonzero(self._kept["checksum"][rows] != np.array(sums, dtype=np.uint32))
        if len(damaged):
            logger.warning("%s: %d damaged images are decoded again", self.path, len(damaged))
            images[damaged] = self.files.read(rows[damaged])
        return images

    @cached_property
    def _kept(self) -> npt.NDArray[np.void]:
        """Return all images with checksums, memory-mapped; one process decodes, others wait."""
        row = _row(self.files)
        size = len(self.files) * row.itemsize
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.path}.lock"):
            if not self.path.is_file() or self.path.stat().st_size != size:
                _decode(self.files, self.path)
        return np.memmap(self.path, row, "r", shape=len(self.files))


def _row(files: ImageFiles) -> np.dtype[np.void]:
    """Return the type of a decoded image and its CRC-32 in a cache file."""
    side = files.framing.side
    return np.dtype([("checksum", "<u4"), ("image", "u1", (3, side, side))])


def _decode(files: ImageFiles, path: Path) -> None:
    size = len(files) * _row(files).itemsize
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise DatasetError(
            f"{path.parent}: {len(files)} decoded images need {size / 1e9:.1f} GB, but "
            f"{free / 1e9:.1f} GB are free; leave out 'decoded', or use another --cache"
        )
    logger.info("decoding %d images into %s (%.1f GB)", len(files), path, size / 1e9)
    with replacing(path) as file:
        for first in range(0, len(files), _DECODED_AT_ONCE):
            rows = np.arange(first, min(first + _DECODED_AT_ONCE, len(files)))
            kept = np.empty(len(rows), _row(files))
            kept["image"] = files.read(rows)
            kept["checksum"] = [zlib.crc32(image) for image in kept["image"]]
            file.write(kept.tobytes())


def content_hashes(root: Path, paths: Sequence[str], cache: Path) -> dict[str, str | None]:
    """Return the SHA-256 of every file below ``root``; None for a missing one.

    A file outside the root (through a link) counts as missing. Hashes are kept in the cache: a
    file of unchanged size and modification time is not read again.
    """
    name = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
    index = cache / "contents" / f"{name}.json"
    known: dict[str, list[int | str]] = read_checked(index) or {}
    unique = sorted(set(paths))

    def entry_of(path: str) -> list[int | str] | None:
        try:
            status = (root / path).stat()
        except OSError:
            return None
        seen = known.get(path)
        if seen is not None and seen[:2] == [status.st_size, status.st_mtime_ns]:
            return seen
        if outside(root, path) or not (root / path).is_file():
            return None
        with (root / path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return [status.st_size, status.st_mtime_ns, digest]

    with ThreadPoolExecutor(_HASHING_THREADS) as pool:
        found = dict(zip(unique, pool.map(entry_of, unique), strict=True))
    fresh = {path: entry for path, entry in found.items() if entry is not None}
    if any(known.get(path) != entry for path, entry in fresh.items()):
        write_checked(index, {**known, **fresh})
    return {path: str(fresh[path][2]) if path in fresh else None for path in found}
