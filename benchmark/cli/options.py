"""The options of the command line that several commands share, and what they may be."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

SuiteOption = Annotated[
    str, typer.Option("--suite", "-s", help="A shipped suite's name, or a suite file (.yaml).")
]
OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", help="Output folder. Default: results/<suite>.")
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Only these cells, like 'attack=dhta,source=DPSH-*-32': comma is and, repeated is or."
    ),
]
DatasetOption = Annotated[
    list[str] | None,
    typer.Option("--dataset", help="Run on this data set instead of the suite's; repeatable."),
]
ScaleOption = Annotated[
    str | None,
    typer.Option(help="A scale's name or file: sizes and recipes for what the suite leaves open."),
]
ProtocolOption = Annotated[
    list[str] | None,
    typer.Option("--protocol", help="paper, released or paper-literal; repeatable."),
]
SeedsOption = Annotated[
    int | None, typer.Option(min=1, help="Draw and attack seeds 0 to N-1, instead of the suite's.")
]
DatasetArgument = Annotated[
    str, typer.Argument(help="A data set's name; 'list datasets' shows them.")
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", help="A parameter of the data set, like 'root=DIR'; repeatable."),
]
PluginOption = Annotated[
    list[Path] | None,
    typer.Option("--plugin", help="A file with attacks or others of your own; repeatable."),
]
AttackOption = Annotated[
    list[str] | None,
    typer.Option("--attack", help="Also this attack, beside the suite's own; repeatable."),
]
DataRootOption = Annotated[
    Path | None,
    typer.Option(help="Folder with one folder a data set, like DIR/FLICKR-25K. Default: data."),
]
DevicesOption = Annotated[
    str, typer.Option(help="auto (GPUs, or the CPU without any), cpu, cuda, or GPUs like 0,2.")
]
SlotsPerDeviceOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="Jobs at a time on each. Default: 1 a GPU; on the CPU, cores / threads."
    ),
]
FormatOption = Annotated[
    str,
    typer.Option("--format", help="Some of html, md, tex, csv; without html no figures are drawn."),
]
CacheOption = Annotated[
    Path | None, typer.Option(help="Where data sets are built. Default: the user's cache folder.")
]


class Kind(StrEnum):
    """What can be listed."""

    attacks = "attacks"
    targets = "targets"
    datasets = "datasets"
    suites = "suites"


class Novelty(StrEnum):
    """What can be begun from a template."""

    attack = "attack"


class DraftKind(StrEnum):
    """What is new about an attack that is begun."""

    loss = "loss"
    loop = "loop"
    fit = "fit"
    rule = "rule"


class Normalise(StrEnum):
    """How a hasher's images are normalised inside it."""

    none = "none"
    imagenet = "imagenet"


class EngineKind(StrEnum):
    """Whose workers run jobs."""

    local = "local"
    dask = "dask"


class PerfSize(StrEnum):
    """How much is measured."""

    full = "full"
    small = "small"


class PerfPart(StrEnum):
    """What is measured."""

    ranking = "ranking"
    crafting = "crafting"
    generator = "generator"
    transfer = "transfer"
    encoding = "encoding"
