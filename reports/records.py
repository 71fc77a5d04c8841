"""What the records of a run hold beside its rows: curves, pictures, provenance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hashattack.benchmark.progress.events import last_run
from hashattack.benchmark.results.manifest import read_manifest
from hashattack.benchmark.store.store import Arrays, JobRef, Store
from hashattack.reports.captions import protocol_text

_LIBRARY = "library version"  # in the canonical form of a part that requires one


def loss_curves(out: Path) -> list[dict[str, Any]]:
    """Return the loss curves of every generator of the run, also of those that failed.

    One item per value: the columns that identify attack and source, ``attack_seed``, ``loss``,
    ``epoch`` (from 1), ``value``.
    """
    manifest = read_manifest(out)
    store = Store(out / "store")
    points: dict[str, list[dict[str, Any]]] = {}
    for cell in manifest["cells"]:
        craft = manifest["jobs"].get(cell["jobs"].get("craft"), {"inputs": {}})
        key = craft["inputs"].get("crafting")
        if key is None or key in points:
            continue
        ref = JobRef("fit", key)
        found = store.record(ref) or store.failure(ref) or {"data": {}}
        row = cell["row"]
        points[key] = [
            {
                **_identity(row),
                "attack_seed": row["attack_seed"],
                "loss": name,
                "epoch": epoch,
                "value": value,
            }
            for name, values in found["data"].get("curves", {}).items()
            for epoch, value in enumerate(values, start=1)
        ]
    return [point for listed in points.values() for point in listed]


def retrieval_curves(out: Path) -> list[dict[str, Any]]:
    """Return precision and recall of every white-box cell, one item per length of the result list.

    Keys: the columns that identify attack and source, ``dataset``, ``protocol``, ``policy``,
    ``seed``, ``top``, ``precision``, ``recall``.
    """
    manifest = read_manifest(out)
    store = Store(out / "store")
    points = []
    for cell in manifest["cells"]:
        row = cell["row"]
        ref = JobRef("score", cell["jobs"].get("score", ""))
        if row["source"] != row["victim"] or store.record(ref) is None:
            continue
        arrays = store.arrays(ref)
        points += [
            {
                **_identity(row),
                "dataset": row["dataset"],
                "protocol": row["protocol"],
                "policy": row["policy"],
                "seed": row["draw_seed"],
                "top": int(top),
                "precision": float(precision),
                "recall": float(recall),
            }
            for top, precision, recall in zip(
                arrays["curve_top"], arrays["curve_precision"], arrays["curve_recall"], strict=True
            )
        ]
    return points


def _identity(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a row that identify its attack, its hyper-parameters and source."""
    names = (
        *("attack", "title", "variant", "overrides", "params"),
        *("source", "source_method", "source_backbone", "goal"),
    )
    return {name: row.get(name, "") for name in names}


def attacks_not_in_manifest(out: Path, manifest: Mapping[str, Any]) -> dict[str, int]:
    """Return how many scored cells of a store are of attacks that are not in a manifest.

    By attack id, in the order of their names. Superseded cells of the manifest's own attacks (other
    hyper-parameters, or code before an edit) are left out.
    """
    store, jobs = Store(out / "store"), manifest["jobs"]
    present = {cell["row"]["attack"] for cell in manifest["cells"]}
    found: Counter[str] = Counter()
    for score in store.records("score"):
        if score["key"] in jobs:
            continue
        codes = score["provenance"].get("input_keys", {}).get("codes", "")
        hashed = store.record(JobRef("hash", codes))  # none of a code-only attack
        craft = codes if hashed is None else hashed["provenance"]["input_keys"]["images"]
        made = store.record(JobRef("craft", craft)) or {"provenance": {}}
        attack = (made["provenance"].get("task", {}).get("attack") or {}).get("id")
        if attack is not None and attack not in present:
            found[attack] += 1
    return dict(sorted(found.items()))


def galleries(out: Path) -> Iterator[tuple[dict[str, Any], Arrays, list[str]]]:
    """Yield the row, the pictures and the names of the classes of every cell that has pictures."""
    manifest = read_manifest(out)
    store = Store(out / "store")
    for cell in manifest["cells"]:
        ref = JobRef("gallery", cell["jobs"].get("gallery", ""))
        record = store.record(ref) if ref.key else None
        if record is not None:
            fingerprint = cell["row"]["dataset_fingerprint"]
            # Folders of earlier versions have the names in the record.
            classes = manifest.get("classes", {}).get(fingerprint) or record["data"]["classes"]
            yield cell["row"], store.arrays(ref), classes


def provenance(out: Path) -> dict[str, Any]:
    """Return where a run's results come from.

    Keys: ``folder``, ``suite``, ``command`` (of the last run), ``data`` (fingerprints by name),
    ``seeds`` (how many), and, each sorted, ``protocols``, ``versions``, ``devices``, ``revisions``.
    """
    manifest = read_manifest(out)
    store = Store(out / "store")
    made = [
        record["provenance"]
        for key, job in manifest["jobs"].items()
        if (record := store.record(JobRef(job["stage"], key))) is not None
    ]
    events = last_run(out)
    rows = [cell["row"] for cell in manifest["cells"]]
    libraries = ("python", "torch", "torchvision", "machine")
    parts = [part for one in made for part in _parts(one.get("task", {}))]
    return {
        "folder": str(out),
        "suite": manifest["suite"]["name"],
        "command": events[0].get("command", "") if events else "",
        "data": {row["dataset"]: row["dataset_fingerprint"] for row in rows},
        "protocols": [
            protocol_text([row for row in rows if row["protocol"] == name])
            for name in sorted({row["protocol"] for row in rows})
        ],
        "seeds": len({row["draw_seed"] for row in rows}),
        "versions": sorted(
            {", ".join(f"{n} {one[n]}" for n in libraries) for one in made}
            | {part[_LIBRARY] for part in parts if _LIBRARY in part}
        ),
        "devices": sorted({f"{one['device']} on {one['host']}" for one in made}),
        "revisions": sorted({one["revision"] or "no git revision" for one in made}),
    }


def _parts(task: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the parts of attacks in a task's canonical form."""
    attack = task.get("attack") or {}
    found = (task.get("part"), attack.get("target_code"), attack.get("crafting"))
    yield from (part for part in found if part is not None)
