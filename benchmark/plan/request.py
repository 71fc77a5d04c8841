"""What ``run`` and ``plan`` are asked for, and the plan of it. Only a plan imports torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hashattack.benchmark.console import cache_folder, echo
from hashattack.benchmark.plugins import installed_plugins, load_plugins, plugin_files
from hashattack.benchmark.suites.sources import read_suite, read_yaml
from hashattack.datasets.base import MissingDataError

if TYPE_CHECKING:
    from hashattack.benchmark.plan.plan import Plan


@dataclass(frozen=True)
class RunRequest:
    """What ``run`` and ``plan`` are asked for."""

    suite: str  # a name or a file
    out: Path | None  # the output folder; None for the usual one
    only: list[str] | None  # filters of cells
    cache: Path | None  # where data sets are built; None for the user's cache
    data_root: Path | None  # with one folder a data set
    changes: dict[str, Any]  # keys of the suite to replace; None leaves one as it is
    attacks: list[str] | None = None  # taken beside the suite's own
    plugins: list[Path] | None = None  # files that are imported before
    values: list[str] | None = None  # of the suite's keys, like ``training.epochs=2``

    @property
    def cache_folder(self) -> Path:
        """Where data sets are built."""
        return cache_folder(self.cache)

    @cached_property
    def folder(self) -> Path:
        """The output folder; by default named so that another data set or scale is another."""
        if self.out is not None:
            return self.out.resolve()
        path, content = read_yaml(self.suite, "suite")
        parts = [str(content.get("name", path.stem))]
        for key in ("datasets", "scale", "protocols"):
            named = self.changes[key] or ()
            parts += [Path(one).stem for one in ([named] if isinstance(named, str) else named)]
        return (Path("results") / "-".join(parts)).resolve()

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments that decide which jobs there are, as JSON-able values."""
        root = None if self.data_root is None else self.data_root.resolve()
        plugins = [path.resolve() for path in self.plugins or ()]
        decisive = replace(self, out=None, cache=None, data_root=root, plugins=plugins)
        return {"request": repr(decisive), "installed": installed_plugins()}

    def files(self) -> list[Path]:
        """Return the files of the suite, and plug-ins: they decide which jobs there are, too."""
        suites = list(read_suite(self.suite, self._given_changes))
        scales = {scale for file in suites if isinstance(scale := file.content.get("scale"), str)}
        return [
            *(file.path for file in suites),
            *(read_yaml(scale, "scale")[0] for scale in scales),
            *plugin_files(self.plugins or ()),
        ]

    @property
    def _given_changes(self) -> dict[str, Any]:
        return {key: value for key, value in self.changes.items() if value}

    def plans(self, devices: str | None, slots_per_device: int | None = None) -> tuple[Plan, Plan]:
        """Return the whole plan, and the part of it that ``only`` selects.

        Batches that the suite leaves open are tried on ``devices`` of this machine, each shared by
        ``slots_per_device`` jobs; None if jobs run elsewhere.
        """
        from hashattack.benchmark.engines.base import machine_slots
        from hashattack.benchmark.plan.estimate import batch_finder
        from hashattack.benchmark.plan.plan import make_plan
        from hashattack.benchmark.suites.loading import load_suite, parse_params

        load_plugins(self.plugins or ())
        values = parse_params(self.values or (), "--set")
        changes, attacks = self._given_changes, self.attacks or ()
        suite = load_suite(self.suite, changes, attacks, values, self.data_root)
        sizing = None
        if devices is not None:
            slot = machine_slots(devices, slots_per_device, suite.compute.threads)[0]
            sizing = batch_finder(self.cache_folder, slot, 1 / (slots_per_device or 1), echo)
        try:
            whole = make_plan(suite, self.cache_folder, sizing)
        except MissingDataError as error:
            raise MissingDataError(
                f"{error}\nor run the suite on data that ships with the program: --dataset digits "
                "--scale mini"
            ) from None
        return whole, whole.only(self.only or ())
