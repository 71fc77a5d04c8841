"""Broken attacks, hashers and workers: each costs its own cells, with the reason in the row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hashattack.attacks.base import Attack, Batch, Crafting, Entry
from hashattack.attacks.pros_gan.training import TrainingSchedule
from hashattack.attacks.protocols import EPSILON, Protocol
from hashattack.benchmark import registry as registry_module
from hashattack.benchmark.results.frame import load_results
from hashattack.reports.records import loss_curves
from hashattack.targets.hasher import Hasher
from tests.conftest import Recorder, run_inline, small_suite


@dataclass(frozen=True, kw_only=True)
class Planted(Crafting):
    """A crafting that does what a test wants."""

    kind: str
    needs_code = False
    function: Callable[[Tensor], Tensor] = field(metadata={"key": False}, compare=False)

    def perturb(self, batch: Batch, hasher: Hasher, epsilon: float | None) -> Tensor:
        return self.function(batch.images)


def raise_error(images: Tensor) -> Tensor:
    raise ZeroDivisionError("in the middle of it")


PLANTED: dict[str, tuple[Callable[[Tensor], Tensor], str, str]] = {
    "too-far": (lambda x: (x + 9 / 255).clamp(0, 1), "invalid", "9.0000/255 exceeds the declared"),
    "nan": (lambda x: x * torch.nan, "invalid", "NaN or infinite pixels"),
    "shape": (lambda x: x[:, :, :-1], "invalid", "shape (4, 3, 31, 32), expected (4, 3, 32, 32)"),
    "range": (lambda x: x - 0.5, "invalid", "outside [0, 1]"),
    "crash": (raise_error, "failed", "ZeroDivisionError: in the middle of it"),
}


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    real = registry_module.registry()

    def entry(name: str) -> Entry:
        def build(_: Protocol) -> Attack:
            crafting = Planted(kind=name, function=PLANTED[name][0])
            return Attack(id=name, title=name, target_code=None, crafting=crafting, epsilon=EPSILON)

        return Entry(build, "planted")

    changed = replace(real, attacks={**real.attacks, **{name: entry(name) for name in PLANTED}})
    for module in ("plan.plan", "plan.cells", "suites.suite"):
        monkeypatch.setattr(f"hashattack.benchmark.{module}.registry", lambda: changed)


@pytest.mark.usefixtures("planted")
def test_a_broken_attack_is_a_row_with_its_reason(cache: Path, tmp_path: Path) -> None:
    suite = small_suite(attacks=["original", *PLANTED])
    run_inline(suite, cache, tmp_path)
    rows = load_results(tmp_path).set_index("attack")
    assert rows.loc["original", "status"] == "ok"
    for name, (_, status, reason) in PLANTED.items():
        assert rows.loc[name, "status"] == status
        assert reason in str(rows.loc[name, "reason"])
        assert bool(rows.loc[[name], "t_map"].isna().all()), "a broken attack has no score"
    assert rows["linf"]["too-far"] == pytest.approx(9 / 255, abs=1e-6)
    assert "logs/craft-" in str(rows.loc["crash", "reason"])
    logs = [log.read_text() for log in (tmp_path / "logs").glob("craft-*.log")]
    assert sum("in the middle of it" in log for log in logs) == 1


@pytest.mark.usefixtures("planted")
def test_a_verdict_stands_and_a_failure_is_tried_again(cache: Path, tmp_path: Path) -> None:
    suite = small_suite(attacks=["original", "too-far", "crash"])
    run_inline(suite, cache, tmp_path)
    second = Recorder()
    run_inline(suite, cache, tmp_path, second)
    assert second.ran == ["craft crash on DPSH-Tiny-12"]


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (lambda z: z * 0 + 0.3, "gives all 240 database images the same code"),
        (lambda z: z * torch.nan, "outputs NaN"),
    ],
)
def test_a_hasher_that_says_nothing_is_a_failed_row(
    output: Callable[[Tensor], Tensor],
    reason: str,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = Hasher.forward

    def broken(self: Hasher, images: Tensor, alpha: float = 1.0) -> Tensor:
        z = real(self, images, alpha)
        return z if self.training else output(z)

    monkeypatch.setattr(Hasher, "forward", broken)
    run_inline(small_suite(), cache, tmp_path)
    rows = load_results(tmp_path)
    assert (rows["status"] == "failed").all()
    assert rows["t_map"].isna().all()
    reasons = " ".join(rows["reason"])
    assert reason in reasons or reason.replace("240 database", "120 train") in reasons


def test_a_diverging_training_is_a_failed_row(cache: Path, tmp_path: Path) -> None:
    target = {"method": "DPSH", "backbone": "Tiny", "bits": 12, "weights": "none"}
    target["method_params"] = {"eta": 1e30}
    target["training"] = {"epochs": 2, "learning_rate": 1e30}
    run_inline(small_suite(targets=[target]), cache, tmp_path)
    rows = load_results(tmp_path)
    assert (rows["status"] == "failed").all()
    assert rows["reason"].str.contains("training loss became|outputs NaN|same code").all()


def test_a_diverging_gan_is_a_failed_row_with_its_curve(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrainingSchedule, "rate_at", lambda _, epoch, __: 1e30 if epoch else 1e-3)
    small = {"prototype_steps": 5, "width": 4, "epochs": 3, "batch": 20}
    attacks = ["original", {"attack": "prosgan", "params": small}]
    run_inline(small_suite(attacks=attacks), cache, tmp_path)
    rows = load_results(tmp_path).set_index("attack")
    assert rows["status"].to_dict() == {"original": "ok", "prosgan": "failed"}
    assert "diverged in epoch 2" in str(rows["reason"]["prosgan"])
    kept = {(point["loss"], point["epoch"]) for point in loss_curves(tmp_path)}
    assert {
        (name, 1) for name in ("reconstruction", "hash", "adversarial", "discriminator")
    } <= kept
