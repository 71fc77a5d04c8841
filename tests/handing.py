"""Trials handed out and images handed back, as another code base would."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from hashattack.benchmark.external.asking import Asked
from hashattack.benchmark.external.submissions import submit
from hashattack.benchmark.external.trial_file import TrialFile
from hashattack.benchmark.external.trials import Origin
from hashattack.benchmark.results.manifest import read_manifest, write_manifest
from hashattack.benchmark.store.store import JobRef, Store
from hashattack.reports.results import load_results
from tests.conftest import (
    InlineEngine,
    run_jobs,
)

SOURCE = "DPSH-Tiny-32"


Arrays = npt.NDArray[Any]


CODES = np.ones((32, 32), dtype=np.int8)


def crafted(out: Path, attack: str) -> Arrays:
    """Return the images, or the codes, that an attack of a run made on the source."""
    for cell in read_manifest(out)["cells"]:
        if (cell["row"]["attack"], cell["row"]["source"]) == (attack, SOURCE):
            arrays = Store(out / "store").arrays(JobRef("craft", cell["jobs"]["craft"]))
            return next(iter(arrays.values()))
    raise AssertionError(attack)


def own_row(out: Path, attack: str, victim: str = SOURCE) -> pd.Series[Any]:
    rows = load_results(out)
    return rows[(rows["attack"] == attack) & (rows["victim"] == victim)].iloc[0]


def asked(path: Path, **changes: Any) -> Asked:
    values: dict[str, Any] = {
        **{"kind": "images", "path": path, "attack": "theirs", "title": "Theirs"},
        **{"source": SOURCE, "epsilon": 8 / 255, "victims": (), "setting": None},
    }
    return Asked(**{**values, **changes})


def scored(origin: Origin, trials: Path, cache: Path, to: Path, what: Asked) -> pd.DataFrame:
    """Score in this process and return the rows of the folder."""
    whole, plan = submit(origin, to, what.submissions(TrialFile.read(trials), origin))
    write_manifest(whole, to)
    run_jobs(plan.jobs, to, InlineEngine(), None, cache)
    return load_results(to)


def write_png(images: Arrays, folder: Path) -> Path:
    folder.mkdir()
    for row, image in enumerate(np.rint(255 * images).astype(np.uint8)):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{row:05d}.png")
    return folder


def write_deep_png(image: Arrays, file: Path) -> None:
    """Write an image [3, height, width] in [0, 1] as RGB of 16 bits, which Pillow only reads."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    deep = np.rint(65535 * image).astype(">u2").transpose(1, 2, 0)
    height, width, _ = deep.shape
    lines = b"".join(b"\0" + line.tobytes() for line in deep)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")]
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def foreign_hasher(trials: Path, name: str) -> Callable[[Tensor], Tensor]:
    """Build a hasher as other code would: from ``trials.json`` and what lies beside it alone."""
    (setting,) = json.loads((trials / "trials.json").read_text(encoding="utf-8"))["settings"]
    (source,) = (one for one in setting["sources"] if one["name"] == name)
    assert source["trunk"]["in_sequence"]
    # The arguments are read by nothing but Python: a test may.
    layers = [eval(f"nn.{layer}", {"nn": nn}) for _, layer in source["trunk"]["layers"]]
    tensors = load_file(trials / source["hasher"])
    for (begin, _), layer in zip(source["trunk"]["layers"], layers, strict=True):
        names = [key for key in tensors if key.startswith(f"{begin}.")]
        layer.load_state_dict({key.removeprefix(f"{begin}."): tensors[key] for key in names})
    trunk = nn.Sequential(*layers).eval()

    @torch.no_grad()
    def outputs(images: Tensor) -> Tensor:
        features = trunk((images - tensors["mean"]) / tensors["std"])
        weight, bias = tensors["hash_layer.weight"], tensors["hash_layer.bias"]
        return torch.tanh(tensors["scale"] * nn.functional.linear(features, weight, bias))

    return outputs
