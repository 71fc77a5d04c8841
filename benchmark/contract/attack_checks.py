"""The rules for attacks, each a check: the program's own attacks and plug-ins pass the same."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from joblib.externals.loky.backend.reduction import dumps
from torch import Tensor

from hashattack.attacks.base import Attack, Batch, Knowledge, Perturb
from hashattack.attacks.protocols import Protocol
from hashattack.benchmark import audit
from hashattack.benchmark.contract.checks import (
    CheckFailedError,
    StopChecksError,
    explain,
    require,
)
from hashattack.benchmark.contract.world import (
    QUERIES,
    SEED,
    World,
    global_random_states,
    learn,
    quick,
)
from hashattack.benchmark.passes import PassCounter
from hashattack.benchmark.plugins import FOREIGN
from hashattack.benchmark.stages.attacker import check_unchanged, hidden_labels_unread
from hashattack.benchmark.stages.attacking import understated
from hashattack.benchmark.store.keys import canonical_json
from hashattack.benchmark.suites.loading import hyper_parameters, override, parameters_text
from hashattack.datasets import seeds
from hashattack.datasets.base import IntArray

Check = Callable[["Trial"], str | None]
ROWS = np.arange(QUERIES)
ROUNDING = 1e-9  # float64
_OTHER_SEED = SEED + 999_983  # further away than what an attack may add to a seed


@dataclass(frozen=True)
class Run:
    """What came of running an attack on all queries; a code-only attack has no images."""

    seen: Knowledge  # with what its parts learnt
    codes: Tensor | None  # target codes [q, K]
    batch: Batch
    perturb: Perturb | None
    images: Tensor  # [q, 3, S, S]
    moved: list[str]  # global random states
    draws: set[tuple[Any, ...]]  # (seed, purpose, row)
    passes: float  # per image, counted


class Trial:
    """An attack under a protocol, run with few steps in a small world."""

    def __init__(
        self, build: Callable[[Protocol], Attack], protocol: Protocol, world: World
    ) -> None:
        built = Attack.of(build(protocol))
        self.build, self.protocol, self.world = build, protocol, world
        self.declared, self.attack = built, quick(built)
        self.labels = world.labels(self.attack)
        self.run = functools.cache(self._run)

    def _run(
        self,
        dtype: torch.dtype = torch.float32,
        *,
        chance: int = 0,
        again: int = 0,  # noqa: ARG002 - separates runs that are otherwise the same
        seed: int = SEED,
        others: bool = False,
    ) -> Run:
        """Run the attack on all queries.

        Of the arguments, only ``seed`` may change what it makes, and ``others``, which gives it the
        labels of other queries. ``chance`` seeds the global random states.
        """
        labels = self.labels[::-1].copy() if others else self.labels
        seen, data = self.seen(dtype), self.world.data(self.protocol)
        recorded = patch.object(seeds, "derive", wraps=seeds.derive)
        unread = hidden_labels_unread(data)
        with unread, global_random_states(chance) as moved, recorded as derive:
            counter = PassCounter(seen.hasher)
            seen = learn(self.attack, seen, seed=seed)
            codes = self.attack.target_codes(seen, labels[ROWS], ROWS + 0, seed)
            batch = self.world.batch(ROWS, codes, dtype, seed, labels)
            perturb = None if self.attack.code_only else self.attack.ready(seen)
            before = counter.total
            images = torch.empty(0) if perturb is None else perturbed(perturb, batch)
            passes = counter.since(before) / QUERIES
            counter.close()
            draws = {call.args for call in derive.call_args_list}
            return Run(seen, codes, batch, perturb, images, moved(), draws, passes)

    def seen(self, dtype: torch.dtype) -> Knowledge:
        """Return a copy of what the attack sees."""
        needs_source = self.attack.needs_source
        return self.world.seen(self.protocol, dtype, needs_source=needs_source)

    def batch(self, rows: IntArray, codes: Tensor | None, dtype: torch.dtype) -> Batch:
        """Return queries to perturb together; ``codes`` are those of all queries ``[q, K]``."""
        return self.world.batch(rows, codes, dtype, labels=self.labels)

    def exact_codes(self, rows: IntArray) -> Tensor:
        """Return the target codes of queries that are asked for together, all else as before."""
        fitted = self.run(torch.float64).seen.fitted
        with global_random_states(0):
            seen = replace(self.seen(torch.float64), fitted=fitted)
            codes = self.attack.target_codes(seen, self.labels[rows], rows + 0, SEED)
            return torch.empty(len(rows), 0) if codes is None else codes

    def exact_images(self, rows: IntArray = ROWS, size: int = QUERIES) -> Tensor:
        """Return float64 images of queries in an order, crafted ``size`` at a time."""
        run = self.run(torch.float64)
        assert run.perturb is not None
        chunks = [rows[start : start + size] for start in range(0, len(rows), size)]
        with global_random_states(0):
            batches = [self.batch(chunk, run.codes, torch.float64) for chunk in chunks]
            return torch.cat([perturbed(run.perturb, batch) for batch in batches])


def perturbed(perturb: Perturb, batch: Batch) -> Tensor:
    """Return the images of a batch, copied at once as in a run."""
    shape = tuple(batch.images.shape)
    return audit.copied(perturb(batch), shape)


def gap(one: Any, other: Any) -> float:
    """Return the largest difference of two arrays; NaN equals NaN and nothing else."""
    if one is None and other is None:
        return 0.0
    one, other = (torch.as_tensor(array).detach().double() for array in (one, other))
    if one.shape != other.shape:
        return float("inf")
    apart = (one - other).abs()
    apart[one.isnan() & other.isnan()] = 0
    return float(apart.nan_to_num(nan=float("inf")).max()) if apart.numel() else 0.0


def check_value(value: Any) -> None:
    """Its hyper-parameters make the key of a job, and it can be sent to a worker."""
    known = {field.name for field in fields(value)}
    for base in type(value).__mro__:
        for name, annotation in inspect.get_annotations(base).items():
            require(
                name in known or "ClassVar" in str(annotation),
                f"'{name}' of {type(value).__name__} is no hyper-parameter: decorate the class "
                "with @dataclass(frozen=True, kw_only=True)",
            )
    try:
        canonical_json(value)
    except (TypeError, ValueError) as error:
        raise CheckFailedError(f"its hyper-parameters make no key: {explain(error)}") from None
    try:
        dumps(value)  # loading it here would change its own class
    except FOREIGN as error:  # pickling fails with all sorts
        raise CheckFailedError(f"it cannot be sent to a worker: {explain(error)}") from None


def check_declaration(trial: Trial) -> None:
    """A suite can set its parameters, a worker can receive it, and it is the same every time."""
    built = trial.declared
    for part in (built.target_code, built.crafting, built):
        if part is not None:
            check_value(part)
    parameters_text(built)
    key = canonical_json(built)
    rebuilt = canonical_json(trial.build(trial.protocol))
    require(rebuilt == key, "built twice, its hyper-parameters differ")
    try:
        again = canonical_json(override(built, hyper_parameters(built), built.id))
    except FOREIGN as error:  # pydantic's own too, about types that it cannot check
        raise CheckFailedError(
            f"a suite cannot set its hyper-parameters: {explain(error)}"
        ) from None
    require(again == key, "where a suite sets its hyper-parameters, others come out")


def check_run(trial: Trial) -> None:
    """It learns, names codes of -1 and +1, makes an image for each query, reads no hidden label."""
    trial.run()


@contextmanager
def _audited() -> Iterator[None]:
    """Turn what the audit of a run raises into a failure after which other checks go on."""
    try:
        yield
    except audit.InvalidAttackError as error:
        raise CheckFailedError(str(error)) from None


def check_images(trial: Trial) -> None:
    """Its images are finite, of the queries' number type, in [0, 1] and within its budget."""
    images, clean = trial.run().images, trial.batch(ROWS, None, torch.float32).images
    require(images.dtype == clean.dtype, f"its images are {images.dtype}, queries {clean.dtype}")
    with _audited():
        audit.check_images(images, tuple(clean.shape))
        most = float(audit.distortions(clean, images)["linf"].max())
        audit.check_budget({"linf": most}, trial.attack.epsilon)


def check_zero_budget(trial: Trial) -> None:
    """With a budget of zero it returns the query."""

    def build(protocol: Protocol) -> Attack:
        return replace(trial.build(protocol), epsilon=0.0)

    images = Trial(build, trial.protocol, trial.world).run().images
    most = gap(images, trial.batch(ROWS, None, torch.float32).images)
    require(
        most <= audit.TOLERANCE,
        f"with a budget of zero its images differ from the queries by {most:.3g}",
    )


def check_passes(trial: Trial) -> str | None:
    """It takes no more passes per image than it declares."""
    return next(understated(trial.attack, trial.run().passes), None)


def check_query_labels(trial: Trial) -> str | None:
    """It uses the queries' labels that it declares to see."""
    run, other = trial.run(), trial.run(others=True)
    if gap(run.codes, other.codes) or gap(run.images, other.images):
        return None
    return (
        "it declares that it sees the queries' labels, so it is ranked apart, and makes the same "
        "with the labels of other queries: leave sees_query_labels out"
    )


def check_hasher(trial: Trial) -> None:
    """It leaves the hasher as it was."""
    fresh = trial.seen(torch.float32).hasher
    with _audited():
        check_unchanged(trial.run().seen.hasher, fresh)


def check_inputs(trial: Trial) -> None:
    """It does not modify the labels, codes and images that it is given."""
    run, fresh = trial.run(), trial.seen(torch.float32)
    given: dict[str, tuple[Any, Any]] = {
        "training set": (run.seen.train, fresh.train),
        "database": (run.seen.database, fresh.database),
        "batch": (run.batch, trial.batch(ROWS, run.codes, torch.float32)),
    }
    changed = [
        f"the {name} of its {part}"
        for part, (one, other) in given.items()
        for name, value in (vars(one) if one is not None else {}).items()
        if gap(value, getattr(other, name))
    ]
    require(not changed, f"it changes what it is given: {', '.join(changed)}")


def check_repeats(trial: Trial) -> None:
    """It repeats under its seed; global random states have no influence."""
    run = trial.run()
    if run.moved:
        raise StopChecksError(f"it moves the global random state of {' and '.join(run.moved)}")
    if run.perturb is not None:
        with global_random_states(0):
            batch = trial.batch(ROWS, run.codes, torch.float32)
            most = gap(run.images, perturbed(run.perturb, batch))
        if most:
            raise StopChecksError(
                f"crafting the same batch twice gives images that differ by up to {most:.3g}"
            )
    if _difference(run, trial.run(again=1, chance=1)) is None:
        return
    causes: list[tuple[dict[str, Any], str]] = [
        ({"again": 1}, "it does not repeat under its seed: {}"),
        ({"chance": 1}, "it reads global random state: {} where that is seeded otherwise"),
    ]
    for variation, sentence in causes:
        if found := _difference(run, trial.run(**variation)):
            raise StopChecksError(sentence.format(found))


def _difference(one: Run, other: Run) -> str | None:
    """Return how what comes of two runs differs, or None."""
    for role, learnt in one.seen.fitted.items():
        now = other.seen.fitted[role]
        if most := max((gap(learnt[name], now.get(name, ())) for name in learnt), default=0):
            return f"what its parts learn differs by up to {most:.3g}"
    if one.codes is not None and other.codes is not None and gap(one.codes, other.codes):
        return f"its target codes differ in {int((one.codes != other.codes).sum())} bits"
    most = gap(one.images, other.images)
    return f"its images differ by up to {most:.3g}" if most else None


def check_batch(trial: Trial) -> str | None:
    """A query's target code and image depend neither on its place nor on others in its batch."""
    order, some = ROWS[[3, 5, 0, 4, 1, 2]], ROWS[:4]  # no query keeps its place or neighbours
    codes, moved, fewer = (trial.exact_codes(rows) for rows in (ROWS, order, some))
    strays = int((codes[order] != moved).any(dim=1).sum())
    require(not strays, f"in another order, {strays} queries get another target code")
    require(
        not gap(codes[some], fewer),
        f"its target codes depend on the other queries: those of the first {len(some)} change "
        f"without the last {QUERIES - len(some)}",
    )
    if trial.attack.code_only:
        return None
    whole = trial.exact_images()
    most = gap(trial.exact_images(order), whole[order])
    require(most <= ROUNDING, f"in another order, images differ by up to {most:.3g}")
    most, size = max((gap(trial.exact_images(size=size), whole), size) for size in (1, len(some)))
    require(
        most <= audit.TOLERANCE,
        f"its images depend on the batch they are in: batches of {size} and {QUERIES} differ by "
        f"up to {most:.3g}",
    )
    if most <= ROUNDING:
        return None
    return (
        f"its images differ by rounding ({most:.1g}) between batches of {size} and {QUERIES}; a "
        "run keeps one batch size, so its numbers repeat"
    )


def check_seed(trial: Trial) -> str | None:
    """Other seeds give other random draws."""
    draws = trial.run().draws
    if {draw[0] for draw in draws} <= {SEED}:
        return None  # and spare another run
    for draw in sorted(draws & trial.run(seed=_OTHER_SEED).draws):
        return (
            f"its draws for '{draw[1]}' are the same under every seed (they are from seed "
            f"{draw[0]}), so --seeds does not vary them; draw from the seed it is given"
        )
    return None


def attack_checks(attack: Attack) -> list[Check]:
    """Return the checks that apply to an attack, in their order."""
    images: list[Check] = [] if attack.code_only else [check_images, check_passes]
    if images and attack.epsilon is not None:
        images.append(check_zero_budget)
    if attack.sees_query_labels:
        images.append(check_query_labels)
    conduct: list[Check] = [check_hasher, check_inputs, check_repeats, check_batch, check_seed]
    return [check_declaration, check_run, *images, *conduct]
