"""Arrays from files of other code: .npy, .npz, .safetensors and text; nothing is executed."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from benchmark.outside.errors import OutsideError

IMAGE_FILES = (".npy", ".npz", ".safetensors")
CODE_FILES = (*IMAGE_FILES, ".csv", ".txt")


def read_array(path: Path, name: str) -> npt.NDArray[Any]:
    """Return the array in a file: the only one, or the one of that name.

    Raises:
        OutsideError: it cannot be read, or holds several and none of that name.
    """
    if path.suffix not in CODE_FILES:
        raise OutsideError(f"{path}: expected a file that ends in {', '.join(CODE_FILES)}")
    try:
        if path.suffix == ".npy":
            return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as packed:
                return _one(path, {key: packed[key] for key in packed.files}, name)
        if path.suffix == ".safetensors":
            return _one(path, load_file(path), name)
        return _text(path)
    except (OSError, ValueError, SafetensorError, zipfile.BadZipFile, EOFError) as error:
        told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise OutsideError(f"{path} cannot be read as {path.suffix}: {told}") from None


def _one(path: Path, arrays: dict[str, npt.NDArray[Any]], name: str) -> npt.NDArray[Any]:
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    if name not in arrays:
        raise OutsideError(
            f"{path} holds {len(arrays)} arrays ({', '.join(sorted(arrays))}); leave one, or call "
            f"it '{name}'"
        )
    return arrays[name]


def _text(path: Path) -> npt.NDArray[np.float64]:
    with path.open(encoding="utf-8") as file:
        first = file.readline()
    delimiter = next((sign for sign in (",", ";") if sign in first), None)
    return np.loadtxt(path, delimiter=delimiter, ndmin=2)
