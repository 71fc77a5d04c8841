"""Images that lie as files: decoded lazily, framed as the paper frames them.

Resize the short side (bilinear, antialiased), crop the centre; no augmentation. Paths come from
list files of strangers, so none may leave its root, and an image over the pixel cap is refused
before it is decoded.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, UnidentifiedImageError

from hashattack.datasets.base import DatasetError, IntArray, UInt8Array

PIXEL_CAP = 100_000_000  # a photograph has 12 to 50 million


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
        image = image.convert("RGB")
        size = self.resized(image.size)
        if size != image.size:
            image = image.resize(size, Image.Resampling.BILINEAR)
        left, top = (round((length - self.side) / 2) for length in size)
        image = image.crop((left, top, left + self.side, top + self.side))
        return np.ascontiguousarray(np.asarray(image, dtype=np.uint8).transpose(2, 0, 1))


def decode(path: Path, framing: Framing) -> UInt8Array:
    """Return one image file as uint8 RGB ``[3, side, side]``.

    Raises:
        DatasetError: missing, unreadable, truncated or enormous, with the file's name.
    """
    try:
        with Image.open(path) as image:
            for width, height in (image.size, framing.resized(image.size)):
                if width * height > PIXEL_CAP:  # a strip of one pixel grows when it is resized
                    raise DatasetError(
                        f"{path}: {width} x {height} pixels are more than the cap of "
                        f"{PIXEL_CAP:,}; scale the image down or remove it from the lists"
                    )
            return framing.apply(image)
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such image") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise DatasetError(f"{path}: not a readable image ({error})") from None
    except Image.DecompressionBombError as error:
        raise DatasetError(f"{path}: {error}") from None


@dataclass(frozen=True)
class ImageFiles:
    """Image files below a root, in the order of a list; decoded in parallel when read."""

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

        if len(rows) < 2 or self.workers < 2:
            for place in range(len(rows)):
                load(place)
        else:  # decoding releases the interpreter's lock
            with ThreadPoolExecutor(min(self.workers, len(rows))) as pool:
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
