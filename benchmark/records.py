"""Canonical values, keys and result rows: the vocabulary of the store. Imports no torch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, Literal

Status = Literal["ok", "failed", "skipped", "invalid"]

# The columns of results.csv, in order. Fractions lie in [0, 1]; a column that does not apply to
# a row (distortions of a code-only attack, say) is empty.
COLUMNS = (
    "dataset",
    "dataset_fingerprint",
    "attack",
    "title",
    "params",
    "overrides",
    "variant",
    "source",
    "source_bits",
    "victim",
    "victim_bits",
    "policy",
    "target_seed",
    "draw_seed",
    "attack_seed",
    "protocol",
    "status",
    "reason",
    "n_queries",
    "n_no_relevant",
    "t_map",
    "t_map_stable",
    "t_map_8bit",
    "map",
    "map_stable",
    "chance",
    "chance_map",
    "precision_at_10",
    "budget_class",
    "epsilon",
    "perceptibility",
    "perceptibility_rms",
    "linf",
    "l2",
    "seconds_per_image",
    "fit_seconds",
    "batch",
    "threads",
    "dtype",
    "device",
    "job_key",
)


def canonical(value: Any) -> Any:
    """Return ``value`` as JSON-able data that is equal exactly when the values are.

    A dataclass becomes a mapping of its type's name and its fields, without those marked
    ``metadata={"key": False}`` (paths, and what the keys of inputs say already).

    Raises:
        TypeError: a value that has no canonical form.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: canonical(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.metadata.get("key", True)
        }
        return {"type": type(value).__name__, **fields}
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


def finite(value: float | None) -> float | None:
    """Return a number JSON can carry, or None for NaN, infinity and None."""
    return None if value is None or not math.isfinite(value) else float(value)
