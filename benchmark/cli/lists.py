"""What suites and options can name: tables for the command list, names for the shell."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from hashattack.benchmark.console import cache_folder
from hashattack.benchmark.names import first_line, lookup
from hashattack.benchmark.terminal import Part, Table
from hashattack.datasets.texts import one_line

Kind = Literal["attacks", "targets", "datasets", "suites", "scales", "protocols"]
KINDS: Mapping[str, Kind] = {kind: kind for kind in get_args(Kind)}
# What a kind shows, where its names are used, and what one of it is called.
_KINDS: Mapping[Kind, tuple[str, str, str]] = {
    "attacks": ("attacks, with their budget", "run --attack", "attack"),
    "targets": (
        "hashing methods and networks of target hashers",
        "targets: of a suite",
        "method or backbone",
    ),
    "datasets": ("data sets", "run --dataset, doctor", "data set"),
    "suites": ("which attacks run on which hashers and data sets", "run --suite", "suite"),
    "scales": ("sizes and recipes that a suite leaves open", "run --scale", "scale"),
    "protocols": ("values in which a paper and its code differ", "run --protocol", "protocol"),
}


@dataclass(frozen=True)
class Item:
    """Something with a name; plug-ins may have written all of it, so it is in lines of its own.

    Attributes:
        name: as suites and options take it.
        about: what it is.
        facts: the cells between name and description.
        parameters: their defaults by name.
    """

    name: str
    about: str
    facts: Sequence[str] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)


def list_parts(kind: Kind | None, names: Sequence[str], items: Sequence[Item]) -> list[Part]:
    """Return what ``list`` prints: the kinds, the items of one, or some with their parameters.

    Raises:
        UnknownNameError: there is no such item.
    """
    if kind is None:
        kinds = [[one, *_KINDS[one][:2]] for one in get_args(Kind)]
        example = "run-benchmark list attacks\nrun-benchmark list attacks dhta prosgan"
        return [Table(["list", "shows", "for"], "lff", kinds), f"For example:\n{example}"]
    if not names:
        extra = {"attacks": ["budget"], "targets": ["key"]}.get(kind, [])
        rows = [(one.name, *one.facts, one.about) for one in items]
        table = Table(["name", *extra, "description"], "f" + "l" * len(extra) + "f", rows)
        more = any(one.parameters for one in items)
        return [table, f"'list {kind} NAME' shows parameters"] if more else [table]
    known = {one.name: one for one in items}
    parts: list[Part] = []
    for name in names:
        one = lookup(_KINDS[kind][2], name, known)
        parts.append(f"{one.name}: {one.about}")
        if one.parameters:
            parts.append(Table(["parameter", "value"], "ff", list(one.parameters.items())))
    return parts


def items_of(
    kind: Kind, protocol: str, cache: Path, plugins: Sequence[Path] | None = None
) -> list[Item]:
    """Return what there is of a kind; without plug-in files it is kept in the cache.

    Args:
        kind: what to list.
        protocol: of the attacks' hyper-parameters.
        cache: the folder of built data sets.
        plugins: files whose declarations are listed, too.

    Raises:
        UserError: an unknown protocol, a faulty plug-in.
    """
    from hashattack.benchmark.plugins import installed_plugins, load_plugins
    from hashattack.benchmark.store.files import Memo

    load_plugins(plugins or ())
    memo, name = Memo(cache / "lists.json", installed_plugins()), f"{kind} {protocol}"
    known = {} if plugins else memo.read()
    if name not in known:
        made = _MADE[kind](protocol)
        if plugins:
            return made
        known[name] = [dataclasses.asdict(one) for one in made]
        memo.write(known)
    return [Item(**one) for one in known[name]]


def completer(kind: Kind) -> Callable[[str], list[tuple[str, str]]]:
    """Return what completes a name of a kind in a shell, with a line about it."""

    def complete(incomplete: str) -> list[tuple[str, str]]:
        try:
            items = items_of(kind, "released", cache_folder(None))
        except Exception:  # noqa: BLE001 - a command says what is wrong, a completion is silent
            return []
        return [(one.name, one.about) for one in items if one.name.startswith(incomplete)]

    return complete


def attacks(protocol: str) -> list[Item]:
    """Return the registered attacks with their hyper-parameters under a protocol."""
    from hashattack.attacks.protocols import PROTOCOLS
    from hashattack.benchmark.names import budget_text
    from hashattack.benchmark.plan.cells import budget_class
    from hashattack.benchmark.registry import registry
    from hashattack.benchmark.suites.loading import hyper_parameters

    chosen, items = lookup("protocol", protocol, PROTOCOLS), []
    for id_, entry in registry().attacks.items():
        attack = entry.build(chosen)
        unavailable = f" ({attack.unavailable})" if attack.unavailable else ""
        title = "" if entry.help.startswith(attack.title) else f"{attack.title}: "
        about = f"{title}{entry.help}{unavailable}"
        budget = budget_text(budget_class(attack)).replace(" (", "\n(").replace(", ", ",\n")
        if attack.goal == "non-targeted":
            budget = f"{attack.goal}:\n{budget}"
        items.append(_item(id_, about, hyper_parameters(attack), budget))
    return items


def _targets(_: str) -> list[Item]:
    from hashattack.benchmark.registry import registry

    known = registry()
    return [
        _item(name, first_line(cls), _defaults(cls), key)
        for key, classes in (("method", known.methods), ("backbone", known.backbones))
        for name, cls in classes.items()
    ]


def _datasets(_: str) -> list[Item]:
    from hashattack.benchmark.registry import registry

    known = registry().datasets
    return [_item(name, first_line(cls), _defaults(cls)) for name, cls in known.items()]


def _files(kind: Literal["suite", "scale"]) -> list[Item]:
    from hashattack.benchmark.suites.sources import read_yaml, shipped

    about = {name: read_yaml(name, kind)[1].get("description", "") for name in shipped(kind)}
    return [_item(name, str(text), {}) for name, text in about.items()]


def _protocols(_: str) -> list[Item]:
    from hashattack.attacks.protocols import PROTOCOLS

    values = {name: dataclasses.asdict(one) for name, one in PROTOCOLS.items()}
    first, items = next(iter(values)), []
    for name, own in values.items():
        del own["name"]
        other = [f"{key}={value}" for key, value in own.items() if value != values[first].get(key)]
        about = f"other than {first}: {', '.join(other)}" if other else "the default"
        items.append(_item(name, about, own))
    return items


_MADE: Mapping[Kind, Callable[[str], list[Item]]] = {
    "attacks": attacks,
    "targets": _targets,
    "datasets": _datasets,
    "suites": lambda _: _files("suite"),
    "scales": lambda _: _files("scale"),
    "protocols": _protocols,
}


def _defaults(cls: type[Any]) -> dict[str, Any]:
    return {one.name: one.default for one in dataclasses.fields(cls)}


def _item(name: str, about: str, parameters: Mapping[str, Any], *facts: str) -> Item:
    values = {key: one_line(_short(value)) for key, value in parameters.items()}
    return Item(name, one_line(about), list(facts), values)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
