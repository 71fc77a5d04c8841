"""Suites: what to cross, as YAML checked before anything runs.

An error names the place in the file, and the nearest right key.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from attacks.protocols import PROTOCOLS
from benchmark.names import UnknownNameError, lookup, nearest
from benchmark.numerics import Precision
from benchmark.registry import registry
from benchmark.suites.sources import SuiteError
from datasets.draws import Policy
from targets.hasher import Normalise
from targets.recipe import Recipe

Params = dict[str, Any]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | int | dict) else value


class DatasetEntry(_Strict):
    """A data set and its parameters."""

    dataset: str
    params: Params = {}


class TargetEntry(_Strict):
    """A group of targets: methods × backbones × code lengths with one recipe."""

    method: list[str]
    backbone: list[str]
    bits: list[int] = Field(min_length=1)
    backbone_params: Params = {}
    method_params: Params = {}
    normalise: Normalise = "none"
    weights: str = "imagenet"
    checkpoint: str | None = None  # a hasher made elsewhere; {method}, {bits} … in its name
    pretraining: Recipe = Recipe()
    training: Recipe = Recipe()

    _lists = field_validator("method", "backbone", "bits", mode="before")(_listed)


class AttackEntry(_Strict):
    """An attack, the hyper-parameters that differ from its protocol's, and where it runs."""

    attack: str
    params: Params = {}
    sources: list[str] = ["*"]

    _lists = field_validator("sources", mode="before")(_listed)


class ComputeEntry(_Strict):
    """How networks are run; part of every job's key."""

    batch: Annotated[int, Field(ge=1)] | Literal["auto"] = 32
    threads: int = Field(default=1, ge=1)
    dtype: Literal["float32", "float64"] = "float32"
    precision: Precision = "full"
    compiled: bool = False


class Suite(_Strict):
    """A suite, as its file says."""

    name: str
    description: str = ""
    scale: str | None = None  # what fills the sizes the suite leaves open
    tables: list[str] = []  # tables of the paper that its results fill
    parts: list[Suite] = Field(default=[], exclude=True)  # the suites it includes
    datasets: list[DatasetEntry] = []
    targets: list[TargetEntry] = []
    attacks: list[AttackEntry] = []
    params: Params = {}  # hyper-parameters of every attack that has them
    attack_params: dict[str, Params] = {}  # the same by glob of attack ids
    protocols: list[str] = ["released"]
    policies: list[Policy] = ["frequent"]
    victims: list[str] = ["self"]  # "self", or globs of target names for transfer
    queries: int | None = Field(default=None, ge=1)
    n_t: int = Field(default=9, ge=1)
    gallery: int = Field(default=0, ge=0)  # queries a cell whose pictures are kept
    target_seeds: list[int] = [0]
    seeds: int = Field(default=1, ge=1)
    reseed: int = Field(default=0, ge=0)  # attacks' own seeds are the draws' plus this
    compute: ComputeEntry = ComputeEntry()

    _lists = field_validator("protocols", "policies", "victims", "tables", mode="before")(_listed)

    @model_validator(mode="after")
    def _crosses_something(self) -> Suite:
        missing = [name for name in ("datasets", "targets", "attacks") if not getattr(self, name)]
        if missing and not self.parts:
            raise ValueError(f"a suite needs {', '.join(missing)} (or an include)")
        return self

    _targets = field_validator("targets", mode="before")(_listed)

    @field_validator("datasets", mode="before")
    @classmethod
    def _named_datasets(cls, value: Any) -> Any:
        return [{"dataset": v} if isinstance(v, str) else v for v in _listed(value)]

    @field_validator("attacks", mode="before")
    @classmethod
    def _named_attacks(cls, value: Any) -> Any:
        return [{"attack": item} if isinstance(item, str) else item for item in _listed(value)]


def parse_suite(content: Mapping[str, Any], origin: str) -> Suite:
    """Check a suite's content.

    Raises:
        SuiteError: every fault at once, each with its place.
    """
    try:
        suite = Suite.model_validate(dict(content))
    except ValidationError as error:
        raise SuiteError("\n".join(f"{origin}: {line}" for line in faults(error))) from None
    check_names(suite, origin)
    return suite


def faults(error: ValidationError, inside: str = "") -> Iterator[str]:
    """Yield one line a fault: its place, what is wrong, what was probably meant."""
    for fault in error.errors():
        place = inside
        for step in fault["loc"]:
            place += f"[{step}]" if isinstance(step, int) else f".{step}"
        key = str(fault["loc"][-1]) if fault["loc"] else ""
        if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            known = _fields_at(fault["loc"][:-1])
            yield f"{place.lstrip('.')}: unknown key{nearest(key, known)}"
        else:
            yield f"{place.lstrip('.')}: {fault['msg']} (got {fault['input']!r})"


def _fields_at(place: tuple[int | str, ...]) -> list[str]:
    """Return the keys a suite knows at a place."""
    sections: dict[str, Any] = {
        "datasets": DatasetEntry,
        "targets": TargetEntry,
        "attacks": AttackEntry,
        "compute": ComputeEntry,
        "pretraining": Recipe,
        "training": Recipe,
    }
    names = [step for step in place if isinstance(step, str)]
    section = sections.get(names[-1], Suite) if names else Suite
    if dataclasses.is_dataclass(section):
        return [field.name for field in dataclasses.fields(section)]
    return list(section.model_fields)


def check_names(suite: Suite, origin: str, *, attacks: bool = True) -> None:
    """Look every name up once, so that a typing error costs nothing.

    ``attacks`` says whether theirs too.

    Raises:
        SuiteError: every unknown name at once, each with its place.
    """
    known, problems = registry(), []

    def check(place: str, kind: str, name: str, names: Mapping[str, Any]) -> None:
        try:
            lookup(kind, name, names)
        except UnknownNameError as error:
            problems.append(f"{origin}: {place}: {error}")

    for i, data in enumerate(suite.datasets):
        check(f"datasets[{i}]", "data set", data.dataset, known.datasets)
    for i, target in enumerate(suite.targets):
        for method in target.method:
            check(f"targets[{i}].method", "hashing method", method, known.methods)
        for backbone in target.backbone:
            check(f"targets[{i}].backbone", "backbone", backbone, known.backbones)
    for i, entry in enumerate(suite.attacks if attacks else ()):
        check(f"attacks[{i}].attack", "attack", entry.attack, known.attacks)
    for i, protocol in enumerate(suite.protocols):
        check(f"protocols[{i}]", "protocol", protocol, PROTOCOLS)
    if problems:
        raise SuiteError("\n".join(problems))
