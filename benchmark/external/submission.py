"""Reads the adversarial images or hash codes of other code and checks that they fit the queries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from safetensors import safe_open

from hashattack.benchmark.external import ExternalError
from hashattack.benchmark.external.export import IMAGE
from hashattack.benchmark.store.files import file_sha256
from hashattack.benchmark.store.keys import digest
from hashattack.datasets.base import UInt8Array, first_few
from hashattack.datasets.files import check_readable

Kind = Literal["images", "codes"]
Array = npt.NDArray[Any]
_IMAGE_SUFFIXES = (".npy", ".npz", ".safetensors")
SUFFIXES = {"images": _IMAGE_SUFFIXES, "codes": (*_IMAGE_SUFFIXES, ".csv", ".txt")}
_FLOATS = ("float16", "float32", "float64")
_CONVERT = "save it as float32 (numpy: array.astype('float32'), torch: tensor.float())"
_HALF = 255 / 4096  # in 1/255: half the distance of float16 values below 1
_MARGIN = 0.25  # beyond [0, 1] it is another range: several times any budget that is invisible
_BYTES = 16.0  # no standardised pixel reaches it, and hardly an image of bytes does not


def parse_epsilon(text: str) -> float:
    """Return a budget in pixels of [0, 1] from a text like ``8/255`` or ``0.03``.

    Raises:
        ExternalError: no such number.
    """
    above, slash, below = text.partition("/")
    try:
        value = float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        value = float("nan")
    if not 0 <= value <= 1:
        raise ExternalError(f"--epsilon {text}: expected a number from 0 to 1, like 8/255 or 0.03")
    return value


def content_sha256(path: Path, n_queries: int) -> str:
    """Return the SHA-256 of a file, or of the images of the queries in a folder."""
    if path.is_dir():
        return digest([file_sha256(path / IMAGE.format(row=row)) for row in range(n_queries)])
    return file_sha256(path)


def read_submission(kind: Kind, path: Path, shape: tuple[int, ...]) -> tuple[Array, str]:
    """Return the images or codes of every query, and a note for their rows.

    Images are uint8, float32 or float64 ``[q, 3, S, S]``, from a folder of PNG files named by row
    or from the file of an array; codes are int8 {-1, +1} ``[q, K]``, from a file.

    Raises:
        ExternalError: files are missing, too many or unreadable; an array has another shape, type
            or range. Pixels a little outside [0, 1], or not finite, are left to the audit.
    """
    if kind == "codes":
        return _codes(_read_array(path, kind, shape), path)
    rounded = "images of other code, rounded to 8 bits a channel before they came here"
    if path.is_dir():
        return _read_folder(path, shape), rounded
    array = _read_array(path, kind, shape)
    _check_images(array, path)
    if array.dtype == np.uint8:
        return array, rounded
    if array.dtype == np.float16:
        note = f"in half precision, which rounds a pixel by up to {_HALF:.3f}/255"
        return array.astype(np.float32), f"images of other code, {note}"
    return array, "images of other code"


def _codes(array: Array, path: Path) -> tuple[npt.NDArray[np.int8], str]:
    numbers = array.astype(np.float64)
    if np.isin(numbers, (-1, 1)).all():
        return numbers.astype(np.int8), "codes of other code"
    if np.isin(numbers, (0, 1)).all():
        return (2 * numbers - 1).astype(np.int8), "codes of other code, 0 read as -1"
    odd = np.flatnonzero(~np.isin(numbers, (-1, 1)).all(axis=1)).tolist()
    raise ExternalError(
        f"{path}: codes are -1 and +1 (or 0 and 1 throughout), but {len(odd)} rows hold "
        f"other values ({first_few([f'row {row}' for row in odd])}); take the sign first"
    )


def _check_images(images: Array, path: Path) -> None:
    """Refuse other types than floats and uint8, and values that were never meant as pixels."""
    if images.dtype.name not in (*_FLOATS, "uint8"):
        raise ExternalError(
            f"{path}: {images.dtype}, expected floats in [0, 1], or uint8 in 0 to 255"
        )
    low, high = float(images.min()), float(images.max())
    in_bytes = images.dtype == np.uint8
    if not np.isfinite((low, high)).all() or (in_bytes and high > 1):
        return
    if in_bytes:
        likely = "floats cut to 0 and 1: convert them by (255 * images).round() first"
    elif low >= -_MARGIN and high <= 1 + _MARGIN:
        return
    elif high > _BYTES:
        likely = "0 to 255: divide by 255"
    elif low >= -1 - _MARGIN and high <= 1 + _MARGIN:
        likely = "[-1, 1]: convert it by (images + 1) / 2"
    else:
        likely = "standardised: multiply by the deviation and add the mean it was made with"
    raise ExternalError(
        f"{path}: values from {low:.4g} to {high:.4g}, expected pixels in [0, 1], or uint8 in "
        f"0 to 255; this looks like {likely}"
    )


def _read_array(path: Path, kind: Kind, shape: tuple[int, ...]) -> Array:
    """Return the array in a file, the only one or the one named like its kind.

    No code in the file is executed. It holds booleans, integers, or floats of 16, 32 or 64 bits.
    """
    if path.suffix not in SUFFIXES[kind]:
        folder = "a folder of PNG, or " if kind == "images" else ""
        listed = ", ".join(SUFFIXES[kind])
        raise ExternalError(f"{path}: expected {folder}a file that ends in {listed}")
    with _reading(f"{path} cannot be read as {path.suffix}"):
        check_readable(path)
        array = _load(path, kind)
        if not isinstance(array, np.ndarray):
            raise ExternalError(f"{path} holds no array but {type(array).__name__}")
        native = array.dtype.newbyteorder("=")
        if native.kind not in "biu" and native.name not in _FLOATS:
            raise ExternalError(f"{path}: {array.dtype} cannot be used; {_CONVERT}")
        if array.shape != shape:
            raise ExternalError(f"{path}: shape {array.shape}, expected {shape}")
        return array.astype(native, copy=False)


def _load(path: Path, name: str) -> Any:
    """Return what a file holds, or the array of that name where it holds several."""
    if path.suffix in (".csv", ".txt"):
        with path.open(encoding="utf-8") as file:
            first = file.readline()
        delimiter = next((sign for sign in (",", ";") if sign in first), None)
        return np.loadtxt(path, delimiter=delimiter, ndmin=2)
    if path.suffix == ".npy":
        return np.load(path, mmap_mode="r", allow_pickle=False)
    tensors = path.suffix == ".safetensors"
    opened: Any = safe_open(path, "numpy") if tensors else np.load(path, allow_pickle=False)
    with opened as arrays:
        names = sorted(arrays.keys())
        if len(names) != 1 and name not in names:
            raise ExternalError(
                f"{path} holds {len(names)} arrays ({', '.join(names)}); leave one, or call it "
                f"'{name}'"
            )
        chosen = names[0] if len(names) == 1 else name
        if not tensors:
            return arrays[chosen]
        try:
            return arrays.get_tensor(chosen)
        except (TypeError, AttributeError) as error:  # bfloat16 or float8
            raise ExternalError(f"{path}: {error}; {_CONVERT}") from None


@contextmanager
def _reading(place: str) -> Iterator[None]:
    """Turn any error of a block that reads a file of other code into one that names the file."""
    try:
        yield
    except ExternalError:
        raise
    except Exception as error:  # noqa: BLE001 - formats and their libraries fail in many ways
        message = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ExternalError(f"{place}: {message or type(error).__name__}") from None


def _read_folder(folder: Path, shape: tuple[int, ...]) -> UInt8Array:
    """Return the images of a folder, uint8 ``[q, 3, S, S]``, or raise with every fault."""
    names = [IMAGE.format(row=row) for row in range(shape[0])]
    present = {file.name for file in folder.iterdir() if not file.name.startswith(".")}
    images, unusable = np.zeros(shape, dtype=np.uint8), []
    for row, name in enumerate(names):
        if name in present:
            try:
                images[row] = _read_png(folder / name, shape[-1])
            except ExternalError as error:
                unusable.append(f"{name}: {error}")
    missing, extra = [one for one in names if one not in present], sorted(present - set(names))
    found = {"missing": missing, "of no query": extra, "unusable": unusable}
    faults = [f"{len(some)} {what} ({first_few(some)})" for what, some in found.items() if some]
    if faults:
        raise ExternalError(f"{folder}: {'; '.join(faults)}")
    return images


def _read_png(path: Path, side: int) -> UInt8Array:
    """Return a PNG's pixels, uint8 ``[3, side, side]``."""
    with _reading("a damaged image"):
        check_readable(path)
        try:
            opened = Image.open(path)
        except UnidentifiedImageError:
            raise ExternalError("no image") from None
        with opened as image, path.open("rb") as file:
            # Pillow cuts 16 bits to 8 without notice; the header has the bits per channel.
            depth = file.read(25)[24] if image.format == "PNG" else 8
            if (image.format, image.mode, depth) != ("PNG", "RGB", 8):
                deep = "" if depth == 8 else f" of {depth} bits a channel"
                raise ExternalError(f"{image.format} {image.mode}{deep}, expected an 8-bit RGB PNG")
            if image.size != (side, side):
                width, height = image.size
                raise ExternalError(f"{width} x {height} pixels, expected {side} x {side}")
            return np.asarray(image).transpose(2, 0, 1)
