"""Whether two attacks meet the same trials; what differs is named, never compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hashattack.attacks.protocols import PROTOCOLS
from hashattack.benchmark.regression.baseline import Baseline, BaselineError
from hashattack.benchmark.regression.comparison import Pair
from hashattack.benchmark.regression.trials import Trials
from hashattack.benchmark.store.keys import canonical

_SHOWN = 12  # characters of a hash in a message
_LONGEST = 60  # of a setting


def refuse(baseline: Baseline, differences: Sequence[str]) -> None:
    """Refuse to compare where something differs.

    Raises:
        BaselineError: with every difference.
    """
    if differences:
        told = "\n  ".join(dict.fromkeys(differences))
        raise BaselineError(f"{baseline.path} is of other trials:\n  {told}")


def protocol_differences(baseline: Baseline, trials: Sequence[Trials]) -> Iterator[str]:
    """Yield the values of the trials' protocols that are not what they were."""
    used = {one.row["protocol"] for one in trials}
    for name in sorted(used & set(baseline.protocols)):
        then = baseline.protocols[name]
        now = canonical(PROTOCOLS[name]) if name in PROTOCOLS else {}
        for value in sorted({*then, *now}):
            if then.get(value) != now.get(value):
                yield f"protocol {name}: {value} was {then.get(value)!r} and is {now.get(value)!r}"


def row_differences(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], *, same: bool
) -> Iterator[str]:
    """Yield what is known to differ before anything has run.

    Args:
        ours: the candidate's row.
        theirs: the reference's.
        same: whether they are one attack, so that what the suite set must be the same, too.
    """
    columns = {"dataset_fingerprint": "fingerprint", "n_queries": "queries"}
    columns |= {"overrides": "settings"} if same else {}
    for column, told in columns.items():
        then, now = (str(row.get(column) or "none") for row in (theirs, ours))
        if then != now:
            where = f"data set {ours['dataset']}, {ours['attack']}"
            most = _SHOWN if column == "dataset_fingerprint" else _LONGEST
            yield f"{where}: {told} {then[:most]} then, {now[:most]} now"


def trial_differences(pair: Pair) -> Iterator[str]:
    """Yield which target labels and weights differ; what is not there differs in nothing."""
    ours, theirs = pair.candidate, pair.reference
    if ours.draw and theirs.draw and ours.draw != theirs.draw:
        seed = ours.row["draw_seed"]
        yield f"the {ours.row['policy']} target labels of draw seed {seed} are others"
    for role in ("source", "victim"):
        then, now = (getattr(side, role)[:_SHOWN] for side in (theirs, ours))
        if then and now and then != now:
            yield (
                f"checkpoint {ours.row[role]} (training {ours.row['target_seed']}): {then} then, "
                f"{now} now; 'freeze --targets' keeps the weights, --retrained compares trainings"
            )
