"""State dicts of other programs: whatever a file holds, it is read or refused in one sentence."""

from __future__ import annotations

import contextlib
import io
import pickle
import random
import struct
import zipfile
from argparse import Namespace
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from hashattack.benchmark.plan.plan import make_plan
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.targets.backbones import TargetError, Tiny
from hashattack.targets.checkpoints import foreign_hasher, read_trunk
from hashattack.targets.losses import DPSH, HashNet
from hashattack.targets.state_dicts import code_length, read_state
from tests.conftest import small_suite, untrained

GOOD = {
    name.removeprefix("trunk."): tensor
    for name, tensor in untrained().state_dict().items()
    if name not in ("scale", "mean", "std")
}
LAYER = "hash_layer.weight"
SHAPE = GOOD[LAYER].shape


def saved(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def header(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text + bytes(8)


def other_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(GOOD))
    return file.getvalue()


def cyclic() -> dict[str, Any]:
    one: dict[str, Any] = {}
    one["state_dict"] = one
    return one


MALFORMED = {
    "empty.pth": b"",
    "empty.safetensors": b"",
    "text.pth": b"no weights",
    "cut.pth": saved(GOOD)[:-200],
    "cut before.pth": saved(GOOD, _use_new_zipfile_serialization=False)[:900],
    "zip.pth": other_zip(),
    "stack.pth": b"\x80\x02}q\x00u.",
    "numpy.pth": pickle.dumps({LAYER: [0.0]}),
    "options.pth": saved({"model": GOOD, "args": Namespace(lr=1)}),
    "module.pth": saved(untrained()),
    "list.pth": saved([GOOD]),
    "nothing.pth": saved({}),
    "cyclic.pth": saved(cyclic()),
    "names.pth": saved({**GOOD, "\ud800\x1b": torch.zeros(1)}),
    "list.safetensors": header(b"[]"),
    "nested.safetensors": header(b"[" * 10_000),
    "kind.safetensors": header(b'{"a":{"dtype":"X","shape":[1],"data_offsets":[0,4]}}'),
    "long.safetensors": struct.pack("<Q", 1 << 63),
}


def check_refused(file: Path) -> str:
    """Return the one sentence that every reader refuses a file with."""
    found = set()
    for read in (read_state, lambda path: foreign_hasher(path, DPSH(), Tiny(), side=32)):
        with pytest.raises(TargetError) as caught:
            read(file)
        found.add(str(caught.value))
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
    (text,) = found
    assert text.isprintable()
    assert str(file) in text
    assert "weights_only" not in text
    return text


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_is_one_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(MALFORMED[name])
    check_refused(tmp_path / name)
    with pytest.raises(TargetError):
        code_length(tmp_path / name, name)


def test_a_file_that_is_not_there_or_is_none(tmp_path: Path) -> None:
    for name in ("absent.pth", "absent.safetensors", ""):
        assert check_refused(tmp_path / name).endswith(": no such file")


@pytest.mark.parametrize(
    ("tensor", "fault"),
    [
        (torch.zeros(SHAPE, dtype=torch.complex64), "plain real numbers (complex64)"),
        (torch.zeros(SHAPE, dtype=torch.bool), "plain real numbers (bool)"),
        (torch.zeros(SHAPE, dtype=torch.float8_e4m3fn), "plain real numbers (float8_e4m3fn)"),
        (torch.zeros(SHAPE).to_sparse(), "plain real numbers"),
        (torch.zeros(SHAPE, device="meta"), "plain real numbers"),
        (torch.zeros(1, 1).expand(12, 1 << 40), "repeats its numbers"),
        (torch.full(SHAPE, float("nan")), "NaN or infinite"),
        (torch.full(SHAPE, float("-inf")), "NaN or infinite"),
        (torch.full(SHAPE, 1e300, dtype=torch.float64), "NaN or infinite"),
    ],
    ids=count(),
)
def test_numbers_that_are_no_weights_are_refused(
    tensor: torch.Tensor, fault: str, tmp_path: Path
) -> None:
    torch.save({**GOOD, LAYER: tensor}, tmp_path / "odd.pth")
    text = check_refused(tmp_path / "odd.pth")
    assert LAYER in text
    assert fault in text


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), 1e-60, 1e60])
def test_a_scale_is_positive_and_finite(value: float, tmp_path: Path) -> None:
    torch.save(GOOD, tmp_path / "foreign.pth")
    with pytest.raises(TargetError, match="the scale must be positive and finite"):
        foreign_hasher(tmp_path / "foreign.pth", HashNet(), Tiny(), side=32, scale=value)


def test_the_scale_of_the_command_replaces_that_of_the_file(tmp_path: Path) -> None:
    torch.save({**GOOD, "scale": torch.tensor(3.0)}, tmp_path / "own.pth")
    for given, used in ((None, 3.0), (8.0, 8.0)):
        _, arrays = foreign_hasher(tmp_path / "own.pth", HashNet(), Tiny(), side=32, scale=given)
        assert arrays["scale"] == used


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_what_training_scripts_put_around_it_is_taken_off(
    key: str, prefix: str, tmp_path: Path
) -> None:
    state = {f"{prefix}{name}": tensor for name, tensor in GOOD.items()}
    torch.save({"epoch": 3, key: state, "loss": torch.zeros(1)}, tmp_path / "wrapped.pth")
    spec, arrays = foreign_hasher(tmp_path / "wrapped.pth", DPSH(), Tiny(), side=32)
    assert spec.bits == len(arrays[LAYER]) == 12
    trunk = {name: t for name, t in state.items() if "hash_layer" not in name}
    torch.save({key: trunk}, tmp_path / "trunk.pth")
    assert len(read_trunk(Tiny(), 32, tmp_path / "trunk.pth").state_dict()) == len(trunk)


def damaged() -> Iterator[tuple[str, bytes]]:
    """Yield files with some bytes replaced or lost."""
    draw = random.Random(0)
    whole = {
        "zip.pth": saved(GOOD),
        "legacy.pth": saved(GOOD, _use_new_zipfile_serialization=False),
        "whole.safetensors": save({n: t.contiguous() for n, t in GOOD.items()}),
    }
    for name, content in whole.items():
        for number in range(60):
            part = bytearray(content)
            for _ in range(number % 3):
                part[draw.randrange(min(len(part), 3000))] = draw.randrange(256)
            for _ in range(number % 2):
                part[-draw.randrange(1, 500)] = draw.randrange(256)
            yield name, bytes(part if number % 5 else part[: draw.randrange(len(part))])


def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    for name, content in damaged():
        (tmp_path / name).write_bytes(content)
        with contextlib.suppress(TargetError):
            foreign_hasher(tmp_path / name, DPSH(), Tiny(), side=32)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_checkpoint_of_other_bits_is_refused_by_the_plan(
    suffix: str, cache: Path, tmp_path: Path
) -> None:
    file = tmp_path / f"12.{suffix}"
    state = {n: t.contiguous() for n, t in untrained().state_dict().items()}
    file.write_bytes(save(state) if suffix == "safetensors" else saved(state))
    target = {"method": "DPSH", "backbone": "Tiny", "checkpoint": str(file)}
    assert make_plan(small_suite(targets={**target, "bits": 12}), cache).jobs
    with pytest.raises(SuiteError, match=r"12\.\w+ has codes of 12 bits, not 32: write bits: 12"):
        make_plan(small_suite(targets={**target, "bits": 32}), cache)
