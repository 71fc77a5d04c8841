"""Targets on the command line: a foreign checkpoint converted."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save

from hashattack.benchmark.names import lookup
from hashattack.benchmark.registry import registry
from hashattack.benchmark.store.files import write_bytes
from hashattack.targets.backbones import TargetError
from hashattack.targets.checkpoints import foreign_hasher
from hashattack.targets.hasher import Normalise


def convert(
    file: Path,
    method: str,
    backbone: str,
    to: Path,
    *,
    side: int,
    normalise: Normalise,
    scale: float | None,
) -> str:
    """Convert a foreign checkpoint and return what to write in a suite.

    Raises:
        UserError: an unknown name, or a file that does not fit, with every tensor named.
    """
    if to.suffix != ".safetensors" or to.resolve() == file.resolve():
        raise TargetError(f"--to {to}: name a new file that ends in .safetensors")
    known = registry()
    spec, arrays = foreign_hasher(
        file,
        lookup("hashing method", method, known.methods)(),
        lookup("backbone", backbone, known.backbones)(),
        side=side,
        normalise=normalise,
        scale=scale,
    )
    tensors = {name: torch.from_numpy(array).contiguous() for name, array in arrays.items()}
    write_bytes(to, save(tensors))
    width = getattr(spec.backbone, "head_width", None)
    params = "" if width is None else f", backbone_params: {{head_width: {width}}}"
    return (
        f"{spec.name}: {len(arrays)} tensors, none missing, none left over -> {to}\n"
        f"in a suite: {{method: {method}, backbone: {backbone}, bits: {spec.bits}, "
        f"normalise: {normalise}{params}, checkpoint: {to}}}"
    )
