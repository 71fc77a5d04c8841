"""Running checks, what they print, and which plug-in files have passed them. Needs no torch.

A check is a function ``check_*`` of one subject. It returns None, or a note about something that is
allowed but worth knowing; it raises :class:`CheckFailedError` with what was measured. The first
line of its docstring says what holds where it passes.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from hashattack.benchmark.names import first_line
from hashattack.benchmark.plugins import FOREIGN, source_digest
from hashattack.benchmark.store.files import Memo
from hashattack.datasets.errors import UserError
from hashattack.datasets.texts import error_line

T = TypeVar("T")
# Gets a subject and the checks that are still to be made of it, just before the first of them.
Begin = Callable[[str, Sequence[str]], None]
EXIT_FAILED, EXIT_UNCHECKED = 1, 3
LIBRARY = "library"  # the name of the result for a plug-in whose library is not installed
_MEMO = "contracts.json"


class CheckFailedError(UserError):
    """A rule that a plug-in breaks; the message says what was measured."""


class StopChecksError(CheckFailedError):
    """A failure after which the other checks of the subject would measure nothing."""


class NotCheckedError(UserError):
    """A check that cannot be made here; the message says why."""


def quietly(_subject: str, _checks: Sequence[str]) -> None:
    """Do nothing when the checks of a subject begin."""


@dataclass(frozen=True)
class Result:
    """The outcome of one check."""

    subject: str  # what was checked, like "squared (paper, paper-literal)"
    check: str  # like "batch"
    status: Literal["passed", "note", "failed", "skipped"]  # a note is a pass
    message: str  # what holds, is worth knowing, was measured, or why it was not checked


def run_checks(
    name: str,
    subject: T,
    checks: Sequence[Callable[[T], str | None]],
    files: Collection[str] = (),
    begin: Begin = quietly,
) -> Iterator[Result]:
    """Yield the result of every check in order, skipping the rest where one stops them.

    An exception is reported with its line in ``files``, the plug-in's sources.
    """
    stopped_by = ""
    titles = [check.__name__.removeprefix("check_") for check in checks]
    for number, (title, check) in enumerate(zip(titles, checks, strict=True)):
        begin(name, titles[number:])
        if stopped_by:
            yield Result(name, title, "skipped", f"not run, as the check '{stopped_by}' failed")
            continue
        try:
            note = check(subject)
        except NotCheckedError as reason:
            yield Result(name, title, "skipped", str(reason))
        except FOREIGN as error:
            yield Result(name, title, "failed", explain(error, files))
            if isinstance(error, StopChecksError) or not isinstance(error, CheckFailedError):
                stopped_by = title
        else:
            yield Result(name, title, "note" if note else "passed", note or first_line(check))


def require(holds: bool, message: str) -> None:
    """Raise :class:`CheckFailedError` with the message unless something holds."""
    if not holds:
        raise CheckFailedError(message)


def explain(error: BaseException, files: Collection[str] = ()) -> str:
    """Return an exception as a sentence, with its line in the plug-in where it has one."""
    text = error_line(error)
    if isinstance(error, CheckFailedError):
        return text
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame for frame in frames if frame.filename in files]
    place = f" ({Path(lines[-1].filename).name}, line {lines[-1].lineno})" if lines else ""
    if isinstance(error, UserError):  # written for the user
        return f"{text}{place}"
    kind, _, text = text.partition(": ")
    return f"it raises {kind}{place}: {text or 'no message'}"


def describe(results: Sequence[Result], *, verbose: bool) -> Iterator[str]:
    """Yield the lines about one subject: counts, then failures, skipped checks and notes.

    ``verbose`` adds the checks that passed.
    """
    names = {"failed": "failed", "passed": "passed", "note": "passed", "skipped": "not run"}
    counts = Counter(names[result.status] for result in results)
    parts = [f"{counts[name]} {name}" for name in dict.fromkeys(names.values()) if counts[name]]
    yield f"{results[0].subject}: {', '.join(parts)}"
    shown = ("failed", "skipped", "note", *(["passed"] if verbose else []))
    for status in shown:
        for message in dict.fromkeys(one.message for one in results if one.status == status):
            yield f"  {status:8} {message}"


def summary(results: Sequence[Result]) -> str:
    """Return the last line, which never reads like success where something was not checked."""
    counts = Counter(result.status for result in results)
    made, failed, skipped = len(results) - counts["skipped"], counts["failed"], counts["skipped"]
    text = f"{failed} of {made} checks failed" if failed else f"all {made} checks passed"
    text += f", {skipped} not run" if skipped else ""
    if exit_code(results) != EXIT_UNCHECKED:
        return text
    reasons = [f"{one.subject}: {one.message}" for one in results if one.status == "skipped"]
    return f"not everything was checked: {'; '.join(reasons)} ({text})"


def exit_code(results: Sequence[Result]) -> int:
    """Return 0 where every check passed, 1 where one failed, 3 where something was not checked.

    A part that was skipped because it needs parameters is no 3 if others were checked.
    """
    if any(result.status == "failed" for result in results):
        return EXIT_FAILED
    checked = any(result.status != "skipped" for result in results)
    absent = any(result.check == LIBRARY for result in results)
    return EXIT_UNCHECKED if absent or not checked else 0


def remember(files: Iterable[Path], results: Sequence[Result], cache: Path) -> None:
    """Keep in the cache folder which checks failed of plug-in files that were checked together."""
    failed = [f"{one.subject}: {one.message}" for one in results if one.status == "failed"]
    memo = Memo(cache / _MEMO)
    memo.write(memo.read() | {source_digest(file.resolve()): failed for file in files})


def unchecked(files: Iterable[Path], cache: Path) -> Iterator[str]:
    """Yield a line for each plug-in file that was not checked as it is, or that failed a check."""
    known = Memo(cache / _MEMO).read()
    for file in files:
        failed = known.get(source_digest(file.resolve()))
        if failed is None:
            yield f"{file} was not checked as it is: run-benchmark check-plugin {file}"
        elif failed:
            more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
            yield f"{file} fails check-plugin, so its rows are not comparable: {failed[0]}{more}"
