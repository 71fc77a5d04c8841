"""A baseline: an output folder, or the file that was frozen from one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.numpy import save

from hashattack.benchmark.plan.cells import row_filter
from hashattack.benchmark.plan.graph import Sizing
from hashattack.benchmark.regression.frozen import Frozen, freeze, read_frozen, write_frozen
from hashattack.benchmark.regression.trials import Trials, read_trials
from hashattack.benchmark.results.manifest import read_manifest
from hashattack.benchmark.results.stored_suite import (
    kept_suite,
    restored_suite,
    sizing_of,
    stored_batches,
)
from hashattack.benchmark.store.files import write_bytes
from hashattack.benchmark.store.store import JobRef, Store
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.benchmark.suites.suite import Suite
from hashattack.datasets.errors import UserError

FILE = "{dataset}-{target}-{seed}.safetensors"  # of a target's weights, beside a baseline's file


class BaselineError(UserError):
    """A baseline that cannot be compared with; the text names the difference and the remedy."""


@dataclass(frozen=True)
class Baseline:
    """What a candidate is held against.

    Attributes:
        path: the folder or the file.
        suite: what was run; targets are read from beside the file where it has them.
        protocols: their values then, by name; empty where they were not kept.
        trials: of every cell that was not skipped.
        folder: whose store has the targets and codes; None for a file.
        batches: what jobs took, by backbone and side, for a suite that leaves it open.
    """

    path: Path
    suite: Suite
    protocols: Mapping[str, Any]
    trials: Sequence[Trials]
    folder: Path | None
    batches: Mapping[tuple[str, int], int]

    @property
    def attacks(self) -> list[str]:
        """Return the ids of its attacks, in order."""
        return list(dict.fromkeys(one.row["attack"] for one in self.trials))

    @property
    def sizing(self) -> Sizing:
        """Return the batches its jobs took."""
        return sizing_of(self.batches, str(self.path))

    def of(self, attack: str, only: Sequence[str]) -> list[Trials]:
        """Return the cells of an attack that filters let through.

        Raises:
            BaselineError: there are none.
        """
        own = [one for one in self.trials if one.row["attack"] == attack]
        if not own:
            raise BaselineError(
                f"{self.path} has no cells of '{attack}'; it has {', '.join(self.attacks)}: name "
                "one of them with --against"
            )
        matches = row_filter(only)
        kept = [one for one in own if matches(one.row)]
        if not kept:
            raise SuiteError(f"--only {' --only '.join(only)} matches no cell of {attack}")
        return kept


def read_baseline(
    path: Path, metric: str, *, data_root: Path | None = None, retrained: bool = False
) -> Baseline:
    """Read a folder or a file.

    Args:
        path: an output folder, or a file that was frozen from one.
        metric: what is to be compared.
        data_root: with one folder a data set; None for where it was.
        retrained: the targets beside a file are left alone.

    Raises:
        NoRunError: the folder holds no run.
        FrozenError: the file is no baseline.
        BaselineError: it does not have the metric.
    """
    if path.is_dir():
        content = read_manifest(path)
        protocols = content.get("protocols", {})
        listed = list(read_trials(path, [metric], content))
        batches = stored_batches(content)
    else:
        frozen = read_frozen(path)
        protocols, listed = frozen.protocols, frozen.trials(metric)
        batches = {(one.backbone, one.side): one.batch for one in frozen.batches}
        _check_metric(path, frozen, metric)
        content = {"suite": frozen.suite, "parts": frozen.parts, "folder": str(Path.cwd())}
        if frozen.targets and not retrained:
            content = _with_checkpoints(content, path.resolve().parent, frozen.targets)
    origin = f"the suite of {path}"
    return Baseline(
        path=path,
        suite=restored_suite(content, origin, attacks=False, data_root=data_root),
        protocols=protocols,
        trials=[one for one in listed if one.row["status"] != "skipped"],
        folder=path.resolve() if path.is_dir() else None,
        batches=batches,
    )


def freeze_folder(
    out: Path, path: Path, *, metrics: Sequence[str], only: Sequence[str], targets: bool
) -> Frozen:
    """Write the baseline of a folder to a file, and its targets beside it where asked for.

    Raises:
        NoRunError: the folder holds no run.
        BaselineError: nothing of it has a result.
    """
    manifest = kept_suite(read_manifest(out), f"the suite of {out}")
    matches = row_filter(only)
    kept = [
        one
        for one in read_trials(out, metrics)
        if one.row["status"] != "skipped" and matches(one.row)
    ]
    if not any(one.scores for one in kept):
        raise BaselineError(f"nothing of {out} that is asked for has a result")
    files = _write_targets(out, path, manifest["jobs"], kept) if targets else {}
    batches = stored_batches(manifest)
    frozen = freeze(kept, manifest, manifest.get("protocols", {}), files, batches)
    write_frozen(frozen, path)
    return frozen


def _write_targets(
    out: Path, path: Path, jobs: Mapping[str, Any], trials: Sequence[Trials]
) -> dict[str, str]:
    """Copy the weights of the targets of some trials; return their files by SHA-256."""
    store = Store(out / "store")
    names = {
        getattr(one, role): FILE.format(dataset=one.row["dataset"], target=one.row[role], seed=seed)
        for one in trials
        for seed in [one.row["target_seed"]]
        for role in ("source", "victim")
    }
    folder = path.parent / f"{path.stem}-targets"
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = {}
    for key, job in jobs.items():
        ref = JobRef(job["stage"], key)
        if ref.stage in ("train", "import") and store.is_done(ref):
            output = store.output(ref)
            name = names.get(output)
            if name is not None and output not in files:
                if f"{folder.name}/{name}" in files.values():
                    raise BaselineError(
                        f"{out} has two trainings of {name}, on two data sets of one name: freeze "
                        "each to a file of its own, with --only dataset_fingerprint=…"
                    )
                write_bytes(folder / name, save(store.arrays(ref)))
                files[output] = f"{folder.name}/{name}"
    return files


def _with_checkpoints(
    content: dict[str, Any], beside: Path, targets: Mapping[str, str]
) -> dict[str, Any]:
    """Return a suite whose targets are read from files, not trained."""
    folder = beside / Path(next(iter(targets.values()))).parent
    named = FILE.format(dataset="{dataset}", target="{method}-{backbone}-{bits}", seed="{seed}")
    file = str(folder / named)

    def read(suite: dict[str, Any]) -> dict[str, Any]:
        return {**suite, "targets": [{**one, "checkpoint": file} for one in suite["targets"]]}

    parts = [read(part) for part in content["parts"]]
    return {**content, "suite": read(content["suite"]), "parts": parts}


def _check_metric(path: Path, frozen: Frozen, metric: str) -> None:
    there = {name for cell in frozen.cells for name in cell.scores}
    if metric not in there:
        raise BaselineError(
            f"{path} keeps {', '.join(sorted(there))}, not {metric}: freeze it with "
            f"--metric {metric}, or compare with the folder"
        )
