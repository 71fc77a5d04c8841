"""Suite and scale files: found by name or path, read, included. Imports no torch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml

from hashattack.benchmark.names import nearest
from hashattack.benchmark.suites.plain_yaml import parse_yaml
from hashattack.datasets.errors import UserError
from hashattack.datasets.files import read_bytes

_LARGEST = 1_000_000  # bytes
_SUFFIXES = (".yaml", ".yml")  # of a file's path, where a name of a shipped one could stand
_NOT_INHERITED = ("name", "include", "description", "tables")


class SuiteError(UserError):
    """A suite that cannot be run as written; the text names the place and the remedy."""


@dataclass(frozen=True)
class SuiteFile:
    """A suite's file, with those keys replaced that an including suite has; unchecked.

    ``folders`` are where the relative paths of a key start.
    """

    path: Path
    content: Mapping[str, Any]
    folders: Mapping[str, Path]
    other_attacks: bool  # than the file names, which need not have its ``params``


def shipped(kind: Literal["suite", "scale"] = "suite") -> dict[str, Path]:
    """Return the suites or scales that come with the program, by name."""
    folder = Path(str(resources.files("hashattack.benchmark") / f"{kind}s"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_yaml(name: str, kind: Literal["suite", "scale"]) -> tuple[Path, dict[str, Any]]:
    """Return the file and content of a shipped suite or scale, or of a path ending in ``.yaml``.

    Raises:
        SuiteError: unknown name, unreadable file, or no mapping in it.
    """
    path = Path(name)
    if path.suffix not in _SUFFIXES:
        known = shipped(kind)
        if name not in known:
            raise SuiteError(
                f"unknown {kind} '{name}'{nearest(name, known)} (a file is named by its path, "
                "ending in .yaml)"
            )
        path = known[name]
    try:
        raw = read_bytes(path)
        if len(raw) > _LARGEST:
            raise SuiteError(f"{path} has more than {_LARGEST:,} bytes, which no {kind} needs")
        content = parse_yaml(raw.decode())
    except OSError as error:
        raise SuiteError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SuiteError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8") from None
    except yaml.YAMLError as error:
        raise SuiteError(f"{path}: {error}") from None
    if not isinstance(content, dict):
        raise SuiteError(f"{path}: a {kind} is a mapping of keys to values")
    return path, content


def folder_of(name: str, path: Path) -> Path:
    """Return where relative paths in a file start: beside it; of a shipped one, where we are."""
    return path.resolve().parent if Path(name).suffix in _SUFFIXES else Path.cwd()


def beside(folder: Path, path: str) -> str:
    """Return an absolute path; a relative one starts in the folder."""
    with contextlib.suppress(RuntimeError):  # no such user
        return str(folder / Path(path).expanduser())
    return str(folder / path)


def read_suite(
    name: str,
    changes: Mapping[str, Any] | None = None,
    including: Sequence[str] = (),
    folders: Mapping[str, Path] | None = None,
) -> Iterator[SuiteFile]:
    """Yield a suite by name or path, with keys replaced, and the suites it includes.

    Args:
        name: of a shipped suite, or a path.
        changes: keys to replace.
        including: the suites that include this one.
        folders: where relative paths in the changes start; None for the working directory.

    Raises:
        SuiteError: an unknown name, an unreadable file, or a suite that includes itself or none.
    """
    path, content = read_yaml(name, "suite")
    if name in including:
        raise SuiteError(f"{path}: includes itself ({' > '.join([*including, name])})")
    changes, folder = changes or {}, folder_of(name, path)

    def located(other: Any) -> Any:
        is_path = isinstance(other, str) and Path(other).suffix in _SUFFIXES
        return beside(folder, other) if is_path else other

    if "scale" in content:
        content["scale"] = located(content["scale"])
    content = {"name": path.stem, **content, **changes}
    starts = {key: Path.cwd() if key in changes else folder for key in content}
    starts |= folders or {}
    yield SuiteFile(path, content, starts, "attacks" in changes and "params" not in changes)
    if "include" not in content:
        return
    included = content["include"] if isinstance(content["include"], list) else [content["include"]]
    if not included:
        raise SuiteError(f"{path}: include names no suite")
    inherited = {key: value for key, value in content.items() if key not in _NOT_INHERITED}
    for other in included:
        own = {key: starts[key] for key in inherited}
        yield from read_suite(located(str(other)), inherited, [*including, name], own)
