"""How an attack goes about it: repeatably, from what it is shown, leaving all as it was."""

from __future__ import annotations

from torch import Tensor

from benchmark.contract.subject import ROWS, Setting, Subject, gap
from benchmark.contract.world import QUERIES

OTHERWISE = Setting(chance=1, shuffled=True)  # all that must not matter, at once
AGAIN, OTHER_CHANCE, OTHER_LABELS = Setting(attempt=1), Setting(chance=1), Setting(shuffled=True)
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
    return _touched(subject.run().touched_hasher, "the hasher it is given")


def inputs(subject: Subject) -> str | None:
    """So does all that it is shown."""
    return _touched(subject.run().touched_inputs, "what it is given")


def _touched(names: list[str], what: str) -> str | None:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"it changes {what}: {names[0]}{more}" if names else None


def alone(subject: Subject) -> str | None:
    """Batches are the harness's choice, and change nothing."""
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
    for size in _SIZES:
        if (most := gap(subject.exact_images(ROWS, size), subject.whole)) > _ROUNDING:
            return (
                f"its images depend on the batch they are in: batches of {size} and {QUERIES} "
                f"differ by up to {most:.3g}"
            )
    return None


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
