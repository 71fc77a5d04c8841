"""How an attack goes about it: repeatably, from what it is shown, leaving all as it was."""

from __future__ import annotations

from torch import Tensor

from hashattack.benchmark.audit import TOLERANCE
from hashattack.benchmark.contract.checks import Finding, Note
from hashattack.benchmark.contract.crafted import gap
from hashattack.benchmark.contract.subject import ROWS, Setting, Subject
from hashattack.benchmark.contract.world import QUERIES, SEED

OTHERWISE = Setting(chance=1, shuffled=True)  # all that must not matter, at once
AGAIN, OTHER_CHANCE, OTHER_LABELS = Setting(attempt=1), Setting(chance=1), Setting(shuffled=True)
OTHER_SEED = Setting(seed=SEED + 999_983)  # further away than what an attack may add to one
_OTHER_ORDER = [3, 5, 0, 4, 1, 2]  # no query keeps its place or its neighbours
_SIZES = (1, 4)  # of batches, against all queries at once
_ROUNDING = 1e-9  # float64


def _difference(subject: Subject, setting: Setting) -> str | None:
    """Return how what comes out in a setting differs from what comes out plainly, or None."""
    first, other = subject.taught(), subject.taught(setting)
    learnt, now = first.learnt, other.learnt
    if learnt.keys() != now.keys():
        return "what its parts learn has other names"
    if most := max((gap(learnt[name], now[name]) for name in learnt), default=0):
        return f"what its parts learn differs by up to {most:.3g}"
    if bits := _flipped(first.codes, other.codes):
        return f"its target codes differ in {bits} bits"
    images, others = subject.run().images, subject.run(setting).images
    if images is not None and others is not None and (most := gap(images, others)):
        return f"its images differ by up to {most:.3g}"
    return None


def _flipped(one: Tensor | None, other: Tensor | None) -> int:
    return 0 if one is None or other is None else int((one != other).sum())


def repeats(subject: Subject) -> str | None:
    """The same seed, the same bits."""
    run = subject.run()
    if run.images is not None and run.again is not None and (most := gap(run.images, run.again)):
        return f"crafting the same batch twice gives images that differ by up to {most:.3g}"
    if _difference(subject, OTHERWISE) is None:
        return None  # not even there
    found = _difference(subject, AGAIN)
    return found and f"it does not repeat under its seed: {found}"


def randomness(subject: Subject) -> str | None:
    """Every draw is from the seed it is given."""
    if moved := subject.run().moved:
        return f"it moves the global random state of {' and '.join(dict.fromkeys(moved))}"
    found = _blamed(subject, OTHER_CHANCE)
    return found and f"it reads global random state: {found} where that is seeded otherwise"


def hidden(subject: Subject) -> str | None:
    """What the threat model hides has no part in it."""
    found = _blamed(subject, OTHER_LABELS)
    return found and f"it reads labels that are hidden from it: {found} where they are permuted"


def _blamed(subject: Subject, setting: Setting) -> str | None:
    """Return the difference that a setting alone makes, in an attack that repeats."""
    if _difference(subject, OTHERWISE) is None:
        return None
    return _difference(subject, setting)


def hasher(subject: Subject) -> str | None:
    """The hasher belongs to others too."""
    return subject.run().touched_hasher


def inputs(subject: Subject) -> str | None:
    """So does all that it is shown."""
    names = subject.run().touched_inputs
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"it changes what it is given: {names[0]}{more}" if names else None


def alone(subject: Subject) -> Finding:
    """Batches are the harness's choice, and change nothing beyond rounding."""
    if subject.attack.targeted:
        together = subject.codes(subject.exact)
        some = subject.codes(subject.exact, ROWS[: _SIZES[-1]])
        if together is not None and some is not None and gap(together[: len(some)], some):
            return (
                "its target codes depend on the other queries: those of the first "
                f"{len(some)} change without the last {QUERIES - len(some)}"
            )
    if subject.attack.code_only:
        return None
    found = {size: gap(subject.exact_images(ROWS, size), subject.whole) for size in _SIZES}
    most, size = max((most, size) for size, most in found.items())
    if most <= _ROUNDING:
        return None
    if most <= TOLERANCE:
        return Note(
            f"its images differ by rounding ({most:.1g}) between batches of {size} and {QUERIES}; "
            "a run keeps one batch, so its numbers repeat"
        )
    return (
        f"its images depend on the batch they are in: batches of {size} and {QUERIES} "
        f"differ by up to {most:.3g}"
    )


def order(subject: Subject) -> str | None:
    """A query keeps its own target code and image wherever it stands."""
    rows = ROWS[_OTHER_ORDER]
    if subject.attack.targeted:
        together, moved = subject.codes(subject.exact), subject.codes(subject.exact, rows)
        if together is not None and moved is not None:
            strays = int((together[rows] != moved).any(dim=1).sum())
            if strays:
                return f"in another order, {strays} of {QUERIES} queries get another target code"
    if subject.attack.code_only:
        return None
    most = gap(subject.exact_images(rows, QUERIES), subject.whole[rows])
    if most <= _ROUNDING:
        return None
    return f"in another order, queries get other images, which differ by up to {most:.3g}"


def seeded(subject: Subject) -> Finding:
    """Its luck is its seed's: other seeds are other draws."""
    drawn = subject.run().drawn
    if all(seed == SEED for seed, _, _ in drawn):
        return None
    again = set(subject.run(OTHER_SEED).drawn)
    fixed = [(seed, purpose) for seed, purpose, row in drawn if (seed, purpose, row) in again]
    if not fixed:
        return None
    return Note(
        f"its draws for '{fixed[0][1]}' are the same whatever its seed (they are from seed "
        f"{fixed[0][0]}), so that --seeds does not show their luck; draw from the seed it is given"
    )
