"""What a check is, and running them: whatever a plug-in raises becomes a finding at its line."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

from hashattack.benchmark.contract.world import SealedError
from hashattack.benchmark.plugins import FOREIGN
from hashattack.datasets.errors import UserError

T = TypeVar("T")
Status = Literal["kept", "noted", "broken", "skipped"]
_LONGEST = 200  # characters of an exception's text


class Broken(Exception):  # noqa: N818 - a finding, not an error of the program
    """A broken promise found on the way; the text says what was measured."""


class Skipped(Exception):  # noqa: N818 - a finding, not an error of the program
    """A check that cannot be made; the text says why."""


@dataclass(frozen=True)
class Note:
    """A kept promise of which there is something to know."""

    text: str


Finding = str | Note | None


@dataclass(frozen=True)
class Check(Generic[T]):
    """A promise and the function that looks whether it is kept.

    Attributes:
        name: in results.
        promise: what a person reads where it is kept.
        look: returns None, a note, or a sentence with what was measured where it is broken.
        applies: whether the subject makes this promise at all.
        needs: the checks before it without which it has nothing to measure.
    """

    name: str
    promise: str
    look: Callable[[T], Finding]
    applies: Callable[[T], bool] = lambda _: True
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What a check came to.

    Attributes:
        of: names the subject and its protocols.
        check: its name.
        status: ``noted`` is kept, with something to know.
        text: the promise, what there is to know, what was measured, or why it was skipped.
        because: where it was skipped, the broken check that it stands on.
    """

    of: str
    check: str
    status: Status
    text: str
    because: str = ""

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
    told: dict[str, str] = {}  # what was found, by the check that is broken
    fallen: dict[str, str] = {}  # by check: the broken one it stands on, or itself
    for check in checks:
        found: Finding = None
        below: str | None = None
        try:
            if not check.applies(subject):
                continue
            below = next((fallen[name] for name in check.needs if name in fallen), None)
            found = check.look(subject) if below is None else None
        except Skipped as reason:
            yield Verdict(of, check.name, "skipped", str(reason))
            continue
        except FOREIGN as error:
            found = raised(error, files)
        if isinstance(found, str):
            below = next((name for name, text in told.items() if text == found), None)
        if below is not None:
            fallen[check.name] = below
            yield Verdict(of, check.name, "skipped", f"not checked: {told[below]}", below)
        elif isinstance(found, str):
            told[check.name], fallen[check.name] = found, check.name
            yield Verdict(of, check.name, "broken", found)
        elif isinstance(found, Note):
            yield Verdict(of, check.name, "noted", found.text)
        else:
            yield Verdict(of, check.name, "kept", check.promise)


def raised(error: BaseException, files: Collection[str]) -> str:
    """Return what an exception says, in a sentence with its place in the plug-in."""
    if isinstance(error, Broken):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename in files]
    if not own and not isinstance(error, UserError):  # whose text says where to look
        own = list(frames)
    place = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    if isinstance(error, SealedError):
        return f"{error}{place}"
    return f"it raises {type(error).__name__}{place}: {first_line(error)}"


def first_line(error: BaseException) -> str:
    """Return the beginning of what an exception says."""
    return f"{error}".strip().split("\n")[0][:_LONGEST] or "without a word"
