"""What ``plan`` shows: what is done and to do, time and space, and why a job is to be done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hashattack.benchmark.engines.base import ATTACKER, HARNESS, Slot
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.names import counted, nearest, span
from hashattack.benchmark.pipeline import STAGES
from hashattack.benchmark.plan.estimate import PROCESS_SECONDS
from hashattack.benchmark.plan.plan import Plan, needed
from hashattack.benchmark.schedule.attempts import lower_bound
from hashattack.benchmark.schedule.simulation import simulate
from hashattack.benchmark.store.keys import canonical
from hashattack.benchmark.store.store import Store
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.benchmark.terminal import Table

_PIXEL_BYTES = 3 * 4  # an adversarial image is stored exactly as it was crafted
_EXPLAINED = 20  # jobs at most
_ABSENT = "(absent)"


@dataclass(frozen=True)
class Preview:
    """What a run of a plan would do on some slots."""

    plan: Plan
    seconds: Mapping[str, float]  # an estimate by key, on one slot
    done: Collection[str]  # keys
    slots: Sequence[Slot]

    @property
    def left(self) -> list[str]:
        """Keys of the jobs that are to do."""
        return [key for key in self.plan.jobs if key not in self.done]

    @property
    def image_bytes(self) -> int:
        """Bytes of adversarial images, done and to do."""
        pixels: dict[str, int] = {
            cell.jobs["craft"].key: cell.row["n_queries"]
            * self.plan.data[cell.row["dataset_fingerprint"]].side ** 2
            for cell in self.plan.cells
            if cell.jobs and not cell.row["code_only"]
        }
        return _PIXEL_BYTES * sum(pixels.values())

    @property
    def table(self) -> Table:
        """One line per stage; ``shared`` counts the jobs that cells alone would have on top."""
        alone = Counter(
            job.stage for cell in self.plan.cells for job in needed([cell], self.plan.jobs).values()
        )
        rows = []
        for stage in STAGES:
            keys = [key for key, job in self.plan.jobs.items() if job.stage == stage]
            left = [key for key in keys if key not in self.done]
            work = span(sum(self.seconds[key] for key in left)) if left else ""
            counts = (len(keys), alone[stage] - len(keys), len(keys) - len(left))
            rows += [(stage, *map(str, counts), work)] if keys else []
        return Table(["stage", "jobs", "shared", "done", "work to do"], "lrrrr", rows)

    @property
    def summary(self) -> str:
        """What is to do, in a sentence."""
        jobs, keys = self.plan.jobs, self.left
        if not keys:
            return "everything is done"
        left = dict.fromkeys(jobs, 0.0) | {key: self.seconds[key] for key in keys}
        shared = {jobs[key].isolation for key in keys} & {HARNESS, ATTACKER}
        seconds = lower_bound(jobs, left, self.slots) + PROCESS_SECONDS * len(shared)
        return (
            f"{counted(len(keys), 'job')} to do: {sum(left.values()) / 3600:.2g} "
            f"device-hours, about {span(seconds)} on this machine ({len(self.slots)} at a time)"
        )

    def simulated(self) -> str:
        """Run the schedule in virtual time and return how long it takes, in a sentence."""
        ours, plain = (
            simulate(
                self.plan.jobs, self.seconds, self.slots, done=self.done, first_in_first_out=fifo
            )
            for fifo in (False, True)
        )
        return (
            f"simulated on {len(self.slots)} slots: {span(ours.seconds)}, {ours.ratio:.3f} times "
            f"the lower bound {span(ours.bound)} (first in first out: {span(plain.seconds)}, "
            f"{plain.ratio:.3f} times)"
        )


def explain(plan: Plan, store: Store, text: str) -> list[str]:
    """Return why jobs are done or to be done: what of their key is new, or what became of them.

    ``text`` is the beginning of a key, or a part of a label.

    Raises:
        SuiteError: the plan has no such job.
    """
    found = [job for key, job in plan.jobs.items() if key.startswith(text)]
    labels = {job.label: job for job in plan.jobs.values()}
    found = found or [job for label, job in labels.items() if text.lower() in label.lower()]
    if not found:
        raise SuiteError(
            f"--explain {text}: no job with such a key or label{nearest(text, labels, 3)}"
        )
    lines: list[str] = []
    explained: set[str] = set()
    for job in found[:_EXPLAINED]:
        lines.append(f"{job.label}  ({job.stage}, key {job.key})")
        lines += [f"  {line}" for line in _reasons(plan, store, job, explained)]
    if len(found) > _EXPLAINED:
        lines.append(f"… and {len(found) - _EXPLAINED} more jobs")
    return lines


def _reasons(plan: Plan, store: Store, job: Job, explained: set[str]) -> Iterator[str]:
    """Yield why a job is as it is, and add it to those that are explained."""
    explained.add(job.key)
    record, failure = store.record(job.ref), store.failure(job.ref)
    if record is not None:
        changed = False
        for role, ref in job.inputs.items():
            now, label = store.record(ref), plan.jobs[ref.key].label
            if now is None:
                changed = True
                yield f"to be done again once '{label}' is, if its output differs: it is not done"
            elif now["output"] != record["inputs"].get(role):
                changed = True
                yield f"to be done again: '{label}' was made again since, with another output"
        if not changed:
            made = record["provenance"]
            yield f"done in {made['seconds']:.1f} s on {made['device']} of {made['host']}"
        return
    if failure is not None:
        next_time = "it stays so" if failure["status"] == "invalid" else "it is tried again"
        yield f"{failure['status']}: {failure['reason']}; {next_time}"
        return
    attempts = len(list(store.folder(job.ref).glob("start-*.json")))
    if attempts:
        yield f"started {attempts} times and never done: its run was stopped or its worker died"
    done = _done_before(store, job)
    if not done:
        if not attempts:
            yield f"new: no {job.stage} job was ever done in this folder"
        return
    nearest_key, differing = min(done.items(), key=lambda item: len(item[1]))
    yield f"its key is new; nearest to it is {nearest_key[:12]}, which differs in"
    for place, (before, now_key) in differing.items():
        if not place.startswith("input ") or now_key not in plan.jobs:
            yield f"  {place}: {before} -> {now_key}"
            continue
        other = plan.jobs[now_key]
        yield f"  {place}: another job, '{other.label}' ({before[:12]} -> {now_key[:12]})"
        if now_key not in explained and not store.is_done(other.ref):
            yield from (f"    {line}" for line in _reasons(plan, store, other, explained))


def _done_before(store: Store, job: Job) -> dict[str, dict[str, tuple[str, str]]]:
    """Return by key the done jobs of a stage: what differs, by place, before and now."""
    found = {}
    own = _leaves(canonical(job.task)) | _inputs({r: ref.key for r, ref in job.inputs.items()})
    for record in store.records(job.stage):
        made = record["provenance"]
        if "task" in made:
            other = _leaves(made["task"]) | _inputs(made["input_keys"])
            pairs = {p: (other.get(p, _ABSENT), own.get(p, _ABSENT)) for p in {**other, **own}}
            differing = {p: (str(old), str(new)) for p, (old, new) in pairs.items() if old != new}
            if differing:
                found[record["key"]] = differing
    return found


def _inputs(keys: Mapping[str, str]) -> dict[str, Any]:
    return {f"input {role}": key for role, key in keys.items()}


def _leaves(value: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """Return what nested mappings hold by place, like ``attack.crafting.steps``."""
    found: dict[str, Any] = {}
    for name, item in value.items():
        inner = isinstance(item, Mapping)
        found |= _leaves(item, f"{place}{name}.") if inner else {f"{place}{name}": item}
    return found
