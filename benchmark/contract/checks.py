"""What a check is, and running them: whatever a plug-in raises becomes a finding at its line."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

from benchmark.contract.world import SealedError
from datasets.errors import UserError

T = TypeVar("T")
Status = Literal["kept", "broken", "skipped"]
_LONGEST = 200  # characters of an exception's text


class Broken(Exception):  # noqa: N818 - a finding, not an error of the program
    """A broken promise found on the way; the text says what was measured."""


class Skipped(Exception):  # noqa: N818 - a finding, not an error of the program
    """A check that cannot be made; the text says why."""


@dataclass(frozen=True)
class Check(Generic[T]):
    """A promise and the function that looks whether it is kept.

    Attributes:
        name: in results.
        promise: what a person reads where it is kept.
        look: returns None, or a sentence with what was measured.
        applies: whether the subject makes this promise at all.
        gate: where it is broken, the checks after it have nothing to measure.
    """

    name: str
    promise: str
    look: Callable[[T], str | None]
    applies: Callable[[T], bool] = lambda _: True
    gate: bool = False


@dataclass(frozen=True)
class Verdict:
    """What a check came to. ``of`` names the subject and its protocol."""

    of: str
    check: str
    status: Status
    text: str  # the promise, or what was measured instead, or why it was skipped

    @property
    def sentence(self) -> str:
        """The one sentence that says it all."""
        return f"{self.of}: {self.text}"


def verdicts(
    of: str, subject: T, checks: Sequence[Check[T]], files: Collection[str]
) -> Iterator[Verdict]:
    """Yield what every check that applies came to; one that would repeat a finding is skipped.

    Args:
        of: the subject's name.
        subject: what the checks look at.
        checks: in their order.
        files: of the plug-in, where errors are looked for.
    """
    told: set[str] = set()
    gate = ""
    for check in checks:
        if gate:
            yield Verdict(of, check.name, "skipped", f"not checked: {gate}")
            continue
        if not check.applies(subject):
            continue
        try:
            text = check.look(subject)
        except Skipped as reason:
            yield Verdict(of, check.name, "skipped", str(reason))
            continue
        except Broken as finding:
            text = str(finding)
        except Exception as error:  # noqa: BLE001 - whatever a plug-in raises is a finding
            text = raised(error, files)
        if text is None:
            yield Verdict(of, check.name, "kept", check.promise)
        elif text in told:
            yield Verdict(of, check.name, "skipped", f"not checked: {text}")
        else:
            told.add(text)
            gate = text if check.gate else ""
            yield Verdict(of, check.name, "broken", text)


def raised(error: Exception, files: Collection[str]) -> str:
    """Return what an exception says, in a sentence with its place in the plug-in."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename in files]
    if not own and not isinstance(error, UserError):  # whose text says where to look
        own = list(frames)
    place = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    if isinstance(error, SealedError):
        return f"{error}{place}"
    return f"it raises {type(error).__name__}{place}: {first_line(error)}"


def first_line(error: Exception) -> str:
    """Return the beginning of what an exception says."""
    return f"{error}".strip().split("\n")[0][:_LONGEST] or "without a word"
