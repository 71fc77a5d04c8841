"""Suites and scales as their files may say them; an error names its place and the nearest key."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from hashattack.attacks.protocols import PROTOCOLS
from hashattack.benchmark.jobs import Precision
from hashattack.benchmark.names import UnknownNameError, lookup, nearest
from hashattack.benchmark.registry import registry
from hashattack.benchmark.suites.sources import SuiteError, beside
from hashattack.datasets.base import DatasetSpec
from hashattack.datasets.draws import SuitePolicy
from hashattack.datasets.errors import UserError
from hashattack.targets.hasher import NAMED_WEIGHTS, Normalise, Recipe

Params = dict[str, Any]
ANY_ATTACK = {"any attack": True}  # validation context: attacks need not be registered here
_SHOWN = 80  # characters of a faulty value in a message


def _one_or_several(value: Any) -> Any:
    return [value] if isinstance(value, str | int | dict) else value


def _registered(kind: str, names: Callable[[], Mapping[str, Any]]) -> AfterValidator:
    """Return the check that a name is registered, so that a typing error costs nothing."""

    def check(name: str, info: ValidationInfo) -> str:
        if kind == "attack" and info.context == ANY_ATTACK:
            return name
        try:
            lookup(kind, name, names())
        except UnknownNameError as error:
            raise PydanticCustomError("unknown_name", "{text}", {"text": str(error)}) from None
        return name

    return AfterValidator(check)


def _entries(key: str) -> BeforeValidator:
    """Return what makes entries of names alone."""

    def entries(value: Any) -> Any:
        items = _one_or_several(value)
        if not isinstance(items, list):
            return items
        return [{key: item} if isinstance(item, str) else item for item in items]

    return BeforeValidator(entries)


def placed(cls: type[DatasetSpec], params: Params, folder: Path) -> Params:
    """Return a data set's parameters with absolute paths; relative ones start in the folder."""
    paths = {field.name for field in dataclasses.fields(cls) if field.metadata.get("path")}
    return {
        name: beside(folder, value) if name in paths and value and isinstance(value, str) else value
        for name, value in params.items()
    }


def _placed(params: Params, info: ValidationInfo) -> Params:
    """Place the parameters of a data set in the folder that the context has."""
    folder, name = (info.context or {}).get("datasets"), info.data.get("dataset")
    return placed(registry().datasets[name], params, folder) if folder and name else params


def _absolute(path: str, info: ValidationInfo) -> str:
    """Place a hasher's file in the folder that the context has; a word like ``none`` stays."""
    folder = (info.context or {}).get("targets")
    return beside(folder, path) if folder and path not in NAMED_WEIGHTS else path


T = TypeVar("T")
Seed = Annotated[int, Field(ge=0, lt=2**31)]
TargetFile = Annotated[str, AfterValidator(_absolute)]
OneOrSeveral = BeforeValidator(_one_or_several)
DatasetName = Annotated[str, _registered("data set", lambda: registry().datasets)]
MethodName = Annotated[str, _registered("hashing method", lambda: registry().methods)]
BackboneName = Annotated[str, _registered("backbone", lambda: registry().backbones)]
AttackName = Annotated[str, _registered("attack", lambda: registry().attacks)]
ProtocolName = Annotated[str, _registered("protocol", lambda: PROTOCOLS)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetEntry(_Strict):
    """A data set and its parameters.

    Attributes:
        dataset: its name.
        params: its parameters, as ``list datasets NAME`` shows them.
    """

    dataset: DatasetName
    params: Annotated[Params, AfterValidator(_placed)] = {}


class TargetEntry(_Strict):
    """A group of target hashers: methods × backbones × code lengths with one recipe.

    Attributes:
        method: the hashing method, or several.
        backbone: the network, or several.
        bits: the code length, or several.
        backbone_params: parameters of the network, as ``list targets NAME`` shows them.
        method_params: parameters of the hashing loss.
        normalise: ``none`` as released, or ``imagenet``: the network expects images normalised as
            for ImageNet.
        weights: where a backbone starts. ``imagenet`` is torchvision's file from your cache,
            ``labels`` a pretraining on the data set's own labels (one trunk for all its hashers),
            ``none`` random weights, anything else the path of a state dict.
        checkpoint: the file of a hasher made elsewhere, read instead of trained. Its name may hold
            ``{method}``, ``{backbone}``, ``{bits}``, ``{seed}`` and ``{dataset}``.
        defence: how the hasher is hardened after training. No defence is implemented yet: the cells
            of one are skipped.
        pretraining: with ``weights: labels``, how the trunk is trained.
        training: how the hasher is trained.
    """

    method: Annotated[list[MethodName], OneOrSeveral]
    backbone: Annotated[list[BackboneName], OneOrSeveral]
    bits: Annotated[list[int], OneOrSeveral, Field(min_length=1)]
    backbone_params: Params = {}
    method_params: Params = {}
    normalise: Normalise = "none"
    weights: TargetFile = "imagenet"
    checkpoint: TargetFile | None = None
    defence: Annotated[str, Field(pattern=r"^([A-Za-z]\w*)?$", max_length=20)] = ""
    pretraining: Recipe = Recipe()
    training: Recipe = Recipe()


class AttackEntry(_Strict):
    """An attack, the hyper-parameters that differ from its protocol's, and where it runs.

    Attributes:
        attack: its id.
        params: hyper-parameters; these take precedence over all others.
        sources: globs of the target hashers that it attacks, each alone.
        ensemble: globs of those that it attacks all together instead, by the mean of their losses;
            it is scored on the ``victims`` outside.
    """

    attack: AttackName
    params: Params = {}
    sources: Annotated[list[str], OneOrSeveral] = ["*"]
    ensemble: Annotated[list[str], OneOrSeveral] = []

    @model_validator(mode="after")
    def _alone_or_together(self) -> AttackEntry:
        if self.ensemble and self.sources != ["*"]:
            raise ValueError("sources are attacked each alone, an ensemble together: name one")
        return self


class ComputeEntry(_Strict):
    """How networks are run; part of every job's key.

    The same settings give the same bits, whatever else runs and in any order.

    Attributes:
        batch: images at a time. ``auto`` is measured once per machine and kept: the largest that
            fits a GPU, or the one beyond which a CPU gains nothing.
        threads: CPU threads of a job.
        dtype: of networks and images.
        precision: of matrix products and convolutions on GPUs.
        compiled: whether trunks go through torch.compile, which needs a C++ compiler.
    """

    batch: Annotated[int, Field(ge=1, le=100_000)] | Literal["auto"] = 32
    threads: int = Field(default=1, ge=1, le=1_000)
    dtype: Literal["float32", "float64"] = "float32"
    precision: Precision = "full"
    compiled: bool = False


class Suite(_Strict):
    """What a run crosses: data sets, target hashers and attacks.

    Attributes:
        name: its name; in a file, by default that of the file.
        description: a sentence for ``list suites``.
        scale: the name or file of a scale, which fills what the suite leaves open.
        tables: tables of a paper that its results fill: ``table1`` to ``table7``, ``time``.
        parts: the suites that it is the union of; a file names them by ``include``.
        datasets: names, or data sets with parameters.
        targets: groups of target hashers.
        attacks: ids, or attacks with parameters.
        params: hyper-parameters of every attack that has them.
        attack_params: the same by glob of attack ids.
        protocols: whose values the attacks take.
        policies: by which rule target labels are drawn.
        victims: which hashers are queried: ``self`` is the one that was attacked, globs of names
            add others, for transfer.
        queries: how many queries are attacked; by default all.
        n_t: a label row is ``frequent`` if more than this many images carry it.
        gallery: how many queries per cell have their pictures kept.
        target_seeds: the seeds of the hashers' training; several train each hasher several times.
        seeds: how many draws of target labels, each with an attack seed of its own.
        reseed: a number that is added to the attack seeds.
        compute: how networks are run.
    """

    name: str
    description: str = ""
    scale: str | None = None
    tables: Annotated[list[str], OneOrSeveral] = []
    parts: list[Suite] = Field(default=[], exclude=True)
    datasets: Annotated[list[DatasetEntry], _entries("dataset")] = []
    targets: Annotated[list[TargetEntry], OneOrSeveral] = []
    attacks: Annotated[list[AttackEntry], _entries("attack")] = []
    params: Params = {}
    attack_params: dict[str, Params] = {}
    protocols: Annotated[list[ProtocolName], OneOrSeveral, Field(min_length=1)] = ["released"]
    policies: Annotated[list[SuitePolicy], OneOrSeveral] = ["frequent"]
    victims: Annotated[list[str], OneOrSeveral] = ["self"]
    queries: int | None = Field(default=None, ge=1)
    n_t: int = Field(default=9, ge=1)
    gallery: int = Field(default=0, ge=0)
    target_seeds: list[Seed] = [0]
    seeds: int = Field(default=1, ge=1, le=10_000)
    reseed: Seed = 0
    compute: ComputeEntry = ComputeEntry()

    @model_validator(mode="after")
    def _crosses_something(self) -> Suite:
        missing = [name for name in ("datasets", "targets", "attacks") if not getattr(self, name)]
        if missing and not self.parts:
            raise ValueError(f"a suite needs {', '.join(missing)} (or an include)")
        return self


class Scale(_Strict):
    """The sizes that a suite leaves open, so that one suite runs at several.

    Attributes:
        description: a sentence.
        datasets: parameters by data set.
        targets: keys of an entry of ``targets`` by glob of METHOD-BACKBONE.
        attacks: hyper-parameters by glob of attack ids.
        suite: any other key of a suite.
    """

    description: str = ""
    datasets: dict[str, Params] = {}
    targets: dict[str, Params] = {}
    attacks: dict[str, Params] = {}
    suite: Params = {}


def validate(kind: type[T], value: Any, place: str, context: Mapping[str, Any] | None = None) -> T:
    """Return a value as a model, a dataclass or a simple type.

    ``place`` is like ``datasets[0].params``, or ``mine.yaml:`` for a whole file; ``context`` is for
    the checks of models: :data:`ANY_ATTACK`, or the folders by key that relative paths start from.

    Raises:
        SuiteError: every fault at once, each with its place.
    """
    try:
        return TypeAdapter(kind).validate_python(value, context=context)
    except ValidationError as error:
        raise SuiteError("\n".join(faults(error, place, kind))) from None
    except UserError as error:
        raise SuiteError(f"{place}: {error}") from None


def faults(error: ValidationError, place: str = "", model: type = Suite) -> Iterator[str]:
    """Yield one line per fault: its place, what is wrong, and the nearest key of the model."""
    for fault in error.errors():
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in fault["loc"])
        where = f"{place}{''.join(steps)}".replace(":.", ": ").lstrip(".").rstrip(":")
        if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            *outer, key = fault["loc"]
            text = f"unknown key{nearest(str(key), _keys_at(outer, model))}"
        elif fault["type"] in ("missing", "json_invalid", "unknown_name"):
            text = fault["msg"]
        else:
            got = repr(fault["input"])
            got = got if len(got) <= _SHOWN else f"{got[:_SHOWN]}\N{HORIZONTAL ELLIPSIS}"
            text = f"{fault['msg']} (got {got})"
        yield f"{where}: {text}" if where else text


def _keys_at(place: list[int | str], model: type) -> list[str]:
    """Return the keys that a model, or one within it, has at a place."""
    schema = TypeAdapter(model).json_schema()
    definitions = schema.get("$defs", {})
    node = definitions.get(model.__name__, schema)
    for step in place:
        field = json.dumps(node.get("properties", {}).get(step))
        inner = re.search(r"#/\$defs/(\w+)", field)
        node = definitions[inner[1]] if inner else node
    return list(node.get("properties", ()))
