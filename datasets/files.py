"""Files: read and written whole or not at all, and JSON that carries its checksum.

Nothing is taken from a file that is damaged: what a kill, a disk or a person changed is as if it
were not there, and is made again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

os.umask(_UMASK := os.umask(0o077))  # it can only be read by setting it
_CHECKSUM = "checksum"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class FullDiskError(OSError):
    """A file of the program could not be written because its disk is full."""


def check_replaceable(path: Path) -> None:
    """Check that a path is free or a regular file, which a new one can replace.

    Raises:
        FileExistsError: it is a link, a folder, a pipe or a device.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        why = "it is a link, a folder, a pipe or a device; remove it, or name another file"
        raise FileExistsError(errno.EEXIST, why, str(path))


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside ``path``, which replaces it when the block ends.

    A reader sees the old content or the new, never a part. The file is synchronised before it
    takes the old one's place, and removed when anything goes wrong.

    Raises:
        FullDiskError: the disk is full.
        OSError: the file cannot be written, or ``path`` is something else than a file.
    """
    name = ""
    try:
        check_replaceable(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, 0o666 & ~_UMASK)  # a temporary file is its owner's alone
            yield file
            file.flush()
            os.fsync(handle)
        Path(name).replace(path)
    except BaseException as error:
        if name:
            Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _FULL:
            raise FullDiskError(error.errno, error.strerror, str(path)) from error
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a failed write does not say where
        raise


def check_readable(path: Path) -> None:
    """Check that a path, if there is anything, is a file, which has an end.

    Raises:
        OSError: it is a folder, a pipe or a device.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is a folder, a pipe or a device, not a file", str(path))


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        OSError: there is none, or it is a folder, a pipe or a device.
    """
    check_readable(path)
    return path.read_bytes()


def with_checksum(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return JSON-able values by name, and the SHA-256 of them all beside them."""
    text = json.dumps(value, sort_keys=True, allow_nan=False)
    return {**value, _CHECKSUM: hashlib.sha256(text.encode()).hexdigest()}


def checked(text: str | bytes) -> dict[str, Any] | None:
    """Return the values that JSON from :func:`with_checksum` holds, or None where it is damaged.

    That is also any other JSON: no shape needs to be checked of what has its checksum.
    """
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(text)
        if isinstance(found, dict):
            checksum = found.pop(_CHECKSUM, None)
            return found if with_checksum(found)[_CHECKSUM] == checksum else None
    return None


def write_checked(path: Path, value: Mapping[str, Any]) -> None:
    """Write values by name as JSON with a checksum, in their order; NaN is refused."""
    text = json.dumps(with_checksum(value), indent=1, allow_nan=False)
    with replacing(path) as file:
        file.write(text.encode())


def read_checked(path: Path) -> dict[str, Any] | None:
    """Return what :func:`write_checked` wrote, or None where the file is absent or damaged."""
    try:
        return checked(read_bytes(path))
    except OSError:
        return None
