"""Ways to damage a file, and what may then happen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hashattack.datasets.errors import UserError


def link_loop(file: Path) -> None:
    file.symlink_to(file.name)


def replaced_by(make: Callable[[Path], None]) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        file.unlink()
        make(file)

    return damage


def written(content: bytes) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        file.write_bytes(content)

    return damage


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def one_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 5
    file.write_bytes(bytes(content))


def other_numbers(file: Path) -> None:
    """Change every number that looks like a metric, as a person would."""
    content = file.read_bytes()
    file.write_bytes(content.replace(b": 0.", b": 0.9").replace(b": 1", b": 2"))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "removed": Path.unlink,
    "empty": written(b""),
    "cut": cut,
    "a byte": one_byte,
    "numbers": other_numbers,
    "a list": written(b"[1, 2]"),
    "no names": written(b"{}"),
    "other names": written(b'{"status": "ok", "data": 3, "jobs": [], "format": 4, "key": null}'),
    "deep": written(b"[" * 100_000),
    "not text": written(bytes(range(256))),
    "a folder": replaced_by(Path.mkdir),
    "a pipe": replaced_by(os.mkfifo),
    "a link to itself": replaced_by(link_loop),
}


def spoil(folder: Path, file: str, damage: str) -> Path:
    path = sorted(folder.glob(file))[0]
    DAMAGES[damage](path)
    return path


@contextmanager
def restored(folder: Path, file: str) -> Iterator[Path]:
    """Put a file back when the block ends."""
    path = sorted(folder.glob(file))[0]
    content = path.read_bytes()
    yield path
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    path.write_bytes(content)


@contextmanager
def sentence_allowed(path: Path) -> Iterator[None]:
    """Let an error pass that the command line shows as a sentence with the place."""
    found: Exception | None = None
    try:
        yield
    except (UserError, OSError) as error:
        found = error
    assert not isinstance(found, OSError) or found.filename
    assert found is None or path.name in str(found)
