"""The suite of an output folder, restored from its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hashattack.benchmark.jobs import Compute
from hashattack.benchmark.plan.graph import Sizing
from hashattack.benchmark.results.manifest import read_manifest
from hashattack.benchmark.store.keys import canonical_json
from hashattack.benchmark.suites.loading import with_root
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.benchmark.suites.suite import ANY_ATTACK, Suite, validate
from hashattack.targets.backbones import Backbone

_EXTERNAL = "External"  # the task that reads images or codes of other code; no suite plans it
_REMEDY = "run the command that made it again"


def stored_suite(out: Path, *, attacks: bool = True) -> Suite:
    """Return the suite of a folder.

    Args:
        out: the output folder.
        attacks: check their names, too; without, a plug-in's attack may be absent.

    Raises:
        NoRunError: the folder holds none.
        SuiteError: it names what does not exist, or the folder holds scores of external images or
            codes.
    """
    manifest = read_manifest(out)
    if any(job["task"]["type"] == _EXTERNAL for job in manifest["jobs"].values()):
        raise SuiteError(f"{out} holds scores of external images or codes, which no suite can make")
    return restored_suite(manifest, f"the suite of {out}", attacks=attacks)


def restored_suite(
    content: Mapping[str, Any],
    origin: str,
    *,
    attacks: bool = True,
    data_root: Path | None = None,
) -> Suite:
    """Return a suite from a manifest or a frozen baseline.

    Args:
        content: its ``suite`` and ``parts``.
        origin: what an error calls it.
        attacks: check their names, too.
        data_root: the folder with one folder per data set; None for where each was.

    Raises:
        SuiteError: it names what does not exist.
    """
    whole, context = {**content["suite"], "parts": content["parts"]}, {} if attacks else ANY_ATTACK
    try:
        suite = validate(Suite, whole, f"{origin}:", context)
    except SuiteError as error:
        raise SuiteError(f"{error}\n{_REMEDY}") from None
    return with_root(suite, data_root, replace=True)


def stored_batches(manifest: Mapping[str, Any]) -> dict[tuple[str, int], int]:
    """Return the batches of a run's jobs, by backbone (canonical JSON) and side in pixels."""
    known: dict[tuple[str, int], int] = {}
    for job in manifest["jobs"].values():
        task = job["task"]
        specs = [task[name] for name in ("spec", "source", "victim") if task.get(name)]
        # The members of an ensemble have jobs of their own.
        if specs and "compute" in task and "members" not in specs[0]:
            side = manifest["sides"][task["fingerprint"]]
            name = (canonical_json(specs[0]["backbone"]), side)
            # The largest: the graph lowers it again for a part of the suite with fewer queries.
            known[name] = max(known.get(name, 0), task["compute"]["batch"])
    return known


def stored_sizing(out: Path) -> Sizing:
    """Return the batches of an output folder; see :func:`sizing_of`.

    Raises:
        NoRunError: the folder holds no run.
    """
    return sizing_of(stored_batches(read_manifest(out)), str(out))


def sizing_of(known: Mapping[tuple[str, int], int], origin: str) -> Sizing:
    """Return a function that finds a run's batches, for a suite that leaves them open.

    Args:
        known: see :func:`stored_batches`.
        origin: what an error calls their folder or file.
    """

    def find(backbone: Backbone, side: int, compute: Compute) -> int:  # noqa: ARG001 - one a suite
        found = known.get((canonical_json(backbone), side))
        if found is None:
            raise SuiteError(f"{origin} has no job of {backbone.name} at {side} pixels")
        return found

    return find
