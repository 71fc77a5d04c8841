"""Whether two attacks meet the same trials; what differs is named, never compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attacks.protocols import PROTOCOLS
from benchmark.records import canonical
from benchmark.regression.baseline import Baseline, BaselineError
from benchmark.regression.comparison import Pair

_SHOWN = 12  # digits of a hash in a message


def refuse(baseline: Baseline, differences: Sequence[str]) -> None:
    """Refuse to compare where something differs.

    Raises:
        BaselineError: with every difference.
    """
    if differences:
        told = "\n  ".join(dict.fromkeys(differences))
        raise BaselineError(f"{baseline.path} is of other trials:\n  {told}")


def protocol_differences(baseline: Baseline) -> Iterator[str]:
    """Yield the values of protocols that are not what they were."""
    for name, then in baseline.protocols.items():
        now = canonical(PROTOCOLS[name]) if name in PROTOCOLS else {}
        for value in sorted({*then, *now}):
            if then.get(value) != now.get(value):
                yield f"protocol {name}: {value} was {then.get(value)!r} and is {now.get(value)!r}"


def row_differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is known to differ before anything has run."""
    for column, told in (("dataset_fingerprint", "fingerprint"), ("n_queries", "queries")):
        then, now = (str(row[column])[:_SHOWN] for row in (theirs, ours))
        if then != now:
            yield f"data set {ours['dataset']}: {told} {then} then, {now} now"


def trial_differences(pair: Pair) -> Iterator[str]:
    """Yield which target labels and weights differ."""
    ours, theirs = pair.candidate, pair.reference
    if ours.draw != theirs.draw:
        seed = ours.row["draw_seed"]
        yield f"the {ours.row['policy']} target labels of draw seed {seed} are others"
    for role in ("source", "victim"):
        then, now = (getattr(side, role)[:_SHOWN] for side in (theirs, ours))
        if then != now:
            yield (
                f"checkpoint {ours.row[role]} (training {ours.row['target_seed']}): {then} then, "
                f"{now} now; 'freeze --targets' keeps the weights, --retrained compares trainings"
            )
