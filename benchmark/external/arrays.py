"""Arrays from files of other code: .npy, .npz, .safetensors and text; nothing is executed.

Whatever a foreign file does to its reader ends here: :func:`reading` makes of it an error that
names the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

from hashattack.benchmark.external.errors import OutsideError

IMAGE_FILES = (".npy", ".npz", ".safetensors")
CODE_FILES = (*IMAGE_FILES, ".csv", ".txt")
FLOATS = ("float16", "float32", "float64")
_INTEGERS = ("bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
_TENSORS = ("F16", "F32", "F64", "BOOL", *(f"{s}{bits}" for s in "IU" for bits in (8, 16, 32, 64)))
_CONVERT = "save it as float32 (numpy: array.astype('float32'), torch: tensor.float())"


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Let a block read what other code wrote.

    Raises:
        OutsideError: anything went wrong in it: formats and their libraries fail in many ways.
    """
    try:
        yield
    except OutsideError:
        raise
    except Exception as error:  # noqa: BLE001 - a foreign file may do anything
        told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise OutsideError(f"{what}: {told or type(error).__name__}") from None


def read_array(path: Path, name: str) -> npt.NDArray[Any]:
    """Return the array in a file: the only one, or the one of that name.

    It holds booleans, integers, or floats of 16, 32 or 64 bits, in this machine's byte order.

    Raises:
        OutsideError: it cannot be read, holds several and none of that name, or other numbers.
    """
    if path.suffix not in CODE_FILES:
        raise OutsideError(f"{path}: expected a file that ends in {', '.join(CODE_FILES)}")
    with reading(f"{path} cannot be read as {path.suffix}"):
        array = _READERS.get(path.suffix, _text)(path, name)
        if not isinstance(array, np.ndarray):
            raise OutsideError(f"{path} holds no array but {type(array).__name__}")
        native = array.dtype.newbyteorder("=")
        if native.name not in (*FLOATS, *_INTEGERS):
            raise OutsideError(f"{path}: {array.dtype} is not read here; {_CONVERT}")
        return array.astype(native, copy=False)


def _npy(path: Path, _: str) -> Any:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _npz(path: Path, name: str) -> Any:
    with np.load(path, allow_pickle=False) as packed:
        return packed[_one(path, packed.files, name)]


def _safetensors(path: Path, name: str) -> Any:
    with safe_open(path, framework="numpy") as file:
        one = _one(path, list(file.keys()), name)
        kind = file.get_slice(one).get_dtype()
        if kind not in _TENSORS:
            raise OutsideError(f"{path}: {kind} is not read here; {_CONVERT}")
        return file.get_tensor(one)


def _text(path: Path, _: str) -> Any:
    with path.open(encoding="utf-8") as file:
        first = file.readline()
    delimiter = next((sign for sign in (",", ";") if sign in first), None)
    return np.loadtxt(path, delimiter=delimiter, ndmin=2)


_READERS = {".npy": _npy, ".npz": _npz, ".safetensors": _safetensors}


def _one(path: Path, names: list[str], name: str) -> str:
    if len(names) == 1:
        return names[0]
    if name not in names:
        raise OutsideError(
            f"{path} holds {len(names)} arrays ({', '.join(sorted(names))}); leave one, or call "
            f"it '{name}'"
        )
    return name
