"""Suite and scale files: found by name or path, read, included. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml

from hashattack.benchmark.names import nearest
from hashattack.datasets.errors import UserError

_NOT_INHERITED = ("name", "include", "description", "tables")


class SuiteError(UserError):
    """A suite that cannot be run as written; the text names the place and the remedy."""


@dataclass(frozen=True)
class SuiteSource:
    """A suite as its file and those that include it have it, unchecked."""

    file: Path
    content: Mapping[str, Any]
    included: Sequence[SuiteSource] = ()  # the suites that it is the union of
    other_attacks: bool = False  # than its file names, which need not have its ``params``

    @property
    def parts(self) -> list[SuiteSource]:
        """Return the suites to be united that include no other."""
        return [part for source in self.included for part in source.parts] or [self]

    @property
    def files(self) -> list[Path]:
        """Return all files that decide what the suite is, scales among them."""
        scale = self.content.get("scale")
        scales = [read_yaml(scale, "scale")[0]] if isinstance(scale, str) else []
        return [self.file, *scales, *(file for one in self.included for file in one.files)]


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
    if path.suffix not in (".yaml", ".yml"):
        known = shipped(kind)
        if name not in known:
            raise SuiteError(
                f"unknown {kind} '{name}'{nearest(name, known)} A file is named by its path, "
                "ending in .yaml."
            )
        path = known[name]
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SuiteError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise SuiteError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise SuiteError(f"{path}: a {kind} is a mapping of keys to values")
    return path, content


def read_suite(
    name: str, changes: Mapping[str, Any] | None = None, including: Sequence[str] = ()
) -> SuiteSource:
    """Read a suite by name or path, with keys replaced, and those it includes with its keys.

    Raises:
        SuiteError: an unknown name, an unreadable file, or a suite that includes itself or none.
    """
    path, content = read_yaml(name, "suite")
    if name in including:
        raise SuiteError(f"{path}: includes itself ({' > '.join([*including, name])})")
    changes = changes or {}
    content = {"name": path.stem, **content, **changes}
    if "include" not in content:
        other_attacks = "attacks" in changes and "params" not in changes
        return SuiteSource(path, content, other_attacks=other_attacks)
    inherited = {key: value for key, value in content.items() if key not in _NOT_INHERITED}
    named = content["include"] if isinstance(content["include"], list) else [content["include"]]
    included = [read_suite(str(other), inherited, [*including, name]) for other in named]
    if not included:
        raise SuiteError(f"{path}: include names no suite")
    return SuiteSource(path, content, included)
