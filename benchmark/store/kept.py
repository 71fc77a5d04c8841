"""Answers kept in the cache until the program changes, so that asking again needs no torch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hashattack.benchmark.provenance import program_digest
from hashattack.benchmark.store.files import read_json, write_json

logger = logging.getLogger(__name__)


def kept(cache: Path, name: str, make: Callable[[], Any]) -> Any:
    """Return what ``make`` returns, JSON-able, or what it returned before.

    Args:
        cache: the user's cache folder; where it cannot be written, nothing is kept.
        name: of the answer, unlike all others.
        make: makes it, from nothing but the program.
    """
    path = cache / "answers.json"
    known = read_json(path) or {}
    if known.get("program") != program_digest():
        known = {"program": program_digest()}
    if name not in known:
        known[name] = make()
        try:
            write_json(path, known)
        except OSError as error:
            logger.debug("answers are not kept: %s", error)
    return known[name]
