"""Hostile files end in a sentence: no traceback, no code executed, no hang.

Each kind of file is damaged at random a few times in ``make test``. In full it is, for example,
``FUZZ_EXAMPLES=400 pytest tests/test_fuzz.py``.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
import typer
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from hashattack.attacks.protocols import PROTOCOLS
from hashattack.benchmark.console import usage_errors
from hashattack.benchmark.external.export import TrialFile
from hashattack.benchmark.external.submission import Kind, read_submission
from hashattack.benchmark.plan.plan import make_plan
from hashattack.benchmark.plugins import load_plugins
from hashattack.benchmark.registry import registry
from hashattack.benchmark.regression.baseline import read_baseline
from hashattack.benchmark.results import finished
from hashattack.benchmark.results.manifest import result_rows
from hashattack.benchmark.results.status import read_status
from hashattack.benchmark.suites.loading import hyper_parameters, load_suite, parse_params
from hashattack.benchmark.suites.sources import shipped
from hashattack.datasets.doctor import examine
from hashattack.datasets.files import write_checked
from hashattack.targets.backbones import Tiny
from hashattack.targets.checkpoints import foreign_hasher
from hashattack.targets.hasher import TargetSpec, build_hasher
from hashattack.targets.losses import DPSH
from tests.conftest import ROOT, SmokeRun
from tests.honest_attack import HONEST
from tests.photos import photo_folder, spec
from tests.test_plugins import forget

_SECONDS = 30
fuzzed = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "8")),
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@contextmanager
def ends_in_a_sentence() -> Iterator[None]:
    """Let a block succeed, or fail as a command does that shows one sentence; in bounded time."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"it takes longer than {_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_SECONDS)
    try:
        with pytest.MonkeyPatch.context() as patch:
            said: list[str] = []
            patch.setattr("typer.echo", lambda text, err=False: said.append(text))
            try:
                with usage_errors():
                    yield
            except typer.Exit:
                text = "".join(said)
                text.encode()  # a lone surrogate cannot be printed
                assert text.replace("\n", "").isprintable(), text
                assert "weights_only" not in text
                assert len(text) < 20_000
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Return bytes of a file after one to four changes: flipped, cut, repeated or foreign ones."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.sampled_from([0, 1, 1, 4, 30, 1 << 20])))
        new = draw(st.sampled_from(["flip", "drop", "repeat", "bytes", "text"]))
        middle = {
            "flip": bytes(byte ^ (1 << draw(st.integers(0, 7))) for byte in content[start:end][:4]),
            "drop": b"",
            "repeat": content[start:end] * 3,
            "bytes": draw(st.binary(max_size=8)),
            "text": draw(st.sampled_from(_TOKENS)),
        }[new]
        content = content[:start] + middle + content[end:]
    return content


_TOKENS = [b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"nan", b"1e999", b"-1", b"[[", b"{", b'"', b"\n"]
_TOKENS += [
    b"&a [*a, *a]",
    b"!!python/object",
    b"2026-01-01",
    b"9" * 400,
    b"../",
    b"~",
    b"\x1b[31m",
]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**30, -(10**30), float("nan"), float("inf"), 1e-320, "", "../..", "a\x00b"]),
    st.text(max_size=12),
    st.dates(),
)
names = st.text(max_size=6)
junk = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """Return nested data with one value replaced, removed or added at a random place."""
    if isinstance(value, dict | list) and value and draw(st.integers(0, 5)):
        key: Any = draw(
            st.sampled_from(list(value) if isinstance(value, dict) else range(len(value)))
        )
        copy: Any = value.copy()
        if draw(st.integers(0, 5)):
            copy[key] = draw(changed(value[key]))
        else:
            del copy[key]
        return copy
    if isinstance(value, dict) and draw(st.booleans()):
        return {**value, draw(names): draw(junk)}
    return draw(junk)


def as_json(value: Any) -> bytes:
    return json.dumps(value, default=str).encode("utf-8", "surrogatepass")


def variants(content: bytes) -> st.SearchStrategy[bytes]:
    """Return a JSON file with bytes or values changed."""
    return st.one_of(damaged(content), changed(json.loads(content)).map(as_json))


@fuzzed
@given(data=st.data())
def test_suites(data: st.DataObject, scratch: Path, cache: Path) -> None:
    content = shipped()[
        data.draw(st.sampled_from(["smoke", "demo", "table1", "mini"]))
    ].read_bytes()
    values = changed(yaml.safe_load(content)).map(lambda one: yaml.safe_dump(one).encode())
    file = scratch / "suite.yaml"
    file.write_bytes(data.draw(st.one_of(damaged(content), values)))
    with ends_in_a_sentence():
        make_plan(load_suite(str(file)), cache)


@fuzzed
@given(data=st.data())
def test_values_of_a_suite(data: st.DataObject, cache: Path) -> None:
    keys = ["queries", "compute.batch", "bits", "training.epochs", "datasets.n_query", "seeds"]
    keys += ["params.steps", "n_t", "policies", "attacks", "victims", "gallery", "datasets"]
    values = data.draw(st.dictionaries(st.sampled_from(keys), junk, min_size=1, max_size=2))
    texts = [f"{key}={yaml.safe_dump(value)}" for key, value in values.items()]
    with ends_in_a_sentence():
        make_plan(load_suite("smoke", values=parse_params(texts, "--set")), cache)


@fuzzed
@given(data=st.data())
def test_lists_and_images(data: st.DataObject, scratch: Path, cache: Path) -> None:
    root = scratch / "photos"
    shutil.rmtree(root, ignore_errors=True)
    photo_folder(root)
    names = ["test.txt", "train.txt", "database.txt", "img/0.png", "img/5.png"]
    for name in data.draw(st.sets(st.sampled_from(names), min_size=1, max_size=2)):
        (root / name).write_bytes(data.draw(damaged((root / name).read_bytes())))
    with ends_in_a_sentence():
        examine(spec(root).inspect(cache), 9)
    with ends_in_a_sentence():
        spec(root).load(cache).query.images.read(np.arange(1))


class Hostile:
    """Touches a file when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.witness}",)


@pytest.fixture(scope="module")
def checkpoints(scratch: Path) -> dict[str, bytes]:
    """Return the bytes of whole and hostile state dicts by the suffix of their file."""
    trained = TargetSpec(method=DPSH(), backbone=Tiny(), bits=12, weights="none")
    state = build_hasher(trained, 32, seed=0).state_dict()
    files = {}
    for number, content in enumerate((state, {"state_dict": state, "x": Hostile(scratch / "ran")})):
        for form in (True, False):
            buffer = io.BytesIO()
            torch.save(content, buffer, _use_new_zipfile_serialization=form)
            files[f"{number}-{form}.pth"] = buffer.getvalue()
        files[f"{number}.pkl"] = pickle.dumps(content)
    return {**files, "whole.safetensors": save({name: one.clone() for name, one in state.items()})}


@fuzzed
@given(data=st.data())
def test_checkpoints(data: st.DataObject, scratch: Path, checkpoints: dict[str, bytes]) -> None:
    name = data.draw(st.sampled_from(sorted(checkpoints)))
    content = checkpoints[name]
    (scratch / name).write_bytes(data.draw(st.one_of(st.just(content), damaged(content))))
    with ends_in_a_sentence():
        foreign_hasher(scratch / name, DPSH(), Tiny(), side=32, normalise="none", scale=None)
    assert not (scratch / "ran").exists(), "code in the file was executed"


@pytest.fixture(scope="module")
def run_folder(smoke: SmokeRun, scratch: Path) -> Path:
    """Return a copy of the smoke run without its large files."""
    large = shutil.ignore_patterns("*.safetensors", "report", "logs")
    return Path(shutil.copytree(smoke.out, scratch / "run", ignore=large))


@fuzzed
@given(data=st.data())
def test_files_of_a_run(data: st.DataObject, run_folder: Path) -> None:
    stage = data.draw(st.sampled_from(["score", "hash", "craft", "draw", "train"]))
    records = sorted((run_folder / "store" / stage).glob("*/done.json"))
    names = ["plan.json", "events.jsonl"]
    files = [*(run_folder / name for name in names), *records]
    file = data.draw(st.sampled_from(files))
    whole = file.read_bytes()
    lines = file.suffix == ".jsonl"
    file.write_bytes(data.draw(damaged(whole) if lines else variants(whole)))
    try:
        for read in (result_rows, read_status, lambda out: read_baseline(out, "t_map")):
            with ends_in_a_sentence():
                read(run_folder)
    finally:
        file.write_bytes(whole)


@fuzzed
@given(data=st.data())
def test_the_memo_of_a_finished_run(
    data: st.DataObject, smoke: SmokeRun, run_folder: Path, cache: Path
) -> None:
    values = json.loads((smoke.out / "finished.json").read_bytes())["values"]
    content = {"key": finished._memo(run_folder, {})._key, "values": data.draw(changed(values))}
    content = json.loads(as_json(content).replace(b"NaN", b"0").replace(b"Infinity", b"1"))
    write_checked(run_folder / "finished.json", content)
    with ends_in_a_sentence():
        finished.recall(run_folder, {}, cache)


@fuzzed
@given(data=st.data())
def test_baselines(data: st.DataObject, scratch: Path) -> None:
    content = (ROOT / "tests" / "baseline" / "smoke.json").read_bytes()
    (scratch / "baseline.json").write_bytes(data.draw(variants(content)))
    with ends_in_a_sentence():
        read_baseline(scratch / "baseline.json", "t_map").restored_suite()


@fuzzed
@given(data=st.data())
def test_trials(data: st.DataObject, scratch: Path, trials: Path) -> None:
    (scratch / "trials.json").write_bytes(
        data.draw(variants((trials / "trials.json").read_bytes()))
    )
    with ends_in_a_sentence():
        TrialFile.read(scratch / "trials.json")


@fuzzed
@given(data=st.data())
def test_submissions(data: st.DataObject, scratch: Path) -> None:
    images, codes = np.full((2, 3, 8, 8), 0.5, np.float32), np.ones((2, 12), np.int8)
    file = scratch / data.draw(
        st.sampled_from(["i.npy", "i.npz", "i.safetensors", "c.npy", "c.csv", "hostile.npy"])
    )
    kind: Kind
    kind, array = ("codes", codes) if file.stem == "c" else ("images", images)
    if file.suffix == ".npz":
        np.savez(file, images=array)
    elif file.suffix == ".safetensors":
        file.write_bytes(save({"images": torch.from_numpy(array)}))
    elif file.suffix == ".csv":
        np.savetxt(file, array, delimiter=",")
    else:
        hostile = np.array([Hostile(scratch / "ran")], dtype=object)
        np.save(file, hostile if file.stem == "hostile" else array)
    file.write_bytes(data.draw(damaged(file.read_bytes())))
    with ends_in_a_sentence():
        read_submission(kind, file, array.shape)
    assert not (scratch / "ran").exists(), "code in the file was executed"


@fuzzed
@given(data=st.data())
def test_plug_ins(data: st.DataObject, scratch: Path) -> None:
    file = scratch / "fuzzed_plugin.py"
    file.write_bytes(data.draw(damaged(HONEST.encode())))
    try:
        with ends_in_a_sentence():
            load_plugins([file])
            for entry in registry().attacks.values():
                hyper_parameters(entry.build(PROTOCOLS["released"]))
    finally:
        forget()
