"""Foreign hashers: a state dict of another program's layout into ours, once.

Known layouts: torchvision's with a hash layer in place of the last one, the networks of the
ProS-GAN paper's released code, DeepHash-pytorch's, and our own.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hashattack.targets.backbones import Backbone, TargetError
from hashattack.targets.checkpoints import Arrays, load_state, read_state, state_arrays
from hashattack.targets.hasher import Normalise, TargetSpec, build_hasher
from hashattack.targets.losses import HashingMethod

_LONGEST_CODE = 512
_LATE = 10_000  # a step at which a continuation has begun
_OWN = ("scale", "mean", "std")  # buffers that foreign layouts lack


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

    Args:
        path: a ``.safetensors`` or torch file that holds a state dict.
        method, backbone: what it was trained as; head widths are taken from the file.
        side: of its images.
        normalise: whether its images were normalised.
        scale: of the logit inside tanh: HashNet's, which its state dict loses; else 1.

    Raises:
        TargetError: tensors missing, left over or of another shape, all named; a HashNet without
            its scale.
    """
    if scale is None:
        if method.scale(_LATE) != method.scale(0):
            raise TargetError(
                f"{method.name} has a factor of the logit that a state dict loses and that attacks "
                "need: give --scale (published recipe, last epoch: 8.89 on FLICKR-25K, 12.85 on "
                "NUS-WIDE, 12.53 on MS-COCO)"
            )
        scale = 1.0
    if not scale > 0:
        raise TargetError(f"the scale must be positive, got {scale}")
    state = _renamed(read_state(path), backbone, path)
    if state.get("hash_layer.weight", torch.zeros(())).dim() != 2:
        raise TargetError(
            f"{path}: no hash layer found for {backbone.name}; its tensors are "
            f"{', '.join(sorted(state)[:8])}, …"
        )
    bits = state["hash_layer.weight"].shape[0]
    if bits > _LONGEST_CODE:
        raise TargetError(
            f"{path}: its last layer has {bits} outputs, so it is a classifier and not a hasher; "
            "to start a trunk from it write 'weights: PATH' in a suite"
        )
    spec = TargetSpec(
        method=method, backbone=_as_wide(backbone, state), bits=bits, normalise=normalise
    )
    hasher = build_hasher(spec, side, seed=0)
    own = {name: buffer for name, buffer in hasher.named_buffers() if name in _OWN}
    own["scale"] = torch.tensor(scale)
    arrays = {
        name if name.startswith("hash_layer.") else f"trunk.{name}": tensor.numpy()
        for name, tensor in state.items()
        if name not in _OWN
    }
    arrays |= {name: state.get(name, buffer).numpy() for name, buffer in own.items()}
    load_state(hasher, arrays, str(path))
    return spec, state_arrays(hasher)


def _renamed(state: Mapping[str, Tensor], backbone: Backbone, path: Path) -> dict[str, Tensor]:
    """Return the tensors under our names; a tensor that stands there twice must be equal."""
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        own = re.sub(r"^(module\.)?(trunk\.)?", "", name)
        for pattern, replacement in backbone.aliases:
            if re.match(pattern, own):
                own = re.sub(pattern, replacement, own)
                break
        if own in found and not torch.equal(found[own], tensor.detach().to(found[own].dtype)):
            raise TargetError(f"{path}: {name} and another tensor both say {own}, and differ")
        found[own] = tensor.detach().float() if tensor.is_floating_point() else tensor.detach()
    return found


def _as_wide(backbone: Backbone, state: Mapping[str, Tensor]) -> Backbone:
    """Return the backbone with the head width of the file, where it has a head."""
    if not any(field.name == "head_width" for field in dataclasses.fields(backbone)):
        return backbone
    width = int(np.prod(state["hash_layer.weight"].shape[1:]))
    wide: Backbone = dataclasses.replace(backbone, **{"head_width": width})
    return wide
