"""New attacks from templates: files that run as they are and keep the contract, to be changed."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Collection
from importlib import resources
from pathlib import Path

from hashattack.datasets.errors import UserError
from hashattack.datasets.texts import ID_RULE, is_id


class DraftError(UserError):
    """A draft that cannot be written; the text says why and what to do."""


def write_draft(
    kind: str, name: str, folder: Path, taken: Collection[str] = ()
) -> tuple[Path, str]:
    """Write an attack that runs as it is to a folder, and return its file and its id.

    ``kind`` is what is new about it: ``loss``, ``loop``, ``fit``, ``rule`` or ``away``. Capitals
    and '_' in the name become small letters and dashes; it cannot be one of ``taken``.

    Raises:
        DraftError: not an id, one that is taken, or a file that is there already.
    """
    id_ = name.lower().replace("_", "-")
    words = re.split("[-.]", id_)
    if not is_id(id_) or not words[0][0].isalpha():
        raise DraftError(
            f"'{name}' is no id for an attack: a letter first, then {ID_RULE}, like my-idea"
        )
    if id_ in taken:
        raise DraftError(f"there is an attack '{id_}' already; choose another id, like my-{id_}")
    template = resources.files("hashattack.benchmark") / "templates" / f"{kind}.txt"
    text = template.read_text(encoding="utf-8")
    taken_names = {*re.findall(r"\w+", text), *keyword.kwlist, *dir(builtins)}

    def free(name: str) -> str:
        return f"{name}_" if name in taken_names else name

    named = {
        "id": id_,
        "title": " ".join(words).capitalize(),
        "cls": free("".join(word.capitalize() for word in words)),
        "function": free("_".join(words)),
    }
    file = folder / f"{'_'.join(words)}.py"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("x", encoding="utf-8") as written:
            written.write(text.format(**named))
    except FileExistsError:
        raise DraftError(f"{file} is there already; choose another id or --to") from None
    return file, id_
