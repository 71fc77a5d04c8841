"""Atomic writes of files: of data sets here, of everything else through ``store.files``."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

os.umask(_UMASK := os.umask(0o077))  # it can only be read by setting it


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside ``path``, which replaces it when the block ends.

    A reader sees the old content or the new, never a part. The file is synchronised before it
    takes the old one's place, and removed when anything goes wrong.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, 0o666 & ~_UMASK)  # a temporary file is its owner's alone
            yield file
            file.flush()
            os.fsync(handle)
        Path(name).replace(path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a failed write does not say where
        raise
