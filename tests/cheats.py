"""A plug-in file of attacks that cheat, one a class: what the tests give to the command line."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hashattack.datasets.base import RetrievalData

_TEXT = '''
import gc
import hashlib
import sys
import threading
import time
from dataclasses import dataclass

import numpy as np
import torch

from hashattack.attacks.base import Attack, Crafting, Fitted, attack
from hashattack.attacks.gradient import DHTA_SCHEDULE, ProjectedGradient
from hashattack.attacks.protocols import EPSILON
from hashattack.attacks.published import anchor_code
from hashattack.attacks.target_codes import AnchorCode
from hashattack.benchmark.audit import InvalidAttackError
from hashattack.targets.hasher import Hasher

DIGESTS = [...]  # of the queries' label rows, all of them or those that are attacked
KEPT = {}


LOOP = dict(steps=2, rule="l2", schedule=DHTA_SCHEDULE)


def entry(kind, epsilon=EPSILON):
    """Declare the attack of a class; its id is the class's name."""
    loop = LOOP if issubclass(kind, ProjectedGradient) else dict()

    def build(protocol):
        """Cheats."""
        code = anchor_code(protocol) if kind.needs_code else None
        made = kind(**loop)
        name = kind.__name__.lower()
        return Attack(id=name, title=name, target_code=code, crafting=made, epsilon=epsilon)

    globals()["declared_" + kind.__name__] = attack(build)
    return kind


def frames():
    frame = sys._getframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


def queries():
    """Return the data set's queries, found in the frames of the harness."""
    held = [value for frame in frames() for value in list(frame.f_locals.values())]
    return next(value.query for value in held if hasattr(value, "query"))


@entry
@dataclass(frozen=True, kw_only=True)
class Peeks(ProjectedGradient):
    def perturb(self, batch, hasher, epsilon):
        queries().labels
        return super().perturb(batch, hasher, epsilon)


@entry
@dataclass(frozen=True, kw_only=True)
class PeeksQuietly(ProjectedGradient):
    def perturb(self, batch, hasher, epsilon):
        try:
            queries().labels
        except Exception:
            pass
        return super().perturb(batch, hasher, epsilon)


@entry
@dataclass(frozen=True, kw_only=True)
class Searches(ProjectedGradient):
    def perturb(self, batch, hasher, epsilon):
        rows, found, seen, todo = 0, 0, set(), [*gc.get_objects(), *sys._current_frames().values()]
        for thing in todo:
            for one in (thing, *gc.get_referents(thing)):
                while type(one) in (np.ndarray, np.memmap, torch.Tensor) and id(one) not in seen:
                    seen.add(id(one))
                    labels = one.dtype in (np.uint8, torch.uint8)
                    if labels and one.ndim == 2 and one.shape[1] == 10:
                        rows += 1
                        parts = (np.asarray(one)[:n].tobytes() for n in (24, 10))
                        found += any(hashlib.sha256(part).hexdigest() in DIGESTS for part in parts)
                    one = getattr(one, "base", None)
        raise LookupError(f"{rows} label matrices in memory, {found} of them the queries'")


@entry
@dataclass(frozen=True, kw_only=True)
class MovesAWeight(ProjectedGradient):
    def perturb(self, batch, hasher, epsilon):
        hasher.hash_layer.weight.data[0, 0] += 1e-3
        return super().perturb(batch, hasher, epsilon)


@entry
@dataclass(frozen=True, kw_only=True)
class MovesABuffer(ProjectedGradient):
    def perturb(self, batch, hasher, epsilon):
        hasher.scale.fill_(2)
        return super().perturb(batch, hasher, epsilon)


@entry
@dataclass(frozen=True, kw_only=True)
class Trains(ProjectedGradient):
    def perturb(self, batch, hasher, epsilon):
        made = super().perturb(batch, hasher, epsilon)
        hasher.trunk.train()
        return made


@entry
@dataclass(frozen=True, kw_only=True)
class Thaws(ProjectedGradient):
    def perturb(self, batch, hasher, epsilon):
        hasher.requires_grad_(True)
        return super().perturb(batch, hasher, epsilon)


@entry
@dataclass(frozen=True, kw_only=True)
class Hooks(ProjectedGradient):
    def perturb(self, batch, hasher, epsilon):
        hasher.trunk.register_forward_hook(lambda *_: None)
        return super().perturb(batch, hasher, epsilon)


@entry
@dataclass(frozen=True, kw_only=True)
class Overrides(ProjectedGradient):
    def perturb(self, batch, hasher, epsilon):
        made = super().perturb(batch, hasher, epsilon)
        real = hasher.forward
        hasher.forward = lambda images, alpha=1.0: real(images, alpha)
        return made


@entry
@dataclass(frozen=True, kw_only=True)
class Patches(ProjectedGradient):
    def perturb(self, batch, hasher, epsilon):
        made = super().perturb(batch, hasher, epsilon)
        real = Hasher.forward
        Hasher.forward = lambda self, images, alpha=1.0: -real(self, images, alpha)
        return made


class Learns(ProjectedGradient):
    """Warms up on other images, because it says that it learns."""

    learns = True

    def fit(self, knowledge, *, epsilon, seed, journal, progress):
        return Fitted({"nothing": np.zeros(1)}, {})


@entry
@dataclass(frozen=True, kw_only=True)
class Records(Learns):
    """Keeps a digest of every image that it sees."""

    def perturb(self, batch, hasher, epsilon):
        digests = [hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in batch.images]
        KEPT.setdefault("calls", []).append(digests)
        return super().perturb(batch, hasher, epsilon)


@entry
@dataclass(frozen=True, kw_only=True)
class UsesTheHasher(Crafting):
    """Says that it needs no hasher, and uses it."""

    needs_code = needs_hasher = False

    def perturb(self, batch, hasher, epsilon):
        return (batch.images + epsilon * hasher(batch.images).mean().sign()).clamp(0, 1)


@entry
@dataclass(frozen=True, kw_only=True)
class TrainsWhenMadeReady(ProjectedGradient):
    def ready(self, knowledge, epsilon):
        time.sleep(0.8)
        return super().ready(knowledge, epsilon)


@entry
@dataclass(frozen=True, kw_only=True)
class TrainsWhenRehearsed(Learns):
    def perturb(self, batch, hasher, epsilon):
        if "trained" not in KEPT:
            time.sleep(0.8)
            KEPT["trained"] = True
        return super().perturb(batch, hasher, epsilon)


@dataclass(frozen=True, kw_only=True)
class TrainingCode(AnchorCode):
    def codes(self, knowledge, targets, rows, seed):
        time.sleep(0.8)
        return super().codes(knowledge, targets, rows, seed)


@attack
def trains_with_its_codes(protocol):
    """Cheats."""
    code = TrainingCode(**vars(anchor_code(protocol)))
    name, loop = "trainswithitscodes", ProjectedGradient(**LOOP)
    return Attack(id=name, title=name, target_code=code, crafting=loop, epsilon=EPSILON)


@entry
@dataclass(frozen=True, kw_only=True)
class ChangesItsMind(ProjectedGradient):
    def perturb(self, batch, hasher, epsilon):
        if "last" in KEPT:
            KEPT["last"].fill_(1)
        made = super().perturb(batch, hasher, epsilon)
        KEPT["last"] = made
        threading.Timer(0.05, made.fill_, [1.0]).start()
        return made


@entry
@dataclass(frozen=True, kw_only=True)
class NotATensor(ProjectedGradient):
    def perturb(self, batch, hasher, epsilon):
        return super().perturb(batch, hasher, epsilon).numpy()


@entry
@dataclass(frozen=True, kw_only=True)
class Claims(ProjectedGradient):
    def perturb(self, batch, hasher, epsilon):
        raise InvalidAttackError("all is well", {"status": "ok", "t_map": 1.0, "map": 1.0})
'''


def write_cheats(folder: Path, data: RetrievalData, queries: int, name: str = "cheats.py") -> Path:
    """Write the plug-in for a data set of which so many queries are attacked."""
    labels = data.query.labels
    digests = [hashlib.sha256(labels[:n].tobytes()).hexdigest() for n in (len(labels), queries)]
    file = folder / name
    file.write_text(_TEXT.replace("[...]", repr(digests)), encoding="utf-8")
    return file
