"""What a person hands over for scoring, checked against the trials it was made for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from hashattack.benchmark.external.arrays import CODE_FILES, IMAGE_FILES
from hashattack.benchmark.external.errors import OutsideError
from hashattack.benchmark.external.handed import Codes, Images, by_setting
from hashattack.benchmark.external.submissions import Submission, query_names, victims_of
from hashattack.benchmark.external.trial_file import TrialFile, TrialRecord
from hashattack.benchmark.external.trials import Origin, Trial
from hashattack.benchmark.names import nearest
from hashattack.benchmark.registry import registry
from hashattack.benchmark.store.keys import canonical_json

_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*")
_AGAIN = "export the trials again, or name the folder they were exported from with --out"


@dataclass(frozen=True)
class Asked:
    """Arguments of ``score``.

    Attributes:
        kind: what is handed over.
        path: where it is: of the only setting, or a folder with one folder or file a setting.
        attack, title: what made it, in results and in reports.
        source: the target it was made on.
        epsilon: the declared budget in pixels of [0, 1]; None where there is none.
        victims: globs of targets; none for the source itself.
        setting: one of the trials' settings; None for all.
    """

    kind: Literal["images", "codes"]
    path: Path
    attack: str
    title: str
    source: str
    epsilon: float | None
    victims: Sequence[str]
    setting: int | None

    def submissions(self, trials: TrialFile, origin: Origin) -> list[Submission]:
        """Return what is to be scored.

        Raises:
            OutsideError: another folder's trials, or images or codes that do not fit them; all
                settings' faults at once.
        """
        _check_name(self.attack)
        records = self._records(trials)
        numbers, told = [one.setting for one in records], [one.told for one in records]
        suffixes = IMAGE_FILES if self.kind == "images" else CODE_FILES
        places = by_setting(self.path, numbers, told, suffixes)
        made, faults = [], []
        for record in records:
            try:
                made.append(self._submission(record, origin, places[record.setting]))
            except OutsideError as error:
                faults.append(str(error))
        if faults:
            raise OutsideError("\n".join(faults))
        return made

    def _records(self, trials: TrialFile) -> list[TrialRecord]:
        """Return the settings that are meant."""
        names = {source.name for one in trials.settings for source in one.sources}
        if self.source not in names:
            raise OutsideError(
                f"--source {self.source}: not in the trials{nearest(self.source, names)}"
            )
        fitting = [
            one
            for one in trials.settings
            if self.source in {source.name for source in one.sources}
            and self.setting in (None, one.setting)
        ]
        if not fitting:
            listed = "\n".join(f"  {one.told}" for one in trials.settings)
            raise OutsideError(
                f"--setting {self.setting}: the trials with {self.source} have none of that "
                f"number; there is\n{listed}"
            )
        return fitting

    def _submission(self, record: TrialRecord, origin: Origin, path: Path) -> Submission:
        trial = matching(record, origin, self.source)
        graph, source = trial.homes[self.source]
        handed: Images | Codes
        if self.kind == "images":
            handed = Images(path.resolve(), query_names(graph.n_queries), graph.data.side)
            handed.check()
        else:
            handed = Codes(path.resolve(), graph.n_queries, source.spec.bits)
            handed.read()
        return Submission(
            attack=self.attack,
            title=self.title,
            kind=self.kind,
            path=str(handed.path),
            sha256=handed.sha256,
            source=self.source,
            victims=victims_of(trial, self.source, self.victims),
            epsilon=self.epsilon,
            trial=trial.identity,
        )


def matching(record: TrialRecord, origin: Origin, source: str) -> Trial:
    """Return the trial of a folder that a record was written from.

    Raises:
        OutsideError: the folder has other data, another draw or another hasher; what differs is
            named.
    """
    place = f"setting {record.setting} of the trials is not that of {origin.out}"
    wanted = canonical_json(record.identity)
    found = [one for one in origin.trials if canonical_json(one.identity) == wanted]
    if not found:
        differences = min((_differences(record, one) for one in origin.trials), key=len)
        raise OutsideError(f"{place}: {'; '.join(differences)}; {_AGAIN}")
    trial = found[0]
    drawn = [np.flatnonzero(row).tolist() for row in trial.target_labels]
    if drawn != record.targets:
        others = sum(one != other for one, other in zip(drawn, record.targets, strict=False))
        others += abs(len(drawn) - len(record.targets))
        raise OutsideError(
            f"{place}: the target labels of {others} of {len(drawn)} queries differ; {_AGAIN}"
        )
    if source not in trial.homes or not origin.store.is_done(ref := trial.hasher(source).ref):
        raise OutsideError(f"{place}: {source} is not trained there; {_AGAIN}")
    then = next(one.sha256 for one in record.sources if one.name == source)
    if then != (now := origin.store.output(ref)):
        raise OutsideError(
            f"{place}: {source} is another hasher now (SHA-256 {then[:12]} then, {now[:12]} now); "
            f"{_AGAIN}"
        )
    return trial


def parse_epsilon(text: str) -> float:
    """Return a budget in pixels of [0, 1] from a text like ``8/255`` or ``0.03``.

    Raises:
        OutsideError: no such number.
    """
    above, slash, below = text.partition("/")
    try:
        value = float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        value = float("nan")
    if not 0 <= value <= 1:
        raise OutsideError(f"--epsilon {text}: expected a number from 0 to 1, like 8/255 or 0.03")
    return value


def _check_name(attack: str) -> None:
    if not _NAME.fullmatch(attack):
        raise OutsideError(
            f"--attack {attack}: letters, digits, dashes and dots, please; --title takes anything"
        )
    if attack in registry().attacks:
        raise OutsideError(
            f"--attack {attack}: an attack of this program is called so; name yours otherwise, "
            f"like {attack}-elsewhere"
        )


def _differences(record: TrialRecord, trial: Trial) -> list[str]:
    return [
        f"{name} is {value} there, {record.identity[name]} in the trials"
        for name, value in trial.identity.items()
        if value != record.identity[name]
    ]
