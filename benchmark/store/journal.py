"""The state of a training as it goes, so that a killed job resumes at its last saved step."""

from __future__ import annotations

import hashlib
from pathlib import Path
from time import perf_counter

from safetensors.numpy import load, save

from hashattack.benchmark.store.files import write_bytes
from hashattack.benchmark.store.store import Arrays
from hashattack.datasets.files import read_bytes, read_checked, write_checked


class Journal:
    """The last saved state of a training, in its job's folder; a damaged one counts as none.

    A new state is written beside the old one before the pointer moves to it, so that a killed job
    always finds a whole state. The seconds of earlier attempts are kept with it.
    """

    def __init__(self, folder: Path, stamp: str = "") -> None:
        """Keep states in a folder; one with another ``stamp`` (inputs, code) counts as none."""
        self._folder = folder
        self._pointer = folder / "journal.json"
        self._stamp = stamp
        self._before, self._began = 0.0, perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds of this attempt and of those it resumed."""
        return self._before + perf_counter() - self._began

    def load(self) -> Arrays | None:
        """Return the last saved state, or None; its seconds are counted on."""
        pointer = read_checked(self._pointer)
        if pointer is None or pointer.get("stamp") != self._stamp:
            return None
        try:
            content = read_bytes(self._folder / pointer["file"])
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != pointer["sha256"]:
            return None
        self._before = pointer["seconds"]
        arrays: Arrays = load(content)
        return arrays

    def save(self, state: Arrays) -> None:
        """Replace the saved state."""
        content = save(state)
        digest = hashlib.sha256(content).hexdigest()
        file = self._folder / f"journal-{digest[:16]}.safetensors"
        write_bytes(file, content)
        pointer = {"file": file.name, "sha256": digest, "stamp": self._stamp}
        write_checked(self._pointer, {**pointer, "seconds": self.seconds})
        for old in self._folder.glob("journal-*.safetensors"):
            if old != file:
                old.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the saved state of a job that is done."""
        for file in self._folder.glob("journal*"):
            file.unlink(missing_ok=True)
