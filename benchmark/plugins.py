"""Plug-ins: attacks, target-code rules, losses, backbones and data sets from a person's own files.

A file is imported by its path; installed packages register modules under the entry-point group
``targeted_hashing_benchmark``. Workers get a file's classes by value, so that only the driver reads
it, and its source is part of the keys of the jobs that use it: an edit computes them anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import keyword
import sys
import traceback
from collections.abc import Iterable
from functools import cache
from importlib import resources
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from benchmark.storage.records import register_source
from datasets.errors import UserError

GROUP = "targeted_hashing_benchmark"
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


def write_template(name: str, folder: Path) -> Path:
    """Write an attack that runs as it is, to be changed, and return its file.

    Args:
        name: the attack's id, like ``my-idea``.
        folder: where the file goes.

    Raises:
        PluginError: not a name, or a file that is there already.
    """
    words = name.lower().replace("_", "-").split("-")
    function = "_".join(words)
    if not function.isidentifier() or keyword.iskeyword(function):
        raise PluginError(f"'{name}' is no name for an attack: letters, digits and dashes, please")
    text = (resources.files("benchmark") / "templates" / "attack.txt").read_text(encoding="utf-8")
    file = folder / f"{function}.py"
    named = {
        "id": "-".join(words),
        "title": " ".join(words).capitalize(),
        "cls": "".join(word.capitalize() for word in words),
        "function": function,
    }
    try:
        with file.open("x", encoding="utf-8") as written:
            written.write(text.format(**named))
    except FileExistsError:
        raise PluginError(f"{file} is there already") from None
    return file


def plugin_modules() -> list[ModuleType]:
    """Return the modules of plug-ins: files that were loaded, and installed packages."""
    return [*_loaded.values(), *_installed()]


def installed_plugins() -> list[str]:
    """Return what installed packages register: name, module and version."""
    return [
        f"{point.name} {point.value} {point.dist.version if point.dist else ''}"
        for point in entry_points(group=GROUP)
    ]


def _import(path: Path) -> ModuleType:
    name = f"plugin_{path.stem}"
    if name in sys.modules:
        raise PluginError(f"{path}: another plug-in file is called {path.name}; rename one")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PluginError(f"{path}: {error.strerror}") from None
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path}: not a Python file (its name ends in .py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except FOREIGN as error:
        del sys.modules[name]
        raise PluginError(f"{path}{_line(error, path)}: {type(error).__name__}: {error}") from error
    register_source(name, hashlib.sha256(content).hexdigest())
    _send_by_value(module)
    return module


def _line(error: BaseException, path: Path) -> str:
    """Return where in a file an error arose, like ``, line 7``."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(path)
    ]
    return f", line {lines[-1]}" if lines else ""


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
        source = Path(str(module.__file__)).read_bytes()
        register_source(module.__name__, hashlib.sha256(source).hexdigest())
        modules.append(module)
    return tuple(modules)
