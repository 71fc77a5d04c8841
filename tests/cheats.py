"""A plug-in file of attacks that cheat, one a class: what the tests give to the command line."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hashattack.datasets.base import RetrievalData

_TEXT = '''
import copy
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
        goal = getattr(kind, "goal", "targeted")
        return Attack(name, name, code, made, epsilon, goal=goal)

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


class Away(Crafting):
    """Is non-targeted, and declares to see no label of a query."""

    goal = "non-targeted"
    needs_code = False


@entry
@dataclass(frozen=True, kw_only=True)
class PeeksToMoveAway(Away):
    def perturb(self, batch, hasher, epsilon):
        queries().labels
        return batch.images


@entry
@dataclass(frozen=True, kw_only=True)
class AimsUndeclared(Away):
    """Says that it only moves away, and looks for labels to aim at."""

    def perturb(self, batch, hasher, epsilon):
        KEPT.setdefault("given", []).append((batch.codes, batch.labels.clone()))
        return batch.images


def counters(hasher):
    """Return the hooks that count passes, each with the dictionary that it is in."""
    held = (hasher.trunk._forward_pre_hooks, hasher.trunk._forward_hooks)
    return [(hooks, key, hook) for hooks in held for key, hook in hooks.items()]


@entry
@dataclass(frozen=True, kw_only=True)
class StopsTheCount(ProjectedGradient):
    def perturb(self, batch, hasher, epsilon):
        for hooks, key, _ in counters(hasher):
            del hooks[key]
            hooks[key] = lambda *_: None
        return super().perturb(batch, hasher, epsilon)


@entry
@dataclass(frozen=True, kw_only=True)
class SetsTheCountBack(ProjectedGradient):
    def perturb(self, batch, hasher, epsilon):
        made = super().perturb(batch, hasher, epsilon)
        for _, _, hook in counters(hasher):
            inner = getattr(hook, "__wrapped__", hook)
            for cell in inner.__closure__ or ():
                if hasattr(cell.cell_contents, "images"):
                    cell.cell_contents.images = 0
        return made


@entry
@dataclass(frozen=True, kw_only=True)
class GoesAround(ProjectedGradient):
    """Declares one pass, and goes around the hasher to copies and to single layers."""

    passes = property(lambda self: 1)

    def perturb(self, batch, hasher, epsilon):
        made = super().perturb(batch, copy.deepcopy(hasher), epsilon)
        image = made
        for layer in hasher.trunk:
            image = layer(image)
        return made


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

_MANY = r'''
import time
from dataclasses import dataclass

import numpy as np
import torch

from hashattack.attacks.base import Attack, Fitted, attack
from hashattack.attacks.gradient import DHTA_SCHEDULE, ProjectedGradient
from hashattack.attacks.protocols import EPSILON
from hashattack.attacks.published import anchor_code
from hashattack.attacks.target_codes import AnchorCode
from hashattack.benchmark.audit import InvalidAttackError
from hashattack.datasets.errors import UserError

HOSTILE = "\ud800\x1b[2J\n=cmd|' /C calc'!A0 \\end{document} <script>|" + "x" * 2_000_000


class Sleeps:
    """Whatever is done with it takes half a second and more."""

    def __array__(self, *_, **__):
        time.sleep(0.6)
        return np.zeros(1)

    def __getitem__(self, rows):
        time.sleep(0.6)
        return torch.ones(len(rows), 12, dtype=torch.int8)


class Lying(torch.Tensor):
    """A tensor whose values are all in order, if one asks it."""

    def __getitem__(self, rows):
        return torch.empty(0)


class MuteError(Exception):
    def __str__(self):
        raise KeyboardInterrupt


class WeirdError(UserError):
    data = property(lambda self: 1 / 0, lambda self, value: None)


class Escape(BaseException):
    pass


class MuteRuntimeError(MuteError, RuntimeError):
    pass


class OddOSError(OSError):
    filename = property(lambda self: 1 / 0)


def fails(error):
    """Return a class of attacks that raise an error."""

    def perturb(self, batch, hasher, epsilon):
        raise error()

    return {"perturb": perturb}


def makes(function):
    """Return a class of attacks whose images are changed at the end."""

    def perturb(self, batch, hasher, epsilon):
        return function(ProjectedGradient.perturb(self, batch, hasher, epsilon), batch)

    return {"perturb": perturb}


def fits(function):
    """Return a class of attacks with a fit."""

    def fit(self, knowledge, *, epsilon, seed, journal, progress):
        return function(journal, progress) or Fitted({"nothing": np.zeros(1)}, {})

    return {"learns": True, "fit": fit}


def readies(function):
    def ready(self, knowledge, epsilon):
        function(knowledge)
        return ProjectedGradient.ready(self, knowledge, epsilon)

    return {"ready": ready}


def with_own_detach(images, batch):
    images.detach = lambda: time.sleep(0.6) or images * 0
    return images


def slow_and_larger(images, batch):
    time.sleep(0.1)
    batch.images.resize_(4000, 3, 32, 32)
    return images


def too_late(journal, progress):
    time.sleep(0.6)
    journal._began += 1e6


def swaps(knowledge):
    object.__setattr__(knowledge.train, "codes", Sleeps())
    object.__setattr__(knowledge, "train", Sleeps())


def raises(error):
    def fit(journal, progress):
        raise error

    return fit


KINDS = {
    "raises-surrogates": fails(lambda: ValueError(HOSTILE)),
    "raises-for-the-user": fails(lambda: UserError(HOSTILE)),
    "raises-without-text": fails(MuteError),
    "raises-with-odd-data": fails(lambda: WeirdError("odd")),
    "raises-a-mute-error": fails(MuteRuntimeError),
    "raises-an-odd-error": fails(lambda: OddOSError(28, "no space")),
    "raises-base": fails(lambda: Escape(HOSTILE)),
    "interrupts": fails(KeyboardInterrupt),
    "exits": fails(lambda: SystemExit(0)),
    "claims-measures": fails(lambda: InvalidAttackError("x", {"linf": 0.001, "l2": 0.1})),
    "claims-objects": fails(lambda: InvalidAttackError("x", {"linf": object(), "y": {1, 2}})),
    "claims-nan": fails(lambda: UserError("x", {"linf": float("nan")})),
    "claims-text": fails(lambda: UserError("x", {"linf": "\ud800"})),
    "own-detach": makes(with_own_detach),
    "resizes": makes(slow_and_larger),
    "enormous": makes(lambda images, _: images[:1, :1, :1, :1].expand(10**6, 3, 999, 999)),
    "fewer": makes(lambda images, _: images[:1]),
    "meta": makes(lambda images, _: images.to("meta")),
    "sparse": makes(lambda images, _: images.to_sparse()),
    "of-a-list": makes(lambda images, _: [images]),
    "lying-images": makes(lambda images, _: (images + 1).as_subclass(Lying)),
    "nothing": makes(lambda *_: None),
    "progress-text": fits(lambda _, progress: progress("half", 1, "epoch")),
    "progress-nan": fits(lambda _, progress: progress(float("nan"), 1, "epoch")),
    "progress-unit": fits(lambda _, progress: progress(1, 2, HOSTILE)),
    "curves-of-text": fits(lambda *_: Fitted({}, {"loss": ["low"]})),
    "curves-of-nan": fits(lambda *_: Fitted({}, {"loss": [float("nan")]})),
    "convergence-of-nan": fits(lambda *_: Fitted({}, {}, [float("nan")])),
    "no-curves": fits(lambda *_: Fitted({}, 7)),
    "odd-curves": fits(lambda *_: Fitted({"x": np.zeros(1)}, {HOSTILE: [1.0]})),
    "no-state": fits(lambda *_: Fitted(7, {})),
    "curves-of-a-failure": fits(raises(UserError("x", {"curves": 5}))),
    "slow-state": fits(lambda *_: Fitted({"x": Sleeps()}, {})),
    "late-journal": fits(too_late),
    "early-journal": fits(lambda journal, _: setattr(journal, "_before", -1e9)),
    "swaps-knowledge": fits(lambda *_: None) | readies(swaps),
}


def lying(codes):
    return (codes * 3).as_subclass(Lying)


def with_own_double(codes):
    codes = codes * 3
    codes.double = lambda: torch.ones(codes.shape)
    return codes


RULES = {
    "lying-codes": lying,
    "own-double": with_own_double,
    "three": lambda codes: codes * 3,
    "nan-codes": lambda codes: codes.float() * float("nan"),
    "listed-codes": lambda codes: codes.tolist(),
    "slow-codes": lambda codes: Sleeps(),
}


def declare(name, kind, rule):
    def build(protocol):
        """Cheats."""
        return Attack(name, name, rule(protocol), kind(**LOOP), EPSILON)

    globals()["declared_" + name] = attack(build)


LOOP = dict(steps=2, rule="l2", schedule=DHTA_SCHEDULE)
for name, members in KINDS.items():
    declare(name, type(name.title(), (ProjectedGradient,), members), anchor_code)
for name, change in RULES.items():

    def codes(self, knowledge, targets, rows, seed, change=change):
        return change(AnchorCode.codes(self, knowledge, targets, rows, seed))

    kind = type(name.title(), (AnchorCode,), {"codes": codes})
    declare(name, ProjectedGradient, lambda p, kind=kind: kind(**vars(anchor_code(p))))
'''


def write_many(folder: Path) -> Path:
    """Write a plug-in of many cheats, which harm no other when they run in one process."""
    file = folder / "many_cheats.py"
    file.write_text(_MANY, encoding="utf-8")
    return file


def write_cheats(folder: Path, data: RetrievalData, queries: int, name: str = "cheats.py") -> Path:
    """Write the plug-in for a data set of which so many queries are attacked."""
    labels = data.query.labels
    digests = [hashlib.sha256(labels[:n].tobytes()).hexdigest() for n in (len(labels), queries)]
    file = folder / name
    file.write_text(_TEXT.replace("[...]", repr(digests)), encoding="utf-8")
    return file
