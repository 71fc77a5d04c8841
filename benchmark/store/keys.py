"""Keys: the SHA-256 of the canonical JSON of a value. Imports no torch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Mapping
from typing import Any

PACKAGE = "hashattack"
_SOURCES: dict[str, str] = {}  # SHA-256 of plug-ins' sources, by top-level module


def register_source(module: str, sha256: str) -> None:
    """Make the source of a plug-in part of the canonical form of what it defines.

    Args:
        module: its top-level module.
        sha256: of its source.
    """
    _SOURCES[module] = sha256


def canonical(value: Any) -> Any:
    """Return ``value`` as JSON-able data that is equal exactly when the values are.

    A dataclass becomes a mapping of its type's name and its fields, without those marked
    ``metadata={"key": False}`` (paths, and what the keys of inputs say already). To it come the
    SHA-256 of the source where a plug-in defines the class, and the version of a library that the
    class ``requires``.

    Raises:
        TypeError: a value that has no canonical form.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: canonical(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.metadata.get("key", True)
        }
        source = _SOURCES.get(type(value).__module__.partition(".")[0])
        # Names that no field can have.
        origin = {} if source is None else {"plug-in source": source}
        library = getattr(type(value), "requires", None)
        origin |= {} if library is None else {"library version": library.version}
        return {"type": type(value).__name__, **origin, **fields}
    if isinstance(value, Mapping):
        return {str(name): canonical(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [canonical(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} has no canonical form: {value!r}")


def is_own(value: Any) -> bool:
    """Return whether a value consists of this program's types alone.

    False also for an object whose class is not the one that its module has under that name, and
    for one with attributes that are no fields.
    """
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return True
    if kind in (tuple, list):
        return all(map(is_own, value))
    if kind is dict:
        return all(map(is_own, value)) and all(map(is_own, value.values()))
    if not dataclasses.is_dataclass(value):
        return False
    fields = {field.name for field in dataclasses.fields(value)}
    return (
        kind.__module__.partition(".")[0] == PACKAGE
        and getattr(sys.modules.get(kind.__module__), kind.__name__, None) is kind
        and vars(value).keys() <= fields
        and all(is_own(getattr(value, name)) for name in fields)
    )


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted names, no spaces, no NaN."""
    return json.dumps(
        canonical(value), sort_keys=True, allow_nan=False, separators=(",", ":"), ensure_ascii=True
    )


def digest(value: Any) -> str:
    """Return the SHA-256 of :func:`canonical_json`, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
