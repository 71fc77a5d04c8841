"""Texts of others made safe to show: ids, lines, exceptions. Imports no torch."""

from __future__ import annotations

import re

from hashattack.datasets.errors import UserError

TOGETHER = "+"  # between the ids of several things taken together; no id has one
ID_RULE = "letters, digits and single dashes, dots or '_' between them, 60 characters at most"
_ID = re.compile(r"(?!.{61})[A-Za-z0-9]+([._-][A-Za-z0-9]+)*")
_LONGEST = 1000  # characters of a line


def is_id(name: str) -> bool:
    """Return whether a name can stand in file names, globs and result rows, as ids do."""
    return _ID.fullmatch(name) is not None


def one_line(text: str) -> str:
    """Return a text as one line of printable characters; a long one loses its middle.

    Control characters, lone surrogates and the like are written as escapes, so that a line can
    stand in every file and on every terminal. A line stays as it is.
    """
    words = " ".join(_cut(str.__str__(text)).split())  # str(text) could be another text's own
    return _cut(printable(words))


def printable(text: str) -> str:
    """Return a text with escapes for characters that cannot be printed, but for line breaks."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def _cut(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    return f"{text[: 6 * _LONGEST // 10]} … {text[-3 * _LONGEST // 10 :]}"


def error_line(error: BaseException) -> str:
    """Return the type and text of an exception in a line; one for the user needs no type."""
    try:
        text = one_line(f"{error}")
        if isinstance(error, UserError):
            return text
        return one_line(f"{type(error).__name__}: {text}" if text else type(error).__name__)
    except BaseException:  # noqa: BLE001 - it makes its text by code of its own
        return f"{type(error).__qualname__} without a readable text"
