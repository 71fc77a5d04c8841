"""What a person asks to be run, and the plan of it. Imports no torch before there is a plan."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hashattack.benchmark.console import cache_folder, say
from hashattack.benchmark.plugins import installed_plugins, load_plugins, plugin_files
from hashattack.benchmark.suites.sources import source_files, suite_name

if TYPE_CHECKING:
    from hashattack.benchmark.plan.plan import Plan


@dataclass(frozen=True)
class Wish:
    """What ``run`` and ``plan`` are asked for.

    Attributes:
        suite: a name or a file.
        out: the output folder; None for the usual one.
        only: filters of cells.
        cache: where data sets are built; None for the user's cache.
        data_root: with one folder a data set.
        changes: keys of the suite to replace; None leaves one as it is.
        attacks: taken beside the suite's own.
        plugins: files that are imported before.
    """

    suite: str
    out: Path | None
    only: list[str] | None
    cache: Path | None
    data_root: Path | None
    changes: dict[str, Any]
    attacks: tuple[str, ...] = ()
    plugins: tuple[Path, ...] = ()

    @property
    def cache_folder(self) -> Path:
        """Where data sets are built."""
        return cache_folder(self.cache)

    @functools.cached_property
    def folder(self) -> Path:
        """The output folder; by default named so that another data set or scale is another."""
        if self.out is not None:
            return self.out.resolve()
        asked = [self.changes[key] or () for key in ("datasets", "scale", "protocols")]
        parts = [part for one in asked for part in ([one] if isinstance(one, str) else one)]
        name = "-".join([suite_name(self.suite), *(Path(part).stem for part in parts)])
        return (Path("results") / name).resolve()

    @property
    def asked(self) -> dict[str, Any]:
        """What decides which jobs there are, as JSON-able values."""
        root = None if self.data_root is None else str(self.data_root.resolve())
        return {
            "suite": self.suite,
            "only": self.only,
            "data_root": root,
            "changes": self.changes,
            "attacks": self.attacks,
            "plugins": [str(path.resolve()) for path in self.plugins],
            "installed": installed_plugins(),
        }

    def sources(self) -> list[Path]:
        """Return the files that the suite is read from, and plug-ins."""
        return [*source_files(self.suite, self.changes["scale"]), *plugin_files(self.plugins)]

    def plans(self, devices: str | None, slots_per_device: int | None = None) -> tuple[Plan, Plan]:
        """Return the whole plan, and what of it is wanted.

        Args:
            devices: of this machine, to try batches on that the suite leaves open; None: of
                another.
            slots_per_device: jobs that share one.
        """
        from hashattack.benchmark.engines.slots import machine_slots
        from hashattack.benchmark.plan.batches import Batches
        from hashattack.benchmark.plan.plan import make_plan
        from hashattack.benchmark.suites.files import load_suite
        from hashattack.benchmark.suites.roots import with_root

        load_plugins(self.plugins)
        changes = {key: value for key, value in self.changes.items() if value}
        suite = with_root(load_suite(self.suite, changes, self.attacks), self.data_root)
        sizing = None
        if devices is not None:
            slot = machine_slots(devices, slots_per_device, suite.compute.threads)[0]
            sizing = Batches(self.cache_folder, slot, 1 / (slots_per_device or 1), say).find
        whole = make_plan(suite, self.cache_folder, sizing)
        return whole, whole.only(self.only or ())
