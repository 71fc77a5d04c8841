"""What is asked of a baseline, and the reference cells it is asked about."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, field

from hashattack.benchmark.names import lookup, nearest
from hashattack.benchmark.registry import registry
from hashattack.benchmark.regression.baseline import Baseline, BaselineError
from hashattack.benchmark.regression.trials import Trials
from hashattack.benchmark.suites.suite import Params


@dataclass(frozen=True)
class Question:
    """What is asked of a baseline.

    Attributes:
        attacks: ids of candidates, or globs of the baseline's.
        against: the reference's id; None: the candidate's own.
        metric: what is compared.
        only: filters of the reference's cells.
        params: hyper-parameters of the candidates, where they are not their own references.
        reseed: added to the attacks' own seeds.
        retrained: the targets may be other trainings.
    """

    attacks: Sequence[str]
    against: str | None = None
    metric: str = "t_map"
    only: Sequence[str] = ()
    params: Params = field(default_factory=dict)
    reseed: int = 0
    retrained: bool = False

    def is_itself(self, attack: str) -> bool:
        """Whether a candidate is held against itself, at the very same settings."""
        return self.against in (None, attack) and not self.params

    def named(self, baseline: Baseline) -> list[str]:
        """Return the candidates' ids.

        Raises:
            UnknownNameError: there is no such attack; one of a plug-in is named with --plugin.
            BaselineError: a glob that no attack of the baseline matches.
        """
        found: dict[str, None] = {}
        for text in self.attacks:
            if not set(text) & set("*?["):
                self._look_up(text, baseline)
                found[text] = None
                continue
            matching = fnmatch.filter(baseline.attacks, text)
            if not matching:
                known = nearest(text, baseline.attacks)
                raise BaselineError(f"--attack {text} matches no attack of {baseline.path}{known}")
            for name in matching:
                self._look_up(name, baseline)
                found[name] = None
        return list(found)

    def _look_up(self, attack: str, baseline: Baseline) -> None:
        if attack in baseline.attacks and attack not in registry().attacks:
            raise BaselineError(
                f"{attack} of {baseline.path} is no attack of this program: name the file of its "
                "plug-in with --plugin, or the folder of its results with --candidate"
            )
        lookup("attack", attack, registry().attacks)


def references(question: Question, baseline: Baseline) -> dict[str, list[Trials]]:
    """Return the reference cells of each candidate."""
    return {
        attack: baseline.of(question.against or attack, question.only)
        for attack in question.named(baseline)
    }
