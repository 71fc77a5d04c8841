"""Why a job is done, or is to be done: which part of its key is new, what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hashattack.benchmark.jobs import Job
from hashattack.benchmark.names import nearest
from hashattack.benchmark.plan.plan import Plan
from hashattack.benchmark.store.keys import canonical
from hashattack.benchmark.store.store import JobRef, Store
from hashattack.benchmark.suites.sources import SuiteError

_MOST = 20
_ABSENT = "(absent)"


def explain(plan: Plan, store: Store, text: str) -> list[str]:
    """Return lines about the jobs whose key starts with ``text`` or whose label contains it.

    Raises:
        SuiteError: the plan has no such job.
    """
    found = [job for key, job in plan.jobs.items() if key.startswith(text)]
    labels = {job.label: job for job in plan.jobs.values()}
    found = found or [job for label, job in labels.items() if text.lower() in label.lower()]
    if not found:
        raise SuiteError(
            f"--explain {text}: no job with such a key or label{nearest(text, labels)}"
        )
    lines: list[str] = []
    told: set[str] = set()
    for job in found[:_MOST]:
        lines += [f"{job.label}  ({job.stage}, key {job.key})"]
        lines += [f"  {line}" for line in _reasons(plan, store, job, told)]
    if len(found) > _MOST:
        lines.append(f"… and {len(found) - _MOST} more jobs")
    return lines


def _reasons(plan: Plan, store: Store, job: Job, told: set[str]) -> Iterator[str]:
    """Yield why a job is as it is; ``told`` are those that were explained already."""
    told.add(job.key)
    record, failure = store.record(job.ref), store.failure(job.ref)
    if record is not None:
        yield from _done(plan, store, job, record)
    elif failure is not None:
        stands = "the verdict stands" if failure["status"] == "invalid" else "it is tried again"
        yield f"{failure['status']}: {failure['reason']}; {stands}"
    else:
        yield from _never_done(plan, store, job, told)


def _done(plan: Plan, store: Store, job: Job, record: Mapping[str, Any]) -> Iterator[str]:
    """Compare what the job was made from with what its inputs are now."""
    changed = False
    for role, ref in job.inputs.items():
        now = store.record(ref)
        label = plan.jobs[ref.key].label
        if now is None:
            changed = True
            yield f"to be done again once '{label}' is, if that gives other bytes: it is not done"
        elif now["output"] != record["inputs"].get(role):
            changed = True
            yield f"to be done again: '{label}' was made again since, with other bytes"
    if not changed:
        made = record["provenance"]
        yield f"done in {made['seconds']:.1f} s on {made['device']} of {made['host']}"


def _never_done(plan: Plan, store: Store, job: Job, told: set[str]) -> Iterator[str]:
    attempts = len(list(store.folder(job.ref).glob("start-*.json")))
    if attempts:
        yield f"started {attempts} times and never done: its run was stopped or its worker died"
    nearest_ref, differences = _nearest(store, job)
    if nearest_ref is None:
        if not attempts:
            yield f"new: no {job.stage} job was ever done in this folder"
        return
    yield f"its key is new; nearest to it is {nearest_ref.key[:12]}, which differs in"
    for place, before, now in differences:
        if place.startswith("input ") and now in plan.jobs:
            label = plan.jobs[now].label
            yield f"  {place}: another job, '{label}' ({before[:12]} -> {now[:12]})"
            if now not in told and not store.is_done(plan.jobs[now].ref):
                yield from (f"    {line}" for line in _reasons(plan, store, plan.jobs[now], told))
        else:
            yield f"  {place}: {before} -> {now}"


def _nearest(store: Store, job: Job) -> tuple[JobRef | None, list[tuple[str, str, str]]]:
    """Return the done job of the stage with the fewest differences, and those."""
    own = _parts(canonical(job.task), {role: ref.key for role, ref in job.inputs.items()})
    best: tuple[JobRef | None, list[tuple[str, str, str]]] = (None, [])
    for record in store.records(job.stage):
        made = record["provenance"]
        if "task" not in made:
            continue
        other = _parts(made["task"], made["input_keys"])
        differences = [
            (place, str(other.get(place, _ABSENT)), str(own.get(place, _ABSENT)))
            for place in dict.fromkeys([*other, *own])
            if other.get(place, _ABSENT) != own.get(place, _ABSENT)
        ]
        if differences and (best[0] is None or len(differences) < len(best[1])):
            best = JobRef(record["stage"], record["key"]), differences
    return best


def _parts(task: Any, inputs: Mapping[str, str]) -> dict[str, Any]:
    return {**dict(_leaves(task, "")), **{f"input {role}": key for role, key in inputs.items()}}


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, f"{place}.{name}" if place else name)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{place}[{number}]")
    else:
        yield place, value
