"""What check-plugin says: what is broken first, then what could not be checked, then the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashattack.benchmark.contract.checks import Verdict

EXIT_BROKEN, EXIT_UNCHECKED = 1, 3


def told(found: Iterable[Verdict], *, verbose: bool) -> Iterator[str]:
    """Yield lines about verdicts as they come, a subject at a time.

    Args:
        found: of one subject after another.
        verbose: whether what is kept is told one by one, too.
    """
    for of, group in groupby(found, key=lambda verdict: verdict.of):
        yield from _about(of, list(group), verbose=verbose)


def _about(of: str, found: Sequence[Verdict], *, verbose: bool) -> Iterator[str]:
    counts = Counter(verdict.status for verdict in found)
    kept = counts["kept"] + counts["noted"]
    states = {"broken": counts["broken"], "kept": kept, "not checked": counts["skipped"]}
    yield f"{of}: {', '.join(f'{count} {state}' for state, count in states.items() if count)}"
    for broken in (verdict for verdict in found if verdict.status == "broken"):
        yield f"  broken   {broken.sentence}"
        after = [verdict.check for verdict in found if verdict.because == broken.check]
        if after:
            yield f"           {len(after)} more not checked because of it: {', '.join(after)}"
    for verdict in found:
        if verdict.status == "skipped" and not verdict.because:
            yield f"  skipped  {verdict.text}"
    for verdict in found:
        if verdict.status == "noted":
            yield f"  note     {verdict.text}"
    for verdict in found if verbose else ():
        if verdict.status == "kept":
            yield f"  kept     {verdict.text}"


def summary(found: Sequence[Verdict]) -> str:
    """Return the last line, which never looks like success where nothing was checked."""
    counts = Counter(verdict.status for verdict in found)
    made = counts["kept"] + counts["noted"] + counts["broken"]
    if not made:
        return f"nothing was checked: {'; '.join(_reasons(found))}"
    said = (
        f"{counts['broken']} of {made} promises broken"
        if counts["broken"]
        else f"all {made} promises kept"
    )
    if counts["skipped"]:
        said += f", {counts['skipped']} not checked"
    if exit_code(found) == EXIT_UNCHECKED:
        said = f"not all was checked: {'; '.join(_reasons(found))} ({said})"
    return said


def _reasons(found: Sequence[Verdict]) -> list[str]:
    return [verdict.sentence for verdict in found if verdict.status == "skipped"]


def exit_code(found: Sequence[Verdict]) -> int:
    """Return 0 where every promise is kept, 1 where one is broken, 3 where one was not looked at.

    A part that only needs parameters, beside others that were checked, makes no 3.
    """
    if any(verdict.status == "broken" for verdict in found):
        return EXIT_BROKEN
    checked = {verdict.of for verdict in found if verdict.status != "skipped"}
    absent = any(verdict.check == "library" for verdict in found)
    return EXIT_UNCHECKED if absent or not checked else 0
