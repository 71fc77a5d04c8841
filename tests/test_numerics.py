"""Precision is what the suite says, and stands in the row; on a GPU bits repeat."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from hashattack.benchmark.networks import numerics
from hashattack.benchmark.results.frame import load_results
from tests.conftest import run_inline, run_process, small_suite

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


def test_precision_is_recorded_and_other_jobs_are_other_jobs(cache: Path, tmp_path: Path) -> None:
    small = {"prototype_steps": 5, "width": 4, "epochs": 1, "batch": 20, "learning_rate": 0.01}
    attacks = [*small_suite().model_dump()["attacks"], {"attack": "prosgan", "params": small}]
    run_inline(small_suite(attacks=attacks), cache, tmp_path / "full")
    changed = small_suite(attacks=attacks, compute={"batch": 4, "precision": "bfloat16"})
    run_inline(changed, cache, tmp_path / "half")
    full, half = load_results(tmp_path / "full"), load_results(tmp_path / "half")
    assert set(full["precision"]) == {"full"}
    assert set(half["precision"]) == {"bfloat16"}
    assert (half["status"] == "ok").all()
    assert set(full["job_key"]).isdisjoint(half["job_key"])
    assert half["t_map"].tolist() == pytest.approx(full["t_map"].tolist(), abs=0.1)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile wants a C++ compiler")
def test_compiled_trunks_are_recorded_and_compute_the_same(cache: Path, tmp_path: Path) -> None:
    attacks = ["dhta-fgsm"]
    run_inline(small_suite(attacks=attacks), cache, tmp_path / "plain")
    compute = {"batch": 4, "compiled": True}
    run_inline(small_suite(attacks=attacks, compute=compute), cache, tmp_path / "compiled")
    plain, compiled = load_results(tmp_path / "plain"), load_results(tmp_path / "compiled")
    assert not plain["compiled"].any()
    assert compiled["compiled"].all()
    assert set(compiled["status"]) == {"ok"}
    assert compiled["passes_per_image"].tolist() == [2]
    assert set(plain["job_key"]).isdisjoint(compiled["job_key"])
    assert compiled["t_map"].tolist() == pytest.approx(plain["t_map"].tolist(), abs=0.02)


def test_a_training_in_bfloat16_sees_its_own_steps() -> None:
    network = torch.nn.Linear(4, 1)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    losses = []
    with numerics("bfloat16", torch.device("cpu")):
        for _ in range(5):
            optimiser.zero_grad()
            loss = (network(torch.ones(8, 4)) - 3).square().mean()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_bfloat16_is_on_inside_the_block_alone() -> None:
    one = torch.ones(2, 2)
    with numerics("bfloat16", torch.device("cpu")):
        assert (one @ one).dtype == torch.bfloat16
    assert (one @ one).dtype == torch.float32


@gpu
@pytest.mark.parametrize(("precision", "tf32"), [("full", False), ("tf32", True)])
def test_tf32_is_used_only_when_asked_for(precision: str, tf32: bool) -> None:
    before = torch.backends.cudnn.allow_tf32
    draws = torch.Generator("cuda").manual_seed(0)
    a = torch.randn(512, 512, generator=draws, device="cuda")
    with numerics(precision, torch.device("cuda")):  # type: ignore[arg-type]
        found = (a @ a).double()
        assert torch.backends.cudnn.allow_tf32 is tf32
        assert torch.are_deterministic_algorithms_enabled()
    exact = a.double() @ a.double()
    error = ((found - exact).abs().max() / exact.abs().max()).item()
    assert (error > 1e-5) is tf32
    assert torch.backends.cudnn.allow_tf32 is before
    assert not torch.are_deterministic_algorithms_enabled()


@gpu
def test_a_gpu_gives_the_same_bits_twice_whatever_shares_it(cache: Path, tmp_path: Path) -> None:
    tables = []
    for name, sharing in (("alone", "1"), ("shared", "3")):
        out = tmp_path / name
        arguments = ["run", "-s", "smoke", "-o", str(out), "--cache", str(cache)]
        done = run_process(*arguments, "--devices", "0", "--slots-per-device", sharing)
        assert done.returncode == 0, done.stdout + done.stderr
        tables.append(load_results(out))
    columns = ["attack", "source", "victim", "t_map", "map", "linf", "perceptibility"]
    pd.testing.assert_frame_equal(tables[0][columns], tables[1][columns])
    assert tables[0]["device"].str.contains("NVIDIA|AMD").any()
