"""Canonical values, keys and result rows: the vocabulary of the store. Imports no torch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

# The stages of the pipeline, in its order.
STAGES = (
    *("weights", "import", "pretrain", "train", "encode"),
    *("draw", "fit", "craft", "hash", "score", "gallery"),
)

# The columns of results.csv, in order, and their pandas types. Fractions lie in [0, 1]; a column
# that does not apply to a row (distortions of a code-only attack, say) is empty.
COLUMNS = {
    "dataset": "string",
    "dataset_fingerprint": "string",
    "attack": "string",
    "title": "string",
    "params": "string",
    "overrides": "string",
    "variant": "string",
    "source": "string",
    "source_bits": "Int64",
    "victim": "string",
    "victim_bits": "Int64",
    "policy": "string",
    "target_seed": "Int64",
    "draw_seed": "Int64",
    "attack_seed": "Int64",
    "protocol": "string",
    "status": "string",
    "reason": "string",
    "n_queries": "Int64",
    "n_no_relevant": "Int64",
    "t_map": "float64",
    "t_map_stable": "float64",
    "t_map_8bit": "float64",
    "map": "float64",
    "map_stable": "float64",
    "chance": "float64",
    "chance_map": "float64",
    "precision_at_10": "float64",
    "budget_class": "string",
    "epsilon": "float64",
    "perceptibility": "float64",
    "perceptibility_rms": "float64",
    "linf": "float64",
    "l2": "float64",
    "seconds_per_image": "float64",
    "fit_seconds": "float64",
    "batch": "Int64",
    "threads": "Int64",
    "dtype": "string",
    "precision": "string",
    "compiled": "boolean",
    "device": "string",
    "notes": "string",
    "job_key": "string",
}


_SOURCES: dict[str, str] = {}  # SHA-256 of plug-ins' sources, by module


def register_source(module: str, sha256: str) -> None:
    """Let the source of a plug-in stand in the canonical form of what its module defines."""
    _SOURCES[module] = sha256


def canonical(value: Any) -> Any:
    """Return ``value`` as JSON-able data that is equal exactly when the values are.

    A dataclass becomes a mapping of its type's name and its fields, without those marked
    ``metadata={"key": False}`` (paths, and what the keys of inputs say already); one that a
    plug-in defines, also of its source, and one that ``requires`` a library, of its version.

    Raises:
        TypeError: a value that has no canonical form.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: canonical(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.metadata.get("key", True)
        }
        source = _SOURCES.get(type(value).__module__)
        origin = {} if source is None else {"source": source}
        library = getattr(type(value), "requires", None)
        origin |= {} if library is None else {"library": library.version}
        return {"type": type(value).__name__, **origin, **fields}
    if isinstance(value, Mapping):
        return {str(name): canonical(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [canonical(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} has no canonical form: {value!r}")


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted names, no spaces, no NaN."""
    return json.dumps(
        canonical(value), sort_keys=True, allow_nan=False, separators=(",", ":"), ensure_ascii=True
    )


def digest(value: Any) -> str:
    """Return the SHA-256 of :func:`canonical_json`, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
