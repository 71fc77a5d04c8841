"""Optional libraries that some attacks need.

Imports no torch; finding out whether a library is installed imports nothing.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib import metadata, util
from importlib.machinery import PathFinder
from typing import Any

from hashattack.datasets.errors import UserError


class LibraryError(UserError):
    """A missing or broken library; the text says how to install it."""


@dataclass(frozen=True)
class Library:
    """A library beyond the program's own dependencies."""

    module: str  # its import name
    distribution: str  # its name in the package index, by which its version is known
    install: str  # the argument of ``pip install``

    def __post_init__(self) -> None:
        if not all(type(text) is str and text for text in vars(self).values()):
            raise LibraryError(f"a Library is named by three texts, got {self}")

    @property
    def missing(self) -> str | None:
        """Why it cannot be used here and what to do; None where it is installed."""
        top, *below = self.module.split(".")
        found, name = util.find_spec(top), top
        for part in below:  # find_spec("a.b") would import a
            if found is None:
                break
            name += f".{part}"
            found = PathFinder.find_spec(name, found.submodule_search_locations or [])
        return None if found else f"needs {self.module}: pip install '{self.install}'"

    @property
    def version(self) -> str:
        """The installed version, like ``torchattacks 3.5.1``; it decides results."""
        try:
            return f"{self.distribution} {metadata.version(self.distribution)}"
        except metadata.PackageNotFoundError:
            return f"{self.distribution} of no known version"

    def load(self) -> Any:
        """Return the imported module.

        Raises:
            LibraryError: it is not installed, or its import fails.
        """
        if self.missing is not None:
            raise LibraryError(self.missing)
        try:
            return importlib.import_module(self.module)
        except (Exception, SystemExit) as error:  # a broken library may raise anything
            raise LibraryError(
                f"{self.module} cannot be imported: {type(error).__name__}: {error}; repair it: "
                f"pip install --force-reinstall '{self.install}'"
            ) from error


def extra(name: str) -> Library:
    """Return a library that is an optional extra of this program, under its own name."""
    return Library(name, name, f"hashattack[{name}]")
