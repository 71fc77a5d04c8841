"""Where plug-ins come from: the files whose text decides what they compute. Imports none of them.

A plug-in file stands on what it imports from beside it, an installed module on its whole top-level
package: an edit of any of these computes what stands on them anew.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path

from hashattack.benchmark.store.keys import PACKAGE


def beside(file: Path) -> dict[str, Path]:
    """Return the modules next to a file that it imports, directly or not, by dotted name."""
    found: dict[str, Path] = {}
    left = [file]
    while left:
        for name in _imported(left.pop()) - found.keys() - {file.stem, PACKAGE}:
            modules = _modules(file.parent, name)
            left += modules.values()
            found |= modules
    return found


def package(module: str) -> dict[str, Path]:
    """Return the modules of the top-level package of an installed one, by dotted name."""
    top = module.partition(".")[0]
    spec = importlib.util.find_spec(top)
    if spec is None:
        return {}
    places = [Path(place) for place in spec.submodule_search_locations or ()]
    if not places and spec.origin is not None:
        return {top: Path(spec.origin)}
    return {name: path for place in places for name, path in _within(top, place).items()}


def text_digest(files: Mapping[str, Path]) -> str:
    """Return the SHA-256 of files by name; a single one's is that of its text alone."""
    if len(files) == 1:
        return hashlib.sha256(next(iter(files.values())).read_bytes()).hexdigest()
    found = hashlib.sha256()
    for name, path in sorted(files.items()):
        text = path.read_bytes()
        found.update(f"{name}\0{len(text)}\0".encode() + text)
    return found.hexdigest()


def _modules(folder: Path, name: str) -> dict[str, Path]:
    if (folder / name).is_dir():
        return _within(name, folder / name)
    file = folder / f"{name}.py"
    return {name: file} if file.is_file() else {}


def _within(name: str, folder: Path) -> dict[str, Path]:
    return {_dotted(name, path.relative_to(folder)): path for path in sorted(folder.rglob("*.py"))}


def _dotted(name: str, path: Path) -> str:
    parts = [name, *path.with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(file: Path) -> set[str]:
    """Return the top-level names that a file imports; none where it is no Python."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()
    return set(_names(tree))


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
