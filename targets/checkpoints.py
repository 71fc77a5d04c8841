"""Hashers and trunks as named arrays, and those of other programs.

Known layouts: torchvision's with a hash layer in place of the last one, the networks of the
ProS-GAN paper's released code, DeepHash-pytorch's, and our own.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hashattack.targets.backbones import Backbone, TargetError
from hashattack.targets.ensemble import Ensemble, SourceSpec
from hashattack.targets.hasher import LONGEST_CODE, Hasher, Normalise, TargetSpec, build_hasher
from hashattack.targets.losses import HashingMethod
from hashattack.targets.state_dicts import read_state

Arrays = dict[str, npt.NDArray[Any]]
_LATE = 10_000  # a step at which a continuation has begun
_OWN = ("scale", "mean", "std")  # buffers that foreign layouts lack


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
    spec: SourceSpec,
    side: int,
    arrays: Arrays,
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> Hasher:
    """Return a trained hasher or several as one: frozen, in evaluation mode, on the device."""
    with torch.device("meta"):  # no random weights are drawn, only to be overwritten
        members = [build_hasher(one, side, seed=0) for one in spec.members]
        hasher = members[0] if isinstance(spec, TargetSpec) else Ensemble(members)
    load_state(hasher, arrays, f"the checkpoint of {spec.name}", assign=True)
    hasher.name = spec.name
    return hasher.to(device, dtype).eval().requires_grad_(False)


def weights_file(backbone: Backbone, weights: str) -> Path:
    """Return the file that ``weights`` (``imagenet`` or a path) names.

    Raises:
        TargetError: it is not there; the text says where to put it.
    """
    if weights != "imagenet":
        path = Path(weights)
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
    trunk, _ = backbone.build(side)
    own = trunk.state_dict()
    kept = {
        name: tensor.numpy()
        for name, tensor in read_state(path).items()
        if name in own or not re.match(r"(fc|classifier\.\d)\.", name)
    }
    load_state(trunk, kept, str(path))
    return trunk


def foreign_hasher(
    path: Path,
    method: HashingMethod,
    backbone: Backbone,
    *,
    side: int,
    normalise: Normalise = "none",
    scale: float | None = None,
) -> tuple[TargetSpec, Arrays]:
    """Read a foreign checkpoint into our names; nothing in it is executed.

    It was trained as ``method`` and ``backbone``, whose head width is taken from the file, on
    images of ``side``. ``scale`` is the logit's factor inside tanh, which a state dict of HashNet
    loses; 1 for other methods, unless the file has it.

    Raises:
        TargetError: tensors missing, left over or of another shape, all named; a HashNet without
            its scale.
    """
    state = _renamed(read_state(path), backbone, path)
    if scale is not None:
        state["scale"] = torch.tensor(scale)
    elif "scale" not in state and method.scale(_LATE) != method.scale(0):
        raise TargetError(
            f"{method.name} has a factor of the logit that a state dict loses and that attacks "
            "need: give --scale (published recipe, last epoch: 8.89 on FLICKR-25K, 12.85 on "
            "NUS-WIDE, 12.53 on MS-COCO)"
        )
    layer = state.get("hash_layer.weight", torch.zeros(()))
    if layer.dim() != 2 or not layer.numel():
        raise TargetError(
            f"{path}: no hash layer found for {backbone.name}; its tensors are "
            f"{', '.join(sorted(state)[:8])}, …"
        )
    bits = layer.shape[0]
    if bits > LONGEST_CODE:
        raise TargetError(
            f"{path}: its last layer has {bits} outputs, so it is a classifier and not a hasher; "
            "to start a trunk from it write 'weights: PATH' in a suite"
        )
    spec = TargetSpec(
        method=method, backbone=_as_wide(backbone, state), bits=bits, normalise=normalise
    )
    hasher = build_hasher(spec, side, seed=0)
    own = {name: buffer for name, buffer in hasher.named_buffers() if name in _OWN}
    arrays = {
        name if name.startswith("hash_layer.") else f"trunk.{name}": tensor.numpy()
        for name, tensor in state.items()
        if name not in _OWN
    }
    arrays |= {name: state.get(name, buffer).numpy() for name, buffer in own.items()}
    for name in ("scale", "std"):
        if not (np.isfinite(arrays[name]) & (arrays[name] > 0)).all():
            raise TargetError(f"{path}: the {name} must be positive and finite")
    load_state(hasher, arrays, str(path))
    return spec, state_arrays(hasher)


def _renamed(state: Mapping[str, Tensor], backbone: Backbone, path: Path) -> dict[str, Tensor]:
    """Return the tensors under our names; a tensor that stands there twice must be equal."""
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        own = name.removeprefix("trunk.")
        for pattern, replacement in backbone.aliases:
            if re.match(pattern, own):
                own = re.sub(pattern, replacement, own)
                break
        if own in found and not torch.equal(found[own], tensor.to(found[own].dtype)):
            raise TargetError(f"{path}: {name} and another tensor both say {own}, and differ")
        found[own] = tensor
    return found


def _as_wide(backbone: Backbone, state: Mapping[str, Tensor]) -> Backbone:
    """Return the backbone with the head width of the file, where it has a head."""
    if not any(field.name == "head_width" for field in dataclasses.fields(backbone)):
        return backbone
    width = state["hash_layer.weight"].shape[1]
    return dataclasses.replace(backbone, **{"head_width": width})
