"""Hashers and trunks to and from named arrays, and foreign weight files into trunks.

The store keeps checkpoints as safetensors; a foreign file is read once, with
``torch.load(weights_only=True)``, so that nothing in it is executed.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from hashattack.targets.backbones import Backbone, TargetError
from hashattack.targets.hasher import Hasher, TargetSpec, build_hasher

Arrays = dict[str, npt.NDArray[Any]]


def state_arrays(module: nn.Module) -> Arrays:
    """Return a module's state, parameters and buffers, as arrays."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in module.state_dict().items()}


def load_state(module: nn.Module, arrays: Arrays, origin: str, *, assign: bool = False) -> None:
    """Load arrays into a module in place.

    With ``assign``, for one that was built on the meta device, it takes the arrays' memory as its
    own.

    Raises:
        TargetError: tensors are missing, left over or of another shape; all are named.
    """
    own = module.state_dict()
    faults = [f"missing: {name}" for name in own if name not in arrays]
    faults += [f"left over: {name}" for name in arrays if name not in own]
    faults += [
        f"{name}: shape {tuple(arrays[name].shape)}, expected {tuple(own[name].shape)}"
        for name in own
        if name in arrays and tuple(arrays[name].shape) != tuple(own[name].shape)
    ]
    if faults:
        raise TargetError(f"{origin} does not fit the network: " + "; ".join(faults))
    tensors = {
        name: torch.from_numpy(array if array.flags.writeable else np.array(array))
        for name, array in arrays.items()
    }
    module.load_state_dict(tensors, assign=assign)


def load_hasher(
    spec: TargetSpec, side: int, arrays: Arrays, *, device: torch.device, dtype: torch.dtype
) -> Hasher:
    """Return a trained hasher: frozen, in evaluation mode, on the device."""
    with torch.device("meta"):  # no random weights are drawn, only to be overwritten
        hasher = build_hasher(spec, side, seed=0)
    load_state(hasher, arrays, f"the checkpoint of {spec.name}", assign=True)
    return hasher.to(device, dtype).eval().requires_grad_(False)


def weights_file(backbone: Backbone, weights: str) -> Path:
    """Return the file that ``weights`` (``imagenet`` or a path) names.

    Raises:
        TargetError: it is not there; the text says where to put it.
    """
    if weights != "imagenet":
        path = Path(weights).expanduser()
        if not path.is_file():
            raise TargetError(f"weights: no file {path} (use imagenet, labels, none or a file)")
        return path
    if backbone.imagenet_file is None:
        raise TargetError(f"{backbone.name} has no ImageNet weights; use weights: labels or none")
    path = Path(torch.hub.get_dir()) / "checkpoints" / backbone.imagenet_file
    if not path.is_file():
        raise TargetError(
            f"the ImageNet weights of {backbone.name} are not in torchvision's cache. Put "
            f"{backbone.imagenet_file} (https://download.pytorch.org/models/"
            f"{backbone.imagenet_file}) at {path}, or name a file with 'weights: PATH', or use "
            "'weights: labels' to pretrain on the data set itself"
        )
    return path


def read_trunk(backbone: Backbone, side: int, path: Path) -> nn.Module:
    """Return a trunk with the weights of a state dict of torchvision's layout (or our own).

    The classification layer of the file is left out. Reads ``.safetensors`` and torch files.
    """
    state = read_state(path)
    trunk, _ = backbone.build(side)
    layers = {name.rpartition(".")[0] for name in trunk.state_dict()}
    classifiers = {"fc"} | {f"classifier.{index}" for index in range(10)}
    spare = {
        name
        for name in state
        if (layer := name.rpartition(".")[0]) in classifiers and layer not in layers
    }
    kept = {name: tensor.numpy() for name, tensor in state.items() if name not in spare}
    load_state(trunk, kept, str(path))
    return trunk


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a ``.safetensors`` or torch file, without executing it.

    Raises:
        TargetError: it cannot be read so, or holds something else.
    """
    try:
        state: dict[str, Tensor] = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (OSError, RuntimeError, pickle.UnpicklingError, SafetensorError, EOFError) as error:
        raise TargetError(
            f"{path} is not a state dict that can be read without executing it: {error}"
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise TargetError(f"{path} holds no state dict (a mapping of names to tensors)")
    return state
