"""What every attack promises, each a check; built-in attacks and plug-ins pass the same."""

from __future__ import annotations

from hashattack.benchmark.contract import conduct, outcome
from hashattack.benchmark.contract.checks import Check
from hashattack.benchmark.contract.declaration import parameters, pickles, proper_id
from hashattack.benchmark.contract.subject import Subject


def _targeted(subject: Subject) -> bool:
    return subject.attack.targeted


def _crafts(subject: Subject) -> bool:
    return not subject.attack.code_only


def _budgeted(subject: Subject) -> bool:
    return _crafts(subject) and subject.attack.epsilon is not None


# What a check stands on: where an attack does not repeat, or a query's image depends on its place,
# there is nothing more to compare.
_MADE = ("codes", "shape")
_PIXELS = (*_MADE, "finite")
_SAME = (*_PIXELS, "repeats", "random")
CHECKS: tuple[Check[Subject], ...] = (
    Check("id", "its id can stand in results", proper_id),
    Check("parameters", "its hyper-parameters make a job key, and a suite sets them", parameters),
    Check("worker", "it can be sent to a worker", pickles),
    Check("codes", "a code of -1 and +1 for each query", outcome.codes, _targeted),
    Check("shape", "an image for each query", outcome.shape, _crafts, ("codes",)),
    Check("dtype", "pixels of the queries' number type", outcome.dtype, _crafts, _MADE),
    Check("finite", "no NaN or infinite pixel", outcome.finite, _crafts, _MADE),
    Check("range", "pixels in [0, 1]", outcome.in_range, _crafts, _MADE),
    Check("budget", "within the budget it declares", outcome.budget, _budgeted, _MADE),
    Check("zero", "the query itself at a budget of zero", outcome.at_zero, _budgeted, _PIXELS),
    Check("looks", "mirrored queries give other images", outcome.looks, _crafts, _PIXELS),
    Check("hasher", "the hasher stays as it was", conduct.hasher, needs=_MADE),
    Check("inputs", "what it is given stays as it was", conduct.inputs, needs=_MADE),
    Check("repeats", "the same again under its seed", conduct.repeats, needs=_PIXELS),
    Check(
        "random",
        "global random states neither read nor moved",
        conduct.randomness,
        needs=(*_PIXELS, "repeats"),
    ),
    Check("hidden", "hidden labels have no part in it", conduct.hidden, needs=_SAME),
    Check("order", "each query its own, in any order", conduct.order, needs=_SAME),
    Check("batch", "the same in batches of 1, 4 and 6", conduct.alone, needs=(*_SAME, "order")),
    Check("seed", "its draws are from the seed it is given", conduct.seeded, needs=_SAME),
)
