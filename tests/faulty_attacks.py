"""An honest attack of a plug-in file, and what becomes of it with one fault each."""

from __future__ import annotations

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
from attacks.base import Attack, Crafting, Fitted, attack
from attacks.protocols import EPSILON
from attacks.published import anchor_code
from attacks.target_codes import AnchorCode

KEPT = {}
WEIGHTS = np.linspace(0, 0.005, 9)

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
DATABASE = BESIDE.replace("query", "database")
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
    "a fit unseeded": (
        has(
            "scale: float = 1.0\n"
            "    learns: ClassVar[bool] = True\n"
            "    def fit(self, knowledge, **_):\n"
            "        return Fitted({'x': np.random.default_rng().random(3)}, {})"
        ),
        "repeats",
        f"it does not repeat under its seed: what its parts learn differs by up to {NUMBER}",
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
    "labels of the hidden database": (
        knows(
            f"float(np.load({BESIDE.replace('query', 'database')})[-9:] @ np.arange(10) @ WEIGHTS)"
        ),
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
