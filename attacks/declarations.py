"""What an attack declares, as plain values of built-in types, or refused in a line."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any, TypedDict

from hashattack.datasets.errors import UserError
from hashattack.datasets.texts import one_line

TITLE_RULE = "a line of at most 60 characters without / \\ $ that begins with none of = + - @"
ADDRESS_RULE = "empty or an address of at most 200 characters that begins with https://"
_MOST = 10**12  # of a count


class Cited(TypedDict):
    """Where an attack was published, as arguments of :class:`~hashattack.attacks.base.Attack`."""

    paper: str
    url: str


class AttackError(UserError):
    """An attack that cannot run as asked; the text says why and what to do."""


def count(value: Any, name: str) -> int:
    """Return a number of passes or images that a part declares.

    Raises:
        AttackError: it is no whole number from 0 on.
    """
    if not isinstance(value, numbers.Integral) or not 0 <= (found := int(value)) <= _MOST:
        raise AttackError(
            f"{name} must be a whole number from 0 to 1e12, got {one_line(repr(value))}"
        )
    return found


def budget(value: Any, name: str) -> float:
    """Return a budget in pixels of [0, 1] as a plain number.

    Raises:
        AttackError: it is no number from 0 to 1.
    """
    # float() of a subclass and + 0.0 leave a float that is no subclass and no -0.0.
    number = float(value) + 0.0 if isinstance(value, numbers.Real) else math.nan
    if isinstance(value, bool) or not 0 <= number <= 1:
        raise AttackError(
            f"{name} must be a number of pixels from 0 to 1, like 8 / 255, or None, "
            f"got {one_line(repr(value))}"
        )
    return number


def text(value: Any, allowed: Callable[[str], bool], rule: str) -> str:
    """Return a text that is allowed as a plain one.

    Raises:
        AttackError: it is none; the text begins with the ``rule``.
    """
    plain = str.__str__(value) if isinstance(value, str) else ""  # no subclass
    if not isinstance(value, str) or not allowed(plain):
        raise AttackError(f"{rule}, got {one_line(repr(value))}")
    return plain


def is_title(text: str) -> bool:
    """Return whether a text can be the name of an attack in reports."""
    plain = text.isprintable() and text == text.strip() and not set("/\\$") & set(text)
    return plain and 0 < len(text) <= 60 and text[0] not in "=+-@"


def is_address(text: str) -> bool:
    """Return whether a text can be the address of a paper, as a link."""
    plain = text.isascii() and text.isprintable() and not set(" \"'<>\\") & set(text)
    return plain and text.startswith("https://") and len(text) <= 200
