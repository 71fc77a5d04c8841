"""What another terminal shows of a run, what is run again, and why."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from hashattack.benchmark import running
from hashattack.benchmark.cli.main import app
from hashattack.benchmark.cli.run import run_and_show
from hashattack.benchmark.cli.tools import status_parts
from hashattack.benchmark.engines.base import EngineError, cpu_slots, gpu_slots, machine_slots
from hashattack.benchmark.plan.plan import Plan, make_plan
from hashattack.benchmark.plan.preview import explain
from hashattack.benchmark.progress.events import Event, EventLog, last_run
from hashattack.benchmark.results.finished import Rerun
from hashattack.benchmark.results.manifest import manifest_of, write_manifest
from hashattack.benchmark.results.status import read_status
from hashattack.benchmark.running import RunOptions, accepted, run_plan
from hashattack.benchmark.schedule.loop import RunOutcome
from hashattack.benchmark.store.folder import progress_file, take_over
from hashattack.benchmark.store.store import Store
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.benchmark.terminal import text_of
from hashattack.datasets.files import write_checked
from tests.conftest import ROOT, Recorder, SmokeRun, run_inline, small_suite


def test_a_finished_run_is_reported_without_torch(smoke: SmokeRun) -> None:
    code = "import sys; sys.modules['torch'] = None\nimport run_benchmark; run_benchmark.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "status", "--json", "--out", str(smoke.out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert status["state"] == "finished"
    assert sum(stage["done"] for stage in status["stages"]) == 76
    assert status["failures"] == status["running"] == []
    assert ": finished" in text_of(status_parts(read_status(smoke.out)))


def test_a_running_one_shows_slots_progress_and_failures(cache: Path, tmp_path: Path) -> None:
    plan, _ = run_inline(small_suite(), cache, tmp_path)
    store = Store(tmp_path / "store")
    job = next(job for job in plan.jobs.values() if job.stage == "craft")
    broken = next(job for job in plan.jobs.values() if job.stage == "encode")
    (store.folder(job.ref) / "done.json").unlink()
    store.fail(broken.ref, "failed", "it broke <b>")
    log = tmp_path / "logs" / f"encode-{broken.key[:12]}-x-1.log"
    log.write_text("".join(f"line {n}\n" for n in range(9)))
    take_over(tmp_path, "x")
    events = EventLog(tmp_path, "x", {"slots": ["cpu 0", "cpu 1"]})
    events(Event("begin", jobs=9, left=100.0))
    events(Event("started", job, slot="cpu 1", left=90.0))
    write_checked(progress_file(tmp_path, job.key), {"done": 3, "total": 10, "unit": "image"})
    with FileLock(tmp_path / ".lock"):
        write_checked(tmp_path / ".holder.json", {"host": "here", "pid": 7})
        status = read_status(tmp_path)
    assert status.state == "running"
    assert "pid 7" in status.detail
    assert [(job.slot, job.done, job.total) for job in status.running] == [("cpu 1", 3, 10)]
    assert status.seconds_left == pytest.approx(90, abs=5)
    (failure,) = status.failures
    assert failure.last_lines == [f"line {n}" for n in range(4, 9)]
    text = text_of(status_parts(status))
    for part in ("cpu 0", "3/10 images", job.label, "it broke <b>", "line 8", "left"):
        assert part in text
    killed = read_status(tmp_path)
    assert killed.state == "killed", "no lock and no last word"
    assert killed.detail == f"it ended during {job.label}; the same command continues"
    events(Event("end", reason="SIGTERM stopped the run"))
    assert read_status(tmp_path).detail == "SIGTERM stopped the run; the same command continues"


def test_events_survive_a_line_cut_by_a_kill(tmp_path: Path) -> None:
    log = EventLog(tmp_path, "a", {})
    log(Event("begin", jobs=1, left=1.0))
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"run": "a", "ev')
    second = EventLog(tmp_path, "b", {})
    second(Event("begin", jobs=2, left=1.0))
    second(Event("end", reason="finished"))
    assert [event["event"] for event in last_run(tmp_path)] == ["begin", "end"]


def run(plan: Plan, out: Path, cache: Path, rerun: Rerun, seen: Recorder) -> RunOutcome:
    return run_plan(
        plan,
        manifest_of(plan),
        out=out,
        cache=cache,
        options=RunOptions(rerun=rerun),
        listeners=[seen],
        echo=lambda _: None,
    )


def test_what_is_run_again(cache: Path, tmp_path: Path) -> None:
    plan, _ = run_inline(small_suite(), cache, tmp_path)
    store = Store(tmp_path / "store")
    jobs = {job.stage: job for job in plan.jobs.values()}
    seen = Recorder()
    for rerun in (Rerun.failed, Rerun.missing, Rerun.stale):
        run(plan, tmp_path, cache, rerun, seen)
    assert seen.ran == [], "all is done, by this very code"

    record = store.record(jobs["craft"].ref)
    assert record is not None
    record["provenance"]["torch"] = "1.0"
    write_checked(store.folder(jobs["craft"].ref) / "done.json", record)
    run(plan, tmp_path, cache, Rerun.failed, seen)
    assert seen.ran == []
    run(plan, tmp_path, cache, Rerun.stale, seen)
    assert seen.ran == [jobs["craft"].label]

    store.fail(jobs["craft"].ref, "failed", "it did")
    again = Recorder()
    assert run(plan, tmp_path, cache, Rerun.missing, again).count("failed") == 1
    assert again.ran == [], "a failure stands"
    assert run(plan, tmp_path, cache, Rerun.failed, again).count("ok") == 1
    assert len(again.ran) == 1


def test_all_over_again_deletes_nothing_and_goes_on_when_stopped(
    cache: Path, tmp_path: Path
) -> None:
    """What was made since ``--rerun all`` was first asked for counts; the file says since when."""
    job = next(iter(make_plan(small_suite(), cache).jobs.values()))
    made_before = {"began": time.time()}
    accepts = accepted(Rerun.all, tmp_path)
    made_since = {"began": time.time() + 1}
    assert not accepts(job, made_before)
    assert accepts(job, made_since)
    again = accepted(Rerun.all, tmp_path)
    assert not again(job, made_before)
    assert again(job, made_since), "a run that is started again goes on"
    assert accepted(Rerun.failed, tmp_path)(job, made_before)


def test_an_explanation_names_what_changed(cache: Path, tmp_path: Path) -> None:
    suite = small_suite()
    plan, _ = run_inline(suite, cache, tmp_path)
    store = Store(tmp_path / "store")
    craft = next(job for job in plan.jobs.values() if job.stage == "craft" and job.inputs)
    assert "done in" in explain(plan, store, craft.key[:10])[1]
    with pytest.raises(
        SuiteError, match=r"no job with such a key or label; there .* more$"
    ) as none:
        explain(plan, store, "0123")
    assert len(str(none.value)) < 200

    attacks = ["original", {"attack": "dhta", "params": {"steps": 3, "rule": "l2"}}]
    changed = make_plan(small_suite(attacks=attacks), cache)
    text = "\n".join(explain(changed, store, "craft DHTA"))
    assert "its key is new" in text
    assert "attack.crafting.steps: 2 -> 3" in text

    target = suite.targets[0].model_dump() | {"training": {"epochs": 2, "learning_rate": 0.02}}
    retrained = make_plan(small_suite(targets=[target]), cache)
    text = "\n".join(explain(retrained, store, "craft DHTA"))
    assert "input target: another job, 'train DPSH-Tiny-12'" in text
    assert "spec.training.epochs: 1 -> 2" in text

    encode = next(job for job in plan.jobs.values() if job.stage == "encode")
    record = store.record(next(iter(encode.inputs.values())))
    assert record is not None
    write_checked(
        store.folder(next(iter(encode.inputs.values()))) / "done.json", record | {"output": "other"}
    )
    text = "\n".join(explain(plan, store, encode.key))
    assert "'train DPSH-Tiny-12' was made again since, with another output" in text

    (store.folder(craft.ref) / "done.json").unlink()
    assert "started 1 times and never done" in "\n".join(explain(plan, store, craft.key))
    with pytest.raises(SuiteError, match="no job with such a key or label"):
        explain(plan, store, "crft")


def test_slots_are_named_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [slot.name for slot in machine_slots("cpu", 3, 1)] == ["cpu 0", "cpu 1", "cpu 2"]
    assert len({slot.device for slot in cpu_slots(3)}) == 3
    shared = gpu_slots([0, 2], 2)
    assert [slot.name for slot in shared] == ["gpu 0.0", "gpu 0.1", "gpu 2.0", "gpu 2.1"]
    assert [slot.device for slot in shared] == ["gpu 0", "gpu 0", "gpu 2", "gpu 2"]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert [slot.name for slot in machine_slots("auto", None, 1)] == [f"gpu {n}" for n in range(4)]
    assert [slot.name for slot in machine_slots("1,3", None, 1)] == ["gpu 1", "gpu 3"]
    for wrong, message in (
        ("0,4", "this machine has 4 GPUs"),
        ("0,0", "numbers of GPUs"),
        ("x", "auto, cpu"),
    ):
        with pytest.raises(EngineError, match=message):
            machine_slots(wrong, None, 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7,8,9")
    assert gpu_slots([1], 1)[0].environment["CUDA_VISIBLE_DEVICES"] == "7"


def test_a_manifest_alone_was_never_run(cache: Path, tmp_path: Path) -> None:
    write_manifest(manifest_of(make_plan(small_suite(), cache)), tmp_path)
    assert read_status(tmp_path).state == "never run"


def test_a_quiet_run_shows_no_progress(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def noisy(plan: Plan, *_: object, **options: Any) -> RunOutcome:
        options["echo"]("many jobs")
        job = next(iter(plan.jobs.values()))
        for event in (Event("retry", job), Event("ended", job, status="failed", reason="broken")):
            for listener in options["listeners"]:
                listener(event)
        return RunOutcome()

    monkeypatch.setattr(running, "run_plan", noisy)
    plan = make_plan(small_suite(), cache)
    for quiet in (True, False):
        run_and_show(plan, {}, out=tmp_path, cache=cache, options=RunOptions(), quiet=quiet)
        printed = "".join(capsys.readouterr())
        assert ("many jobs" in printed and "failed" in printed) != quiet


def test_the_version_is_printed() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout.split()) == (0, ["hashattack", version("hashattack")])
