"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hashattack.attacks.protocols import PROTOCOLS
from hashattack.benchmark.cli.lists import completer

DraftKind = Literal["loss", "loop", "fit", "rule", "away"]  # what is new about a new attack

SuiteOption = Annotated[
    str,
    typer.Option(
        "--suite",
        "-s",
        help="A shipped suite's name, or a suite file (.yaml).",
        autocompletion=completer("suites"),
    ),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", help="Output folder. Default: results/SUITE.")
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Only these cells, like 'attack=dhta' or 'source=DPSH-*'; a comma is and, "
        "repeated is or."
    ),
]
DatasetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset",
        help="Run on this data set instead of the suite's; repeatable.",
        autocompletion=completer("datasets"),
    ),
]
ScaleOption = Annotated[
    str | None,
    typer.Option(
        help="A scale's name or file, with sizes and recipes that the suite leaves open.",
        autocompletion=completer("scales"),
    ),
]
ProtocolOption = Annotated[
    list[str] | None,
    typer.Option(
        "--protocol",
        help=f"{', '.join(PROTOCOLS)}; repeatable.",
        autocompletion=completer("protocols"),
    ),
]
SeedsOption = Annotated[
    int | None, typer.Option(min=1, help="Draw and attack seeds 0 to N-1, instead of the suite's.")
]
PluginOption = Annotated[
    list[Path] | None,
    typer.Option("--plugin", help="A Python file with plug-ins; repeatable."),
]
AttackOption = Annotated[
    list[str] | None,
    typer.Option(
        "--attack",
        help="Add this attack to the suite's; repeatable.",
        autocompletion=completer("attacks"),
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set any key of the suite, like 'queries=50', 'compute.batch=8', 'params.steps=10'; "
        "'training.epochs=2' of all target hashers, 'datasets.side=96' of all data sets; "
        "repeatable.",
    ),
]
DataRootOption = Annotated[
    Path | None,
    typer.Option(help="Folder with one folder per data set, like DIR/FLICKR-25K. Default: data."),
]
DevicesOption = Annotated[
    str, typer.Option(help="auto (GPUs, or the CPU without any), cpu, cuda, or GPUs like 0,2.")
]
SlotsPerDeviceOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Parallel jobs per device. Default: 1 per GPU; cores / threads on the CPU.",
    ),
]
LogOption = Annotated[
    Literal["wandb", "tensorboard", "mlflow"] | None,
    typer.Option(
        metavar="LIBRARY",
        help="Also track the run with wandb, tensorboard or mlflow, extras of the program.",
    ),
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print results and errors, and no progress.")
]
FormatOption = Annotated[
    str,
    typer.Option("--format", help="Some of html, md, tex, csv; figures are drawn for html only."),
]
CacheOption = Annotated[
    Path | None, typer.Option(help="Folder for built data sets. Default: the user's cache folder.")
]
