"""Plug-ins: attacks, target-code rules, losses, backbones and data sets from a person's own files.

A file is imported by its path; installed packages register modules under the entry-point group
``hashattack``. Workers get a file's classes by value, so that only the driver reads it. The source
of a file and of the modules it imports from beside it, or that of a whole package, is part of the
keys of the jobs that use it: an edit computes them again. Imports no torch.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from hashattack.benchmark.store.keys import PACKAGE, register_source
from hashattack.datasets.errors import UserError
from hashattack.datasets.files import read_bytes
from hashattack.datasets.texts import error_line

GROUP = "hashattack"
FOREIGN = (Exception, SystemExit)  # what code of others may raise; its exit must not end a command
_loaded: dict[Path, ModuleType] = {}


class PluginError(UserError):
    """A plug-in that cannot be imported; the text names the line."""


def load_plugins(paths: Iterable[Path]) -> list[ModuleType]:
    """Import plug-in files, so that the registry has what they declare, and return their modules.

    Raises:
        PluginError: a file that is not there, or that fails when it is imported.
    """
    files = [path.resolve() for path in paths]
    for file in files:
        if file not in _loaded:
            _loaded[file] = _import(file)
    return [_loaded[file] for file in files]


def plugin_modules() -> list[ModuleType]:
    """Return the modules of plug-ins: files that were loaded, and installed packages."""
    return [*_loaded.values(), *_installed()]


def plugin_files(paths: Iterable[Path]) -> list[Path]:
    """Return plug-in files, and the files beside them that they import, directly or not."""
    beside = [(path, _beside(path.resolve()).values()) for path in paths]
    return [file for path, modules in beside for files in ([path], *modules) for file in files]


def installed_plugins() -> list[str]:
    """Return what installed packages register: name, module, version and digest of the source."""
    return [
        f"{point.name} {point.value} {point.dist.version if point.dist else ''} "
        f"{_digest(package_files(point.value))[:16]}"
        for point in entry_points(group=GROUP)
    ]


def source_digest(file: Path) -> str:
    """Return the SHA-256 of a plug-in file and of what it imports from beside it."""
    return _digest(plugin_files([file]))


def package_files(module: str) -> list[Path]:
    """Return the files of the top-level package of an installed module."""
    spec = importlib.util.find_spec(module.partition(".")[0])
    if spec is None:
        return []
    places = spec.submodule_search_locations or [spec.origin or ""]
    return [path for place in places for path in _python_files(Path(place))]


def line_in(error: BaseException, file: str) -> int | None:
    """Return the line of a file in which an error arose, or that called what raised it."""
    if isinstance(error, SyntaxError) and error.filename == file:  # no frame: it never began
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == file), None)


def _import(path: Path) -> ModuleType:
    name = f"plugin_{path.stem}"
    if name in sys.modules:
        raise PluginError(f"{path}: another plug-in file is called {path.name}; rename one")
    try:
        source = source_digest(path)
    except OSError as error:
        raise PluginError(f"{error.filename}: {error.strerror}") from None
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path}: not a Python file (its name ends in .py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException as error:  # a module may raise anything
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise PluginError(_import_error(error, path)) from error
    register_source(name, source)
    for helper in _beside(path):
        if _is_from(path.parent, sys.modules.get(helper)):  # and no library of that name
            register_source(helper, source)
    for pickler in ("joblib.externals.cloudpickle", "cloudpickle"):  # loky's, and dask's
        with contextlib.suppress(ImportError):  # workers unpickle its classes without importing it
            importlib.import_module(pickler).register_pickle_by_value(module)
    return module


def _import_error(error: BaseException, path: Path) -> str:
    """Return why a file cannot be imported, with the line, and what to do where that is known."""
    line = line_in(error, str(path))
    place = f"{path}" if line is None else f"{path}, line {line}"
    if isinstance(error, SyntaxError) and error.filename not in (None, str(path)):
        place += f", which imports {error.filename}, line {error.lineno}"
    text = f"{place}: {error_line(error)}"
    if isinstance(error, ModuleNotFoundError) and _module_files(path.parent, str(error.name)):
        text += f"; it lies beside the file, and is found with PYTHONPATH={path.parent}"
    return text


@cache
def _installed() -> tuple[ModuleType, ...]:
    """Import and return the modules that installed packages register."""
    modules = []
    for point in entry_points(group=GROUP):
        try:
            module = importlib.import_module(point.value)
        except FOREIGN as error:
            raise PluginError(
                f"the plug-in {point.name} ({point.value}) cannot be imported: {error_line(error)}"
            ) from error
        register_source(point.value.partition(".")[0], _digest(package_files(point.value)))
        modules.append(module)
    return tuple(modules)


def _digest(files: Iterable[Path]) -> str:
    """Return the SHA-256 of the texts of files, in the order of their paths."""
    found = hashlib.sha256()
    for path in sorted(files):
        text = read_bytes(path)
        found.update(f"{len(text)}\0".encode() + text)
    return found.hexdigest()


def _beside(file: Path) -> dict[str, list[Path]]:
    """Return the files next to a file that it imports, directly or not, by top-level module."""
    found: dict[str, list[Path]] = {file.stem: [], PACKAGE: []}
    left = [file]
    while left:
        for name in sorted(_imported_names(left.pop()) - found.keys()):
            found[name] = _module_files(file.parent, name)
            left += found[name]
    return {name: files for name, files in found.items() if files}


def _module_files(folder: Path, name: str) -> list[Path]:
    """Return the files of a module in a folder, or of the package of that name."""
    file = folder / f"{name}.py"
    return _python_files(folder / name) or ([file] if file.is_file() else [])


def _is_from(folder: Path, module: ModuleType | None) -> bool:
    places = getattr(module, "__path__", None) or [getattr(module, "__file__", None) or ""]
    return any(Path(place).is_relative_to(folder) for place in places)


def _python_files(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


def _imported_names(file: Path) -> set[str]:
    """Return the top-level names that a file imports; none where it is no Python."""
    try:
        nodes = list(ast.walk(ast.parse(read_bytes(file))))
    except (OSError, SyntaxError, ValueError):
        return set()
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [str(n.module) for n in nodes if isinstance(n, ast.ImportFrom) and not n.level]
    return {name.partition(".")[0] for name in names}
