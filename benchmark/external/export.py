"""Trials of an output folder written for other code to attack: no label of a query among them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from hashattack.benchmark.external.networks import trunk_record
from hashattack.benchmark.external.trial_file import SourceRecord, TrialFile, TrialRecord
from hashattack.benchmark.external.trials import Origin, Trial
from hashattack.benchmark.results.adoption import take
from hashattack.benchmark.store.store import JobRef
from hashattack.datasets.base import RetrievalData, SplitName

IMAGE = "{row:05d}.png"
_AT_ONCE = 64


def export_trials(
    origin: Origin,
    to: Path,
    filters: Sequence[str] = (),
    *,
    images: bool = False,
    hashers: bool = True,
) -> TrialFile:
    """Write the trials of a folder.

    Args:
        origin: the output folder; its hashers are trained.
        to: the folder they are written to.
        filters: which, as ``--only`` takes them.
        images: write the clean queries too, as lossless PNG.
        hashers: put the hashers beside them; without, they are named where they lie.

    Raises:
        OutsideError: no hasher is trained, or none matches.
    """
    chosen = list(origin.chosen(filters))
    data = {trial.graph.data.fingerprint: trial.graph.data for trial, _ in chosen}
    folders = _folders(data)
    labels = {
        (fingerprint, split): _write_labels(one, split, to, folders[fingerprint])
        for fingerprint, one in data.items()
        for split in _shown_in(fingerprint, chosen)
    }
    if images:
        for fingerprint, one in data.items():
            asked = [
                trial.graph.n_queries
                for trial, _ in chosen
                if trial.graph.data.fingerprint == fingerprint
            ]
            write_queries(one, max(asked), to / "queries" / folders[fingerprint])
    settings, files = [], _Files(origin, to)
    for number, (trial, names) in enumerate(chosen):
        one = trial.graph.data
        place = f"queries/{folders[one.fingerprint]}".rstrip("/")
        settings.append(
            TrialRecord(
                setting=number,
                **trial.identity,
                side=one.side,
                queries=place if images else None,
                image=IMAGE,
                labels={split: labels[one.fingerprint, split] for split in _shown(trial)},
                classes=list(one.classes),
                sources=[_source(files, trial, name, hashers=hashers) for name in names],
                targets=[np.flatnonzero(row).tolist() for row in trial.target_labels],
            )
        )
    written = TrialFile(
        format=2, suite=origin.suite.name, out=str(origin.out.resolve()), settings=settings
    )
    written.write(to)
    return written


def write_queries(data: RetrievalData, count: int, folder: Path) -> None:
    """Write the first queries of a data set as 8-bit RGB PNG, named by their rows."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, count, _AT_ONCE):
        rows = np.arange(start, min(start + _AT_ONCE, count))
        for row, pixels in zip(rows.tolist(), data.query.images.read(rows), strict=True):
            picture = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
            picture.save(folder / IMAGE.format(row=row))


def _folders(data: Mapping[str, RetrievalData]) -> dict[str, str]:
    """Return a folder for every data set; none where there is but one."""
    if len(data) == 1:
        return dict.fromkeys(data, "")
    return {
        fingerprint: re.sub(r"[^\w.-]", "_", f"{one.name}-{fingerprint[:8]}")
        for fingerprint, one in data.items()
    }


def _shown(trial: Trial) -> tuple[SplitName, ...]:
    """Return the splits whose labels and codes the protocol shows to an attacker."""
    return ("train", "database") if trial.setting.protocol.sees_database else ("train",)


def _shown_in(fingerprint: str, chosen: Sequence[tuple[Trial, list[str]]]) -> list[SplitName]:
    own = [trial for trial, _ in chosen if trial.graph.data.fingerprint == fingerprint]
    return sorted({split for trial in own for split in _shown(trial)})


def _write_labels(data: RetrievalData, split: SplitName, to: Path, folder: str) -> str:
    place = Path("labels") / folder / f"{split}.npy"
    (to / place).parent.mkdir(parents=True, exist_ok=True)
    np.save(to / place, np.asarray(data.split(split).labels))
    return place.as_posix()


@dataclass(frozen=True)
class _Files:
    """What jobs of a folder made, named from where trials are written to."""

    origin: Origin
    to: Path

    def beside(self, ref: JobRef, stem: str) -> str:
        """Put a job's tensors there, and return their name; equal ones lie there once."""
        name = f"{stem}-{self.origin.store.output(ref)[:12]}.safetensors"
        place = self.to / name
        place.parent.mkdir(parents=True, exist_ok=True)
        take(self.origin.store.tensors(ref), place)
        return name

    def there(self, ref: JobRef) -> str:
        """Return where they lie."""
        return os.path.relpath(self.origin.store.tensors(ref).resolve(), self.to.resolve())


def _source(files: _Files, trial: Trial, name: str, *, hashers: bool) -> SourceRecord:
    graph, target = trial.homes[name]
    spec, store, seed = target.spec, files.origin.store, trial.setting.target_seed
    hasher = graph.train(target, seed).ref
    encoded = {split: graph.encode(target, seed, split).ref for split in _shown(trial)}
    return SourceRecord(
        name=name,
        method=spec.method.name,
        backbone=spec.backbone.name,
        bits=spec.bits,
        normalise=spec.normalise,
        hasher=files.beside(hasher, f"hashers/{name}") if hashers else files.there(hasher),
        sha256=store.output(hasher),
        codes={
            split: files.beside(ref, f"codes/{name}-{split}")
            for split, ref in encoded.items()
            if store.is_done(ref)
        },
        trunk=trunk_record(spec.backbone, graph.data.side),
    )
