"""Commands for data sets and for hashers of other programs: doctor, make-lists, import-target."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hashattack.benchmark.cli.lists import completer
from hashattack.benchmark.cli.options import CacheOption, DataRootOption
from hashattack.benchmark.console import (
    EXIT_CELLS_MISSING,
    cache_folder,
    check_writable,
    echo,
    usage_errors,
)
from hashattack.benchmark.terminal import Part, Table, show

if TYPE_CHECKING:
    from hashattack.datasets.doctor import Diagnosis

app = typer.Typer()

DatasetArgument = Annotated[
    str,
    typer.Argument(
        help="A data set's name; 'list datasets' shows them.",
        autocompletion=completer("datasets"),
    ),
]
_FILE_NAMES = {"train": "train", "query": "test", "database": "database"}  # as released


@app.command(epilog="Example: run-benchmark doctor folder -p root=photos")
def doctor(
    dataset: DatasetArgument,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", help="A parameter, like 'root=DIR'; repeatable."),
    ] = None,
    data_root: DataRootOption = None,
    n_t: Annotated[int, typer.Option(min=1, help="Votes per anchor code.")] = 9,
    cache: CacheOption = None,
) -> None:
    """Examine a data set: counts, label rows, chance, overlaps, unreadable images.

    Exits with 0 if nothing would stop a run and with 3 otherwise; all findings are listed at once.
    """
    from hashattack.benchmark.names import lookup
    from hashattack.benchmark.registry import registry
    from hashattack.benchmark.suites.loading import construct, parse_params, rooted
    from hashattack.benchmark.suites.suite import placed
    from hashattack.datasets.doctor import examine

    with usage_errors():
        cls = lookup("data set", dataset, registry().datasets)
        given = placed(cls, parse_params(param or ()), Path.cwd())
        params: dict[str, Any] = {**rooted(cls, {}, data_root), **given}
        spec = construct(cls, params, "--param")
        diagnosis = examine(spec.inspect(cache_folder(cache)), n_t)
    show(*_diagnosis_parts(diagnosis))
    if not diagnosis.healthy:
        raise typer.Exit(EXIT_CELLS_MISSING)


def _diagnosis_parts(diagnosis: Diagnosis) -> list[Part]:
    from hashattack.datasets.base import SPLITS, first_few

    splits = [name for name in SPLITS if name in diagnosis.statistics["images"]]
    rows = [
        (name, *(f"{row[split]:,.6g}" for split in splits))
        for name, row in diagnosis.statistics.items()
    ]
    parts: list[Part] = [
        f"{diagnosis.name}: {len(diagnosis.classes)} classes: {first_few(diagnosis.classes)}",
        Table(["", *splits], "f" + "r" * len(splits), rows),
    ]
    if diagnosis.policies:
        policies = [
            (line.policy, str(line.rows), "" if line.chance is None else f"{100 * line.chance:.1f}")
            for line in diagnosis.policies
        ]
        parts.append(Table(["target labels", "label rows", "chance t-MAP (%)"], "lrr", policies))
    findings = "\n".join(f"{found.level}: {found.text}" for found in diagnosis.findings)
    return [*parts, findings] if findings else parts


@app.command(
    "make-lists",
    epilog="Example: run-benchmark make-lists NUS-WIDE --from nus --to data/NUS-WIDE",
)
def make_lists(
    dataset: DatasetArgument,
    official: Annotated[Path, typer.Option("--from", help="Folder of the official files.")],
    to: Annotated[Path, typer.Option("--to", help="Folder for the lists.")],
    seed: Annotated[int, typer.Option(help="Seed of the splits.")] = 0,
) -> None:
    """Make split lists of the paper's sizes from the official files of a data set."""
    from hashattack.benchmark.names import lookup
    from hashattack.benchmark.registry import registry
    from hashattack.benchmark.store.files import write_bytes
    from hashattack.datasets.base import SPLITS, DatasetError, seeded_splits
    from hashattack.datasets.image_lists import write_pair
    from hashattack.datasets.image_sets import PublishedData
    from hashattack.datasets.official import READERS

    with usage_errors():
        reader = lookup("data set with official files", dataset, READERS)
        cls = registry().datasets[dataset]
        assert issubclass(cls, PublishedData)
        listed, sizes = reader(official), cls.expected
        expected = sizes["query"] + sizes["database"]
        if len(listed) != expected:
            raise DatasetError(
                f"{official}: {len(listed)} labelled images, but {dataset} has {expected}; are "
                "all official files there and complete?"
            )
        rows = seeded_splits(len(listed), n_query=sizes["query"], n_train=sizes["train"], seed=seed)
        for split in SPLITS:
            write_pair(listed.take(rows[split].tolist()), to, _FILE_NAMES[split])
            echo(f"{to / _FILE_NAMES[split]}_img.txt, …_label.txt: {len(rows[split])} images")
        write_bytes(to / "classes.txt", ("\n".join(listed.classes) + "\n").encode())
        echo(f"{to / 'classes.txt'}: {len(listed.classes)} classes; put the images below {to}")


@app.command(
    "import-target",
    epilog="Example: run-benchmark import-target net.pth --method DPSH --backbone AlexNet "
    "--to net.safetensors",
)
def import_target(
    file: Annotated[Path, typer.Argument(help="A state dict: .safetensors, or a torch file.")],
    method: Annotated[str, typer.Option(help="The hashing method it was trained with.")],
    backbone: Annotated[str, typer.Option(help="Its network.")],
    to: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
    side: Annotated[int, typer.Option(help="Side of its images in pixels.")] = 224,
    normalise: Annotated[
        Literal["none", "imagenet"],
        typer.Option(help="Whether its images were normalised as for ImageNet."),
    ] = "none",
    scale: Annotated[
        float | None,
        typer.Option(help="HashNet's factor of the logit, which a state dict does not hold."),
    ] = None,
) -> None:
    """Convert a hasher of another program for 'checkpoint:' in a suite, without executing it.

    Reads torchvision's layout with a hash layer in place of the last one, and the layouts of the
    ProS-GAN paper's released code and of DeepHash-pytorch. Errors name every missing or unexpected
    tensor.
    """
    import torch
    from safetensors.torch import save

    from hashattack.benchmark.names import lookup
    from hashattack.benchmark.registry import registry
    from hashattack.benchmark.store.files import write_bytes
    from hashattack.targets.backbones import TargetError
    from hashattack.targets.checkpoints import foreign_hasher

    with usage_errors():
        if to.suffix != ".safetensors" or to.resolve() == file.resolve():
            raise TargetError(f"--to {to}: name a new file that ends in .safetensors")
        check_writable(to)
        known = registry()
        spec, arrays = foreign_hasher(
            file,
            lookup("hashing method", method, known.methods)(),
            lookup("backbone", backbone, known.backbones)(),
            side=side,
            normalise=normalise,
            scale=scale,
        )
        tensors = {name: torch.from_numpy(array).contiguous() for name, array in arrays.items()}
        write_bytes(to, save(tensors))
    width = getattr(spec.backbone, "head_width", None)
    params = "" if width is None else f", backbone_params: {{head_width: {width}}}"
    echo(f"{spec.name}: {len(arrays)} tensors, none missing, none left over -> {to}")
    echo(
        f"in a suite: {{method: {method}, backbone: {backbone}, bits: {spec.bits}, "
        f"normalise: {normalise}{params}, checkpoint: {to}}}"
    )
