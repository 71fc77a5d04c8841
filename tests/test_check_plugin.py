"""Plug-ins that break one promise each, and what check-plugin says of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmark.contract.checks import Verdict
from benchmark.contract.examination import declared, module_verdicts
from benchmark.contract.world import SealedError, World
from benchmark.plugins import load_plugins, write_template
from run_benchmark import app
from tests.conftest import run_cli
from tests.test_plugins import forget, written

HONEST = '''
import inspect
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
import numpy as np
import torch
from attacks.base import Attack, Crafting, attack
from attacks.protocols import EPSILON
from attacks.published import anchor_code
from attacks.target_codes import AnchorCode

KEPT = {}

@dataclass(frozen=True, kw_only=True)
class Rule(AnchorCode):
    pass  # of the rule

@dataclass(frozen=True, kw_only=True)
class Faulty(Crafting):
    scale: float = 1.0

    def perturb(self, batch, hasher, epsilon):
        images, codes = batch.images, batch.codes.to(batch.images)
        weight = torch.arange(1, codes.shape[1] + 1).to(images)
        way = torch.tanh((codes * weight).sum(dim=1)).view(-1, 1, 1, 1)
        out = (images + epsilon * way * (1 - images)).clamp(0, 1)
        return out

@attack
def faulty(protocol):
    """A faulty one."""
    rule = Rule(pool=protocol.anchor_pool, replacement=protocol.anchor_replacement)
    return Attack(
        id="faulty", title="Faulty", target_code=rule, crafting=Faulty(), epsilon=EPSILON
    )
'''
OUT = "        return out\n"
RULE = "    pass  # of the rule\n"
SCALE = "    scale: float = 1.0\n"


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Leave no plug-in to other tests."""
    yield
    forget()


def crafts(code: str) -> str:
    """Return the honest attack with another end of its crafting."""
    return HONEST.replace(OUT, "".join(f"        {line}\n" for line in code.split("\n")))


def names(code: str) -> str:
    """Return the honest attack whose rule ends otherwise."""
    head = "    def codes(self, knowledge, targets, rows, seed):\n"
    head += "        codes = super().codes(knowledge, targets, rows, seed)\n"
    return HONEST.replace(RULE, f"{head}        return {code}\n")


def has(code: str) -> str:
    """Return the honest attack with another hyper-parameter."""
    return HONEST.replace(SCALE, f"    {code}\n")


def knows(code: str) -> str:
    """Return the honest attack whose crafting ends by adding what it takes from knowledge."""
    lines = [
        "    def ready(self, knowledge, epsilon):",
        f"        more = {code}",
        "        def perturb(batch):",
        "            out = self.perturb(batch, knowledge.hasher, epsilon / 2)",
        "            return (out + epsilon / 4 * more).clamp(0, 1)",
        "        return perturb",
    ]
    return HONEST.replace(SCALE, SCALE + "\n" + "\n".join(lines) + "\n")


BESIDE = 'Path(knowledge.train_images.array.filename).with_name("query-labels.npy")'
NUMBER = r"[\d.e-]+"
FAULTS = {
    "id": (HONEST.replace('id="faulty"', 'id="faulty, one"'), "id", "its id 'faulty, one' is not"),
    "title": (HONEST.replace('"Faulty"', '" "'), "id", "it has no title"),
    "a function for a parameter": (
        has("scale: Any = field(default=abs)"),
        "parameters",
        "its hyper-parameters make no job key: builtin_function_or_method has no canonical form",
    ),
    "NaN for a parameter": (
        has('scale: float = float("nan")'),
        "parameters",
        "its hyper-parameters make no job key: Out of range float values",
    ),
    "a parameter that differs": (
        has("scale: int = field(default_factory=lambda: KEPT.setdefault(len(KEPT), len(KEPT)))"),
        "parameters",
        "built twice, its hyper-parameters differ",
    ),
    "a type a suite cannot check": (
        has("scale: threading.Lock = None"),
        "parameters",
        "a suite cannot set its hyper-parameters: Unable to generate pydantic-core schema",
    ),
    "two parameters of one name": (
        has("n_t: int = 9"),
        "parameters",
        "a suite cannot set its hyper-parameters: faulty: two hyper-parameters are called 'n_t'",
    ),
    "no decorator": (
        HONEST.replace("@dataclass(frozen=True, kw_only=True)\nclass Faulty", "class Faulty"),
        "parameters",
        "'scale' of Faulty is no hyper-parameter: decorate the class with @dataclass",
    ),
    "a lock": (
        has('scale: Any = field(default_factory=threading.Lock, metadata={"key": False})'),
        "worker",
        "it cannot be sent to a worker: TypeError: cannot pickle '_thread.lock' object",
    ),
    "zero in a code": (names("codes * 0"), "codes", "its target codes contain 0, not only"),
    "half a code": (
        names("codes[:, :6]"),
        "codes",
        r"its target codes have the shape \(6, 6\), not \(6, 12\)",
    ),
    "no tensor for codes": (
        names("codes.numpy()"),
        "codes",
        "its target codes are a ndarray, not a tensor",
    ),
    "grey": (
        crafts("return out[:, :1]"),
        "shape",
        r"its images have the shape \(6, 1, 32, 32\) for queries of the shape \(6, 3, 32, 32\)",
    ),
    "no tensor": (
        crafts("return out.numpy()"),
        "shape",
        "it gives a ndarray for images, not a tensor",
    ),
    "double": (
        crafts("return out.double()"),
        "dtype",
        "its images are torch.float64 where the queries are torch.float32",
    ),
    "NaN": (
        crafts(
            'out[:, 0, 0, 0] = float("nan") if epsilon else 0\nreturn out if epsilon else images'
        ),
        "finite",
        "6 of its pixels are NaN or infinite",
    ),
    "out of range": (
        crafts("return images - epsilon"),
        "range",
        rf"its pixels leave \[0, 1\]: they go from -{NUMBER} to 0\.{NUMBER}",
    ),
    "twice the budget": (
        crafts("return (images + 2 * epsilon).clamp(0, 1)"),
        "budget",
        r"it breaks its budget: L-infinity 16\.0000/255 exceeds the declared budget of 8\.0000/255",
    ),
    "its own budget": (
        crafts("return (images + 4 / 255).clamp(0, 1)"),
        "zero",
        r"at a budget of zero its images differ from the queries by 0\.0157",
    ),
    "kept images": (
        crafts(
            "keys = [(int(row), images.dtype, epsilon) for row in batch.rows]\n"
            "return torch.stack([KEPT.setdefault(key, one) for key, one in zip(keys, out)])"
        ),
        "looks",
        "it does not look at its images: 6 of 6 mirrored queries change nothing",
    ),
    "a weight": (
        crafts("hasher.hash_layer.weight.fill_(1)\nreturn out"),
        "hasher",
        "it changes the hasher it is given: the weights hash_layer.weight$",
    ),
    "a buffer": (
        crafts("hasher.scale.fill_(2)\nreturn out"),
        "hasher",
        "it changes the hasher it is given: the buffer scale$",
    ),
    "training": (
        crafts("hasher.hash_layer.train()\nreturn out"),
        "hasher",
        "it changes the hasher it is given: the training flag of hash_layer$",
    ),
    "requires_grad": (
        crafts("hasher.requires_grad_(True)\nreturn out"),
        "hasher",
        r"it changes the hasher it is given: requires_grad of trunk\.0\.weight and \d+ more",
    ),
    "a gradient": (
        crafts(
            "weight = hasher.hash_layer.weight.requires_grad_(True)\n"
            "hasher(images).sum().backward()\nweight.requires_grad_(False)\nreturn out"
        ),
        "hasher",
        "it changes the hasher it is given: the gradient of hash_layer.weight$",
    ),
    "a hook": (
        crafts("hasher.register_forward_hook(lambda *_: None)\nreturn out"),
        "hasher",
        "it changes the hasher it is given: the hooks of the whole$",
    ),
    "in place": (
        crafts("return images.add_(epsilon).clamp_(0, 1)"),
        "inputs",
        "it changes what it is given: the images of its batch$",
    ),
    "labels in place": (
        names("(knowledge.train.labels[-1].fill(0), codes)[1]"),
        "inputs",
        "it changes what it is given: the training labels$",
    ),
    "counting": (
        crafts("KEPT[0] = KEPT.get(0, 0) + 1\nreturn images + (out - images) / KEPT[0]"),
        "repeats",
        f"crafting the same batch twice gives images that differ by up to {NUMBER}",
    ),
    "unseeded": (
        knows("np.random.default_rng().random()"),
        "repeats",
        f"it does not repeat under its seed: its images differ by up to {NUMBER}",
    ),
    "codes unseeded": (
        names("torch.from_numpy(np.random.default_rng().choice([-1, 1], codes.shape))"),
        "repeats",
        r"it does not repeat under its seed: its target codes differ in \d+ bits",
    ),
    "torch's state": (
        crafts("return images + (out - images) * torch.rand_like(images)"),
        "random",
        "it moves the global random state of torch",
    ),
    "numpy's state": (
        crafts("return images + (out - images) * np.random.random()"),
        "random",
        "it moves the global random state of numpy",
    ),
    "python's state": (
        crafts("return images + (out - images) * random.random()"),
        "random",
        "it moves the global random state of python",
    ),
    "a state read": (
        crafts("return images + (out - images) / (2 + torch.initial_seed())"),
        "random",
        f"it reads global random state: its images differ by up to {NUMBER} where that is seeded",
    ),
    "hidden labels": (
        knows(f"float(np.load({BESIDE})[0] @ np.arange(10)) / 45"),
        "hidden",
        f"it reads labels that are hidden from it: its images differ by up to {NUMBER} where they",
    ),
    "the database": (
        HONEST.replace("pool=protocol.anchor_pool", 'pool="database"'),
        "codes",
        "it raises AttackError: this protocol does not show the database to an attacker",
    ),
    "codes of others": (
        names("codes.roll(1, 0)"),
        "order",
        r"in another order, \d of 6 queries get another target code",
    ),
    "images of others": (
        crafts("return (images + (out - images).roll(1, 0)).clamp(0, 1)"),
        "order",
        f"in another order, queries get other images, which differ by up to {NUMBER}",
    ),
    "batch statistics": (
        crafts("return images + (out - images) * torch.tanh(images.std(dim=0, correction=0))"),
        "batch",
        "its images depend on the batch they are in: batches of 1 and 6 differ by up to " + NUMBER,
    ),
    "codes of a crowd": (
        names("codes * (1 if len(rows) > 4 else -1)"),
        "batch",
        "its target codes depend on the other queries: those of the first 4 change without",
    ),
    "raises": (
        crafts("return out / 0 if epsilon is None else 1 / 0"),
        "shape",
        r"it raises ZeroDivisionError \(plugin_under_test.py, line \d+\): division by zero",
    ),
    "raises for one": (
        crafts("return out if len(out) > 1 else out[1]"),
        "batch",
        r"it raises IndexError \(plugin_under_test.py, line \d+\): index 1 is out of bounds",
    ),
}


def examined(folder: Path, text: str, world: World) -> list[Verdict]:
    """Return what the checks of a plug-in file come to."""
    (module,) = load_plugins([written(folder, text, "plugin_under_test.py")])
    return list(module_verdicts(module, world, folder))


def broken(found: list[Verdict]) -> dict[str, set[str]]:
    """Return the findings by check, without the names before them."""
    by_check: dict[str, set[str]] = {}
    for one in found:
        if one.status == "broken":
            by_check.setdefault(one.check, set()).add(one.text)
    return by_check


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught_by_its_check_alone(fault: str, world: World, tmp_path: Path) -> None:
    text, check, sentence = FAULTS[fault]
    assert text != HONEST
    found = examined(tmp_path, text, world)
    by_check = broken(found)
    assert list(by_check) == [check], by_check
    assert all(re.match(sentence, said) for said in by_check[check]), by_check
    assert all("\n" not in one.sentence for one in found)
    names = {one.of for one in found if one.status == "broken"}
    assert all(
        re.fullmatch(r"faulty(, one)? \((released|paper|paper-literal)\)", name) for name in names
    ), names


def test_the_honest_one_and_the_template_keep_every_promise(world: World, tmp_path: Path) -> None:
    assert broken(examined(tmp_path, HONEST, world)) == {}
    (module,) = load_plugins([write_template("my-idea", tmp_path)])
    found = list(module_verdicts(module, world, tmp_path))
    assert {one.status for one in found} == {"kept"}
    assert {one.of for one in found} == {"my-idea (released)", "my-idea (paper)"}
    assert len(found) == 36


def test_the_queries_labels_are_sealed(world: World) -> None:
    labels = world.data.query.labels
    assert labels.shape == (24, 10)
    for read in (lambda: labels[0], lambda: labels.tolist(), lambda: np.asarray(labels)):
        with pytest.raises((SealedError, AttributeError)):
            read()


PARTS = """
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
import numpy as np
import torch
from torch import nn
from attacks.base import TargetCode
from datasets.base import ArrayImages, DatasetError, DatasetSpec, RetrievalData, Split
from targets.backbones import Backbone
from targets.losses import HashingMethod

@dataclass(frozen=True, kw_only=True)
class Mine(HashingMethod):
    name: ClassVar[str] = "Mine"

    def loss(self, z, memory, similar):
        return ((z @ memory.T / z.shape[1] - similar) ** 2).mean()

@dataclass(frozen=True, kw_only=True)
class Flat(Backbone):
    name: ClassVar[str] = "Flat"

    def trunk(self, side):
        return nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(3 * (side // 8) ** 2, 5))

@dataclass(frozen=True, kw_only=True)
class First(TargetCode):
    def codes(self, knowledge, targets, rows, seed):
        return knowledge.train.codes[:1].expand(len(rows), -1)

@dataclass(frozen=True, kw_only=True)
class Few(DatasetSpec):
    name: ClassVar[str] = "few"

    def load(self, cache):
        split = Split(
            ArrayImages(np.zeros((4, 3, 32, 32), dtype=np.uint8)), np.eye(4, dtype=np.uint8)
        )
        return RetrievalData(
            name="few", classes=("a", "b", "c", "d"), side=32, train=split, query=split,
            database=split, fingerprint="few",
        )
"""
CHANGES = {
    ("finite", "its loss is not a finite number but nan where no pair is similar"): (
        "similar) ** 2).mean()",
        "similar) ** 2)[similar > 0].mean()",
    ),
    ("finite", "its loss is not differentiable"): (
        "similar) ** 2).mean()",
        "1) ** 2).mean().detach()",
    ),
    ("repeats", "it moves the global random state of torch"): (
        "(z @ memory",
        "(torch.rand(1) * z @ memory",
    ),
    ("builds", "its features of 4 images have the shape (4, 3, 4, 4), not (4, 48)"): (
        "nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(3 * (side // 8) ** 2, 5))",
        "nn.AvgPool2d(8)",
    ),
    ("batch", "no gradient leads back to the pixels"): (
        "nn.AvgPool2d(8), nn",
        "nn.AvgPool2d(8), nn.Threshold(9, 0), nn",
    ),
    ("batch", "an image's features depend on its batch: they differ by up to"): (
        "nn.AvgPool2d(8), nn",
        "nn.AvgPool2d(8), nn.BatchNorm2d(3, track_running_stats=False), nn",
    ),
    ("repeats", "under one seed it begins with other weights: 2.weight differs"): (
        "        return nn.Seq",
        "        torch.seed()\n        return nn.Seq",
    ),
    ("codes", "its target codes have the shape (1, 12), not (6, 12)"): (
        ".expand(len(rows), -1)",
        "",
    ),
    ("loads", "its train labels are float64 up to 1.0 of shape (4, 4), not uint8 0 and 1 for"): (
        "np.eye(4, dtype=np.uint8)",
        "np.eye(4)",
    ),
    ("loads", "two train images are uint8 of shape (2, 3, 16, 16), not uint8 (2, 3, 32, 32)"): (
        "np.zeros((4, 3, 32, 32)",
        "np.zeros((4, 3, 16, 16)",
    ),
    ("repeats", "loaded twice, it has two fingerprints"): (
        'fingerprint="few"',
        "fingerprint=str(id(object())) + str(np.random.default_rng().random())",
    ),
}


@pytest.mark.parametrize(("finding", "change"), CHANGES.items())
def test_faults_of_other_parts(
    finding: tuple[str, str], change: tuple[str, str], world: World, tmp_path: Path
) -> None:
    check, sentence = finding
    assert change[0] in PARTS
    by_check = broken(examined(tmp_path, PARTS.replace(*change), world))
    assert list(by_check) == [check], by_check
    assert all(said.startswith(sentence) for said in by_check[check]), by_check


def test_other_parts_are_examined_or_say_why_not(world: World, tmp_path: Path) -> None:
    found = examined(tmp_path, PARTS, world)
    assert {one.of for one in found} >= {"Mine", "Flat", "few", "First (paper)"}
    assert {one.status for one in found} == {"kept"}
    forget()
    text = PARTS.replace(
        'name: ClassVar[str] = "few"\n', 'name: ClassVar[str] = "few"\n    root: str\n'
    )
    (one,) = [one for one in examined(tmp_path, text, world) if one.of == "few"]
    assert (one.status, one.text) == ("skipped", "not checked: it needs root")
    forget()
    text = PARTS.replace(
        "        split = Split(", '        raise DatasetError("no images")\n        Split('
    )
    few = [one.text for one in examined(tmp_path, text, world) if one.of == "few"]
    assert "not loaded: no images" in few


def test_what_is_imported_is_not_declared(tmp_path: Path) -> None:
    text = "from attacks.published import dhta\nfrom targets.losses import DPSH\n"
    (module,) = load_plugins([written(tmp_path, text, "plugin_under_test.py")])
    assert not declared(module)


def test_the_command(cache: Path, tmp_path: Path) -> None:
    good = write_template("my-idea", tmp_path)
    kept, told = ["--cache", str(cache)], tmp_path / "told.json"
    done = run_cli("check-plugin", str(good), "--json", str(told), *kept)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "all 36 promises kept"
    listed = json.loads(told.read_text(encoding="utf-8"))
    assert len(listed) == 36
    assert listed[0]["of"] == "my-idea (released)"

    def asked(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["check-plugin", *arguments, *kept])
        return done.exit_code, done.output

    bad = written(tmp_path, crafts("return images - epsilon"), "bad.py")
    code, said = asked(str(bad))
    assert code == 1
    assert "  broken  faulty (paper): its pixels leave [0, 1]: they go from" in said
    assert said.splitlines()[-1] == "2 of 36 promises broken"
    code, said = asked("--attack", "original")
    assert (code, said.splitlines()[-1]) == (0, "all 34 promises kept")
    code, said = asked(str(bad), "--attack", "fault")
    assert (code, "did you mean" in said) == (2, True)
    empty = written(tmp_path, "x = 1\n", "empty.py")
    code, said = asked(str(empty))
    assert (code, "empty.py declares nothing" in said) == (2, True)
    code, said = asked(str(written(tmp_path, "x = 1 / 0\n", "dead.py")))
    assert (code, "dead.py, line 1: ZeroDivisionError" in said) == (2, True)
    assert asked()[0] == 2
