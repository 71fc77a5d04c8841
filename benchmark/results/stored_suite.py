"""The suite of an output folder, as its run left it in ``plan.json``: without the suite's file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hashattack.benchmark.jobs import Compute
from hashattack.benchmark.plan.graph import Sizing
from hashattack.benchmark.registry import registry
from hashattack.benchmark.results.manifest import read_manifest
from hashattack.benchmark.store.keys import canonical_json
from hashattack.benchmark.suites.loading import with_root
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.benchmark.suites.suite import ANY_ATTACK, DatasetEntry, Suite, TargetEntry, validate
from hashattack.targets.backbones import Backbone
from hashattack.targets.hasher import NAMED_WEIGHTS

_DATA = "data"  # where data sets lie unless somebody says otherwise
_EXTERNAL = "External"  # the task that reads images or codes of other code; no suite plans it
_REMEDY = "the command that made it writes it anew, and does nothing again"


def stored_suite(out: Path, *, attacks: bool = True) -> Suite:
    """Return the suite of a folder, with every path as it was meant where the run was started.

    Args:
        out: the output folder.
        attacks: look their names up, too; without, one whose plug-in is not there may stand in it.

    Raises:
        NoRunError: the folder holds none.
        SuiteError: it was written by an earlier version, names what is not there, or the folder
            holds scores of what other code made.
    """
    manifest = read_manifest(out)
    if any(job["task"]["type"] == _EXTERNAL for job in manifest["jobs"].values()):
        raise SuiteError(f"{out} holds what other code made, which no suite makes again")
    return restored_suite(manifest, f"the suite of {out}", attacks=attacks)


def restored_suite(
    content: Mapping[str, Any],
    origin: str,
    *,
    attacks: bool = True,
    data_root: Path | None = None,
) -> Suite:
    """Return a suite from what was kept of it.

    Args:
        content: its ``suite``, ``parts`` and the ``folder`` its relative paths start from.
        origin: what an error calls it.
        attacks: look their names up, too.
        data_root: with one folder a data set; None for where it was.

    Raises:
        SuiteError: it was written by an earlier version, or names what is not there.
    """
    content = kept_suite(content, origin)
    whole, context = {**content["suite"], "parts": content["parts"]}, {} if attacks else ANY_ATTACK
    try:
        suite = validate(Suite, whole, origin, context)
    except SuiteError as error:
        raise SuiteError(f"{error}\n{_REMEDY}") from None
    began = Path(content["folder"])
    if data_root is not None:
        suite = with_root(suite, data_root, replace=True)
    return _placed(with_root(suite, began / _DATA), began)


def kept_suite(content: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Return what was kept of a suite, if all was.

    Raises:
        SuiteError: it was written by an earlier version.
    """
    if "parts" not in content:
        raise SuiteError(f"{origin} was kept by an earlier version; {_REMEDY}")
    return dict(content)


def stored_batches(manifest: Mapping[str, Any]) -> dict[tuple[str, int], int]:
    """Return the batches a run's jobs took, by backbone (canonical JSON) and side in pixels."""
    known: dict[tuple[str, int], int] = {}
    for job in manifest["jobs"].values():
        task = job["task"]
        specs = [task[name] for name in ("spec", "source", "victim") if task.get(name)]
        if specs and "compute" in task:
            side = manifest["sides"][task["fingerprint"]]
            name = (canonical_json(specs[0]["backbone"]), side)
            # Of parts with more queries and fewer: the graph lowers it again for the fewer.
            known[name] = max(known.get(name, 0), task["compute"]["batch"])
    return known


def stored_sizing(out: Path) -> Sizing:
    """Return the batches of an output folder; see :func:`sizing_of`.

    Raises:
        NoRunError: the folder holds no run.
    """
    return sizing_of(stored_batches(read_manifest(out)), str(out))


def sizing_of(known: Mapping[tuple[str, int], int], origin: str) -> Sizing:
    """Return batches that were taken before, for a suite that leaves them open.

    Args:
        known: see :func:`stored_batches`.
        origin: what an error calls the place they come from.
    """

    def find(backbone: Backbone, side: int, compute: Compute) -> int:  # noqa: ARG001 - one a suite
        found = known.get((canonical_json(backbone), side))
        if found is None:
            raise SuiteError(f"{origin} has no job of {backbone.name} at {side} pixels")
        return found

    return find


def _placed(suite: Suite, began: Path) -> Suite:
    """Return the suite with its relative paths made absolute, from where the run was started."""

    def at(path: str) -> str:
        return str(began / Path(path).expanduser())

    def data(entry: DatasetEntry) -> DatasetEntry:
        fields = dataclasses.fields(registry().datasets[entry.dataset])
        paths = {field.name for field in fields if field.metadata.get("path")}
        params: dict[str, Any] = {
            name: at(value) if name in paths and value else value
            for name, value in entry.params.items()
        }
        return entry.model_copy(update={"params": params})

    def target(entry: TargetEntry) -> TargetEntry:
        weights, checkpoint = entry.weights, entry.checkpoint
        changes = {
            "weights": weights if weights in NAMED_WEIGHTS else at(weights),
            "checkpoint": None if checkpoint is None else at(checkpoint),
        }
        return entry.model_copy(update=changes)

    changes = {
        "datasets": [data(entry) for entry in suite.datasets],
        "targets": [target(entry) for entry in suite.targets],
        "parts": [_placed(part, began) for part in suite.parts],
    }
    return suite.model_copy(update=changes)
