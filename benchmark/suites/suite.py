"""Suites: what to cross, as YAML checked before anything runs.

An error names the place in the file, and the nearest right key.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from hashattack.attacks.protocols import PROTOCOLS
from hashattack.benchmark.names import UnknownNameError, lookup, nearest
from hashattack.benchmark.numerics import Precision
from hashattack.benchmark.registry import registry
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.datasets.draws import Policy
from hashattack.targets.hasher import Normalise, Recipe

Params = dict[str, Any]
_SHOWN = 80  # characters of a value that is told


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


def faults(error: ValidationError, inside: str = "", model: type = Suite) -> Iterator[str]:
    """Yield one line a fault: its place, what is wrong, what was probably meant.

    Args:
        error: of the check.
        inside: the place of what was checked.
        model: what it was checked against, whose keys are offered.
    """
    for fault in error.errors():
        place = inside
        for step in fault["loc"]:
            place += f"[{step}]" if isinstance(step, int) else f".{step}"
        place = f"{place.lstrip('.')}: " if place else ""
        key = str(fault["loc"][-1]) if fault["loc"] else ""
        if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            yield f"{place}unknown key{nearest(key, _keys_at(fault['loc'][:-1], model))}"
        elif fault["type"] in ("missing", "json_invalid"):  # all around it was got, or the file
            yield f"{place}{fault['msg']}"
        else:
            yield f"{place}{fault['msg']} (got {_shortened(fault['input'])})"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}\N{HORIZONTAL ELLIPSIS}"


def _keys_at(place: tuple[int | str, ...], model: type) -> list[str]:
    """Return the keys that a model knows at a place."""
    for step in place:
        inner = _model_in(_annotations(model).get(step)) if isinstance(step, str) else None
        model = inner or model
    return list(_annotations(model))


def _annotations(model: type) -> dict[str, Any]:
    if dataclasses.is_dataclass(model):
        return typing.get_type_hints(model)
    fields = model.model_fields if issubclass(model, BaseModel) else {}
    return {name: field.annotation for name, field in fields.items()}


def _model_in(annotation: Any) -> type | None:
    """Return the model of a field: its own, or that of its items."""
    if isinstance(annotation, type) and (
        issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation)
    ):
        return annotation
    return next(filter(None, map(_model_in, typing.get_args(annotation))), None)


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
