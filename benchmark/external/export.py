"""Writes the trials of an output folder for other code to attack, without labels of queries."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from PIL import Image
from pydantic import BaseModel, Field, ValidationError
from torch import nn

from hashattack.benchmark.columns import Goal
from hashattack.benchmark.external import ExternalError
from hashattack.benchmark.external.trials import Origin, Trial, TrialIdentity
from hashattack.benchmark.names import counted
from hashattack.benchmark.store.files import link_or_copy, write_bytes
from hashattack.benchmark.store.store import JobRef
from hashattack.benchmark.suites.suite import faults
from hashattack.datasets.base import SplitName
from hashattack.datasets.draws import OWN
from hashattack.datasets.files import read_bytes
from hashattack.targets.backbones import Backbone
from hashattack.targets.seeding import seeded

NAME = "trials.json"
IMAGE = "{row:05d}.png"  # the file of a query's image
_INNERMOST = re.compile(r"\[\n\s+([^\[\]{}]*?)\n\s+\]")  # a string holds no line break
_CHUNK = 64  # images read at a time


class SourceRecord(BaseModel):
    """What is checked of a hasher that was attacked."""

    name: str
    sha256: str


class TrialRecord(TrialIdentity):
    """What is checked of a setting; the rest of it is for the code that attacks."""

    setting: int
    sources: list[SourceRecord] = Field(min_length=1)
    targets: list[list[int]] | None  # for non-targeted attacks the queries' own, or None

    @property
    def has_query_labels(self) -> bool:
        """Whether it has the queries' own labels, for attacks that see them."""
        return self.policy == OWN and self.targets is not None

    @property
    def summary(self) -> str:
        """The setting in a line."""
        queries = counted(self.n_queries, "query")
        drawn = f"{self.policy} target labels"
        if self.policy == OWN:
            drawn = f"non-targeted, {'with' if self.has_query_labels else 'without'} query labels"
        return (
            f"{self.setting}: {self.dataset}, {self.protocol}, {drawn}, "
            f"draw seed {self.draw_seed}, target seed {self.target_seed}, {queries}; "
            f"{', '.join(source.name for source in self.sources)}"
        )


class TrialFile(BaseModel):
    """``trials.json`` as far as it is read again."""

    format: Literal[3]
    settings: list[TrialRecord] = Field(min_length=1)

    @classmethod
    def read(cls, path: Path) -> TrialFile:
        """Read and check a file, or the one in a folder.

        Raises:
            ExternalError: it does not exist, or is no such file.
        """
        path = path / NAME if path.is_dir() else path
        try:
            return cls.model_validate_json(read_bytes(path))
        except OSError as error:
            raise ExternalError(f"{path}: {error.strerror}; export-trials writes it") from None
        except ValidationError as error:
            lines = "\n".join(f"{path}: {line}" for line in faults(error, model=cls))
            raise ExternalError(f"{lines}\nexport-trials writes such a file") from None


def export_trials(
    origin: Origin,
    to: Path,
    filters: Sequence[str] = (),
    *,
    goal: Goal = "targeted",
    images: bool = False,
    hashers: bool = True,
    query_labels: bool = False,
) -> TrialFile:
    """Write the trials of a folder.

    Args:
        origin: the output folder with trained hashers.
        to: the folder to write to.
        filters: which trials, as ``--only`` takes them.
        goal: of the attacks that they are for.
        images: also write the clean queries, as lossless PNG.
        hashers: put the hashers there, too; without, ``trials.json`` names where they are.
        query_labels: include the queries' own labels, for a non-targeted attack that sees them.

    Raises:
        ExternalError: no hasher is trained, or none matches; the queries' labels for an attack that
            may not see them.
    """
    if query_labels and goal != "non-targeted":
        raise ExternalError("only a non-targeted attack may see the queries' labels")
    chosen = origin.trained(filters, goal)
    several = len({trial.graph.data.fingerprint for trial, _ in chosen}) > 1
    settings: list[dict[str, Any]] = []
    targets = []
    most: dict[str, Trial] = {}  # the trial of the most queries, by their folder
    for number, (trial, names) in enumerate(chosen):
        data, protocol = trial.graph.data, trial.setting.protocol
        subfolder = re.sub(r"[^\w.-]", "_", f"{data.name}-{data.fingerprint[:8]}")
        folder = f"/{subfolder}" if several else ""
        queries, labels = f"queries{folder}", f"labels{folder}"
        most[queries] = max(most.get(queries, trial), trial, key=lambda one: one.graph.n_queries)
        # The splits whose labels and codes the protocol shows to an attacker.
        splits: list[SplitName] = ["train", "database"] if protocol.sees_database else ["train"]
        (to / labels).mkdir(parents=True, exist_ok=True)
        for split in splits:
            np.save(to / labels / f"{split}.npy", np.asarray(data.split(split).labels))
        drawn = None
        if goal == "targeted" or query_labels:
            drawn = [np.flatnonzero(row).tolist() for row in trial.target_labels]
        content = {
            "setting": number,
            **trial.identity.model_dump(),
            "side": data.side,  # of images, in pixels
            "queries": queries if images else None,  # a folder
            "image": IMAGE,  # the name of a query's file in it, by row
            "labels": {split: f"{labels}/{split}.npy" for split in splits},
            "classes": list(data.classes),
            "sources": [_source(origin, to, trial, name, splits, hashers) for name in names],
            # A query's target label row as numbers of classes; for a non-targeted attack that sees
            # it, the query's own.
            "targets": drawn,
        }
        settings.append(content)
        for row, target in enumerate(drawn or [[]] * trial.graph.n_queries):
            named = "; ".join(data.classes[label] for label in target)
            targets.append((number, row, IMAGE.format(row=row), named))
    for queries, trial in most.items() if images else ():
        _write_queries(trial, to / queries)
    table = pd.DataFrame(targets, columns=["setting", "row", "image", "target"])
    write_bytes(to / "targets.csv", table.to_csv(index=False).encode())
    whole = {"format": 3, "suite": origin.suite.name, "settings": settings}
    text = json.dumps(whole, indent=1, ensure_ascii=False)
    text = _INNERMOST.sub(lambda m: "[" + re.sub(r"\n\s+", " ", m[1]) + "]", text)
    write_bytes(to / NAME, text.encode())  # last: its presence means a complete export
    return TrialFile.model_validate(whole)


def _write_queries(trial: Trial, folder: Path) -> None:
    """Write the clean queries as 8-bit RGB PNG named by row."""
    folder.mkdir(parents=True, exist_ok=True)
    n, images = trial.graph.n_queries, trial.graph.data.query.images
    for start in range(0, n, _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, n))
        for row, pixels in zip(rows.tolist(), images.read(rows), strict=True):
            picture = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
            picture.save(folder / IMAGE.format(row=row))


def _source(
    origin: Origin,
    to: Path,
    trial: Trial,
    name: str,
    splits: Sequence[SplitName],
    hashers: bool,
) -> dict[str, Any]:
    """Write a hasher and the codes that the protocol shows, and return their description.

    A hasher is ``tanh(scale * hash_layer(trunk((pixels - mean) / std)))``.
    """
    graph, target = trial.targets[name]
    spec, seed, store = target.spec, trial.setting.target_seed, origin.store
    hasher = graph.train(target, seed).ref
    encoded = {split: graph.encode(target, seed, split).ref for split in splits}

    def copy(ref: JobRef, stem: str) -> str:
        file = f"{stem}-{store.output(ref)[:12]}.safetensors"
        (to / file).parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(store.tensors(ref), to / file)
        return file

    place = os.path.relpath(store.tensors(hasher).resolve(), to.resolve())
    return {
        "name": name,
        "method": spec.method.name,
        "backbone": spec.backbone.name,
        "bits": spec.bits,
        "normalise": spec.normalise,
        # safetensors: trunk.…, hash_layer.…, scale, mean, std
        "hasher": copy(hasher, f"hashers/{name}") if hashers else place,
        "sha256": store.output(hasher),  # of that file
        "codes": {  # safetensors: int8 [n, K] as "codes"
            split: copy(ref, f"codes/{name}-{split}")
            for split, ref in encoded.items()
            if store.is_done(ref)
        },
        "trunk": trunk_layers(spec.backbone, graph.data.side),
    }


@functools.lru_cache(maxsize=32)
def trunk_layers(backbone: Backbone, side: int) -> dict[str, Any]:
    """Return the layers of a backbone, which maps pixels ``[n, 3, side, side]`` to features.

    ``layers`` are those without inner layers, in the order in which they are declared: the prefix
    of their tensors' names, and class and arguments in ``torch.nn``. ``in_sequence`` says whether
    the network is these layers one after the other and nothing else.
    """
    with seeded(0, "export"):
        trunk, width = backbone.build(side)
    modules = list(trunk.named_modules(prefix="trunk"))
    inner = [module for _, module in modules if any(True for _ in module.children())]
    about = " ".join((type(backbone).__doc__ or "").split())
    return {
        "description": f"{about} {side} x {side} pixels to {width} features.".strip(),
        "params": dataclasses.asdict(backbone),
        "layers": [(name, repr(module)) for name, module in modules if module not in inner],
        "in_sequence": all(type(module) is nn.Sequential for module in inner),
    }
