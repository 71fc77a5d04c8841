"""Plug-ins: attacks, target-code rules, losses, backbones and data sets from a person's own files.

A file is imported by its path; installed packages register modules under the entry-point group
``hashattack``. Workers get a file's classes by value, so that only the driver reads
it. Its source, that of the modules it imports from beside it, or that of its whole package is part
of the keys of the jobs that use it: an edit computes them anew.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from hashattack.benchmark.origins import beside, package, text_digest
from hashattack.benchmark.store.keys import register_source
from hashattack.datasets.errors import UserError

GROUP = "hashattack"
FOREIGN = (Exception, SystemExit)  # what code of others may raise: no exit of it is the program's
_loaded: dict[str, ModuleType] = {}  # by the path of their file


class PluginError(UserError):
    """A plug-in that cannot be imported; the text names the line."""


def load_plugins(paths: Iterable[Path]) -> list[ModuleType]:
    """Import plug-in files, so that the registry has what they declare, and return their modules.

    Raises:
        PluginError: a file that is not there, or that fails when it is imported.
    """
    files = [path.resolve() for path in paths]
    for file in files:
        if str(file) not in _loaded:
            _loaded[str(file)] = _import(file)
    return [_loaded[str(file)] for file in files]


def plugin_modules() -> list[ModuleType]:
    """Return the modules of plug-ins: files that were loaded, and installed packages."""
    return [*_loaded.values(), *_installed()]


def plugin_files(paths: Iterable[Path]) -> list[Path]:
    """Return plug-in files and the modules beside them that they import."""
    return [found for path in paths for found in (path, *beside(path.resolve()).values())]


def installed_plugins() -> list[str]:
    """Return what installed packages register: name, module, version and digest of the source."""
    return [
        f"{point.name} {point.value} {point.dist.version if point.dist else ''} "
        f"{text_digest(package(point.value))[:16]}"
        for point in entry_points(group=GROUP)
    ]


def _import(path: Path) -> ModuleType:
    name = f"plugin_{path.stem}"
    if name in sys.modules:
        raise PluginError(f"{path}: another plug-in file is called {path.name}; rename one")
    helpers = beside(path)
    try:
        source = text_digest({name: path, **helpers})
    except OSError as error:
        raise PluginError(f"{error.filename}: {error.strerror}") from None
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path}: not a Python file (its name ends in .py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except FOREIGN as error:
        del sys.modules[name]
        told = f"{type(error).__name__}: {error}{_remedy(error, path)}"
        raise PluginError(f"{path}{_line(error, path)}: {told}") from error
    register_source(name, source)
    _send_by_value(module)
    for helper, file in helpers.items():
        if getattr(sys.modules.get(helper), "__file__", None) == str(file):  # no library's name
            register_source(helper, source)
    return module


def _line(error: BaseException, path: Path) -> str:
    """Return where in a file an error arose, like ``, line 7``, and where in what it imports."""
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:  # no frame: the file was not begun
        frames.append((error.filename, error.lineno))
    if b"\0" in (text := path.read_bytes()):  # of which Python says no line
        frames.append((str(path), text[: text.index(b"\0")].count(b"\n") + 1))
    lines = [line for file, line in frames if file == str(path)]
    place = f", line {lines[-1]}" if lines else ""
    if isinstance(error, SyntaxError) and frames[-1][0] == error.filename != str(path):
        place += f", which imports {error.filename}, line {error.lineno}"
    return place


def _remedy(error: BaseException, path: Path) -> str:
    """Return what to do about a module that is there, beside the file, and not found."""
    name = getattr(error, "name", None)
    if not isinstance(error, ModuleNotFoundError) or name not in beside(path):
        return ""
    return f"; it lies beside the file, and is found with PYTHONPATH={path.parent}"


def _send_by_value(module: ModuleType) -> None:
    """Let workers unpickle what a module defines without importing it."""
    for pickler in ("joblib.externals.cloudpickle", "cloudpickle"):  # loky's, and dask's
        with contextlib.suppress(ImportError):
            importlib.import_module(pickler).register_pickle_by_value(module)


@cache
def _installed() -> tuple[ModuleType, ...]:
    """Return the modules that installed packages register.

    Raises:
        PluginError: one cannot be imported.
    """
    modules = []
    for point in entry_points(group=GROUP):
        try:
            module = importlib.import_module(point.value)
        except FOREIGN as error:
            raise PluginError(
                f"the plug-in {point.name} ({point.value}) cannot be imported: {error}"
            ) from error
        files = package(point.value)
        source = text_digest(files)
        for name in files:
            register_source(name, source)
        modules.append(module)
    return tuple(modules)
