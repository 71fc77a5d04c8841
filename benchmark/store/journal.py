"""The state of a training as it goes, so that a killed job resumes at its last saved step."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from hashattack.benchmark.store.files import read_json, write_bytes, write_json
from hashattack.benchmark.store.store import Arrays

_POINTER = "journal.json"


class Journal:
    """At most one saved state in a job's folder; a damaged one counts as none.

    The new state is written beside the old one and a pointer moved to it, so that a kill at any
    moment leaves a whole state.
    """

    def __init__(self, folder: Path, stamp: str = "") -> None:
        """Keep states in a folder; one with another ``stamp`` (inputs, code) counts as none."""
        self._folder = folder
        self._stamp = stamp

    def load(self) -> Arrays | None:
        """Return the last saved state, or None."""
        pointer = read_json(self._folder / _POINTER)
        if pointer is None or pointer.get("stamp") != self._stamp:
            return None
        try:
            content = (self._folder / str(pointer["file"])).read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != pointer["sha256"]:
            return None
        arrays: Arrays = load(content)
        return arrays

    def save(self, state: Arrays) -> None:
        """Replace the saved state."""
        content = save(state)
        digest = hashlib.sha256(content).hexdigest()
        file = self._folder / f"journal-{digest[:16]}.safetensors"
        write_bytes(file, content)
        write_json(
            self._folder / _POINTER, {"file": file.name, "sha256": digest, "stamp": self._stamp}
        )
        for old in self._folder.glob("journal-*.safetensors"):
            if old != file:
                old.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove what was saved; the job is done."""
        for file in self._folder.glob("journal*"):
            file.unlink(missing_ok=True)


class Stopwatch:
    """A journal that keeps the seconds spent beside the state, across kills."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._before = 0.0
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds of this attempt and of those it resumed."""
        return self._before + time.perf_counter() - self._began

    def load(self) -> Arrays | None:
        """Return the last saved state, and go on from its seconds."""
        state = self._journal.load()
        if state is not None:
            self._before = float(state.pop("seconds"))
        return state

    def save(self, state: Arrays) -> None:
        """Replace the saved state."""
        self._journal.save({**state, "seconds": np.array(self.seconds)})
