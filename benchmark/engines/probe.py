"""What a worker of a cluster says about itself, and whether that fits."""

from __future__ import annotations

import os
import platform
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hashattack.attacks.protocols import PROTOCOLS
from hashattack.benchmark.provenance import versions
from hashattack.benchmark.registry import registry

_ABSENT = "none"  # in the place of a version; what this process lacks, no job of its needs


def probe(token_file: str) -> dict[str, Any]:
    """Say, on a worker, what it is and what it sees."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before CUDA is first used
    token = Path(token_file)
    own = token.with_name(f"{token.name}-{uuid.uuid4().hex[:8]}")
    trouble = None
    try:
        own.write_text("written by a worker")
        own.unlink()
    except OSError as error:
        trouble = error.strerror
    gpus = [str(torch.cuda.get_device_properties(n).uuid) for n in range(torch.cuda.device_count())]
    return {
        "token": token.read_text() if token.is_file() else None,
        "trouble": trouble,
        "versions": {**versions(), **_libraries()},
        "host": platform.node(),
        "gpus": gpus,
    }


def fault(told: Mapping[str, Any], token: str, out: Path, *, cpu_only: bool) -> str | None:
    """Return why a worker that told this cannot be used, or None."""
    if told["token"] != token:
        return f"it does not see {out}; the folder must be on a file system that all share"
    if told["trouble"] is not None:
        return f"it cannot write to {out}: {told['trouble']}"
    for what, ours in {**versions(), **_libraries()}.items():
        theirs = told["versions"].get(what, ours)  # it does not know what only a plug-in needs
        if ours not in (theirs, _ABSENT) and what != "machine":
            return f"it has other {what} ({theirs}) than this process ({ours})"
    if len(told["gpus"]) > 1 and not cpu_only:
        return (
            f"it sees {len(told['gpus'])} GPUs; start one worker a GPU, each with its own "
            "CUDA_VISIBLE_DEVICES"
        )
    return None


def _libraries() -> dict[str, str]:
    """Return the versions of the libraries that registered attacks need, by module."""
    attacks = (entry.build(PROTOCOLS["released"]) for entry in registry().attacks.values())
    wanted = {library for attack in attacks for library in attack.libraries}
    return {one.module: _ABSENT if one.missing else one.version for one in wanted}
