"""State dicts in the files of other programs, read so that nothing in them is executed."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from hashattack.targets.backbones import TargetError

_WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys of training scripts
_WRAPPED = 2  # how deep
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_NUMBERS = (*_FLOATS, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_SHOWN = 3  # faulty tensors in a message


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a ``.safetensors`` or torch file, without executing it.

    The mappings that training scripts put around it and the prefix of DataParallel are taken off;
    floating-point numbers come as float32.

    Raises:
        TargetError: it cannot be read so, or holds something else, or numbers that are no weights.
    """
    with _reading(path):
        state: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    for _ in range(_WRAPPED):
        inner = [state[name] for name in _WRAPPERS if name in state] if _is_dict(state) else []
        state = next(filter(_is_dict, inner), state)
    if not (_is_dict(state) and all(isinstance(value, Tensor) for value in state.values())):
        raise TargetError(f"{path} holds no state dict (a mapping of names to tensors)")
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    faults = [f"{name} {fault}" for name, tensor in state.items() if (fault := _fault(tensor))]
    if faults:
        raise TargetError(f"{path}: {'; '.join(faults[:_SHOWN])}")
    return {name: _plain(tensor) for name, tensor in state.items()}


@functools.cache
def code_length(path: Path, sha256: str) -> int:  # noqa: ARG001 - the content is in the key
    """Return the code length of a hasher's file; of ``.safetensors`` only the header is read.

    Raises:
        TargetError: it cannot be read, or has no hash layer.
    """
    name, shape = "hash_layer.weight", list[int]()
    if path.suffix == ".safetensors":
        with _reading(path), safe_open(path, "pt") as file:
            shape = file.get_slice(name).get_shape() if name in file.keys() else []  # noqa: SIM118
    else:
        shape = list(read_state(path).get(name, torch.zeros(())).shape)
    if len(shape) != 2:
        raise TargetError(f"{path} has no hash layer; import-target makes a file that has one")
    return shape[0]


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say what a reader raises in a sentence of ours: torch's advises to execute the file."""
    if not path.is_file():
        raise TargetError(f"{path}: no such file")
    with path.open("rb"):  # an error of the system is no damage
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception:  # noqa: BLE001 - readers raise anything on a damaged file
        raise TargetError(
            f"{path} is no state dict that can be read without executing it: it is damaged, or has "
            "more than tensors in it; save model.state_dict()"
        ) from None


def _is_dict(value: Any) -> TypeGuard[dict[str, Any]]:
    """Return whether a value is a mapping of names that can be printed."""
    names = list(value) if isinstance(value, dict) else [None]
    return bool(names) and all(isinstance(name, str) and name.isprintable() for name in names)


def _fault(tensor: Tensor) -> str | None:
    """Return why a tensor cannot be weights, or None."""
    kind = str(tensor.dtype).removeprefix("torch.")
    odd = tensor.layout != torch.strided or tensor.is_nested or tensor.is_meta
    if odd or tensor.dtype not in _NUMBERS:
        return f"is no tensor of plain real numbers ({kind})"
    if tensor.nbytes > tensor.untyped_storage().nbytes():
        return "repeats its numbers without holding them: save it as .contiguous()"
    return None if bool(_plain(tensor).isfinite().all()) else "has values that are NaN or infinite"


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().float() if tensor.is_floating_point() else tensor.detach()
