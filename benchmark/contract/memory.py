"""What ``check-plugin`` found, kept in the cache until the plug-in or the program changes.

Results alone do not show that an attack draws from global random state or depends on its batch, so
a run says which of its plug-ins nobody has checked, or what they broke. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hashattack.benchmark.origins import beside, text_digest
from hashattack.benchmark.program import program_digest
from hashattack.benchmark.store.files import read_json, write_json

_NAME = "contracts.json"


def remember(files: Iterable[Path], broken: Sequence[str], cache: Path) -> None:
    """Keep what came of a check of some plug-in files.

    Args:
        files: that were checked together.
        broken: the promises they break, a sentence each.
        cache: the user's cache folder.
    """
    found = _known(cache)
    found["files"].update({_digest(file): list(broken) for file in files})
    write_json(cache / _NAME, found)


def told(files: Iterable[Path], cache: Path) -> Iterator[str]:
    """Yield a line about each plug-in file that nobody checked as it is, or that broke promises."""
    known = _known(cache)["files"]
    for file in files:
        broken = known.get(_digest(file))
        if broken is None:
            yield f"{file}: nobody checked yet whether it keeps the contract: check-plugin {file}"
        elif broken:
            more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
            yield f"{file} breaks the contract, its rows are no fair results: {broken[0]}{more}"


def _known(cache: Path) -> dict[str, Any]:
    found = read_json(cache / _NAME) or {}
    if found.get("program") != program_digest():
        return {"program": program_digest(), "files": {}}
    return found


def _digest(file: Path) -> str:
    path = file.resolve()
    return text_digest({path.name: path, **beside(path)})
