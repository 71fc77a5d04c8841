"""``trials.json``: what other code needs to know to attack the same queries, checked when read."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hashattack.benchmark.external.errors import OutsideError
from hashattack.benchmark.store.files import write_bytes
from hashattack.benchmark.suites.suite import faults

NAME = "trials.json"
_IDENTITY = (
    *("dataset", "dataset_fingerprint", "protocol", "policy"),
    *("target_seed", "draw_seed", "n_t", "n_queries"),
)
_INNERMOST = re.compile(r"\[\n\s+([^\[\]{}]*?)\n\s+\]")  # a string holds no line break


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrunkRecord(_Record):
    """A network below the hash layer: pixels ``[n, 3, side, side]`` to features ``[n, width]``."""

    told: str  # in words
    params: dict[str, Any]  # of the backbone
    # Those without layers within: how their tensors' names begin, torch.nn's class and arguments.
    layers: list[tuple[str, str]]
    in_sequence: bool  # whether one follows the other and nothing else happens


class SourceRecord(_Record):
    """A hasher to attack: ``tanh(scale * hash_layer(trunk((pixels - mean) / std)))``.

    Files are named from the folder of ``trials.json``; until format 2 from the output folder.
    """

    name: str
    method: str
    backbone: str
    bits: int
    normalise: str
    hasher: str  # safetensors: trunk.…, hash_layer.…, scale, mean, std
    sha256: str  # of that file
    codes: dict[str, str]  # by split, what the protocol shows: int8 [n, K] as "codes"
    trunk: TrunkRecord | None = None  # None until format 2


class TrialRecord(_Record):
    """Queries, their target labels, and the hashers to attack."""

    setting: int
    dataset: str
    dataset_fingerprint: str
    protocol: str
    policy: str
    target_seed: int
    draw_seed: int
    n_t: int
    n_queries: int
    side: int
    queries: str | None  # the folder of the clean queries, where they were exported
    image: str  # the name of a query's file, by its row
    labels: dict[str, str]  # by split, what the protocol shows: uint8 .npy [n, C]
    classes: list[str]
    sources: list[SourceRecord] = Field(min_length=1)
    targets: list[list[int]]  # a query's target label row, as numbers of classes

    @property
    def identity(self) -> dict[str, Any]:
        """What must be as in the folder that scores."""
        return {name: getattr(self, name) for name in _IDENTITY}

    @property
    def told(self) -> str:
        """The setting in a line."""
        return (
            f"{self.setting}: {self.dataset}, {self.protocol}, {self.policy} targets, draw seed "
            f"{self.draw_seed}, target seed {self.target_seed}, {self.n_queries} queries"
        )


class TrialFile(_Record):
    """The whole file."""

    format: Literal[1, 2]
    suite: str
    out: str
    settings: list[TrialRecord] = Field(min_length=1)

    def write(self, folder: Path) -> None:
        """Write ``trials.json``, and its target labels as ``targets.csv``, a row a query."""
        text = json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False)
        text = _INNERMOST.sub(lambda m: "[" + re.sub(r"\n\s+", " ", m[1]) + "]", text)
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["setting", "row", "image", "target"])
        for one in self.settings:
            for row, target in enumerate(one.targets):
                names = "; ".join(one.classes[number] for number in target)
                writer.writerow([one.setting, row, one.image.format(row=row), names])
        write_bytes(folder / "targets.csv", table.getvalue().encode())
        write_bytes(folder / NAME, text.encode())  # the last: with it the export is whole

    @classmethod
    def read(cls, path: Path) -> TrialFile:
        """Read and check a file.

        Raises:
            OutsideError: it is not there, or not such a file.
        """
        if path.is_dir():
            path = path / NAME
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise OutsideError(f"{path}: {error.strerror}; export-trials writes it") from None
        except ValidationError as error:
            told = "\n".join(f"{path}: {line}" for line in faults(error, model=cls))
            raise OutsideError(f"{told}\nexport-trials writes such a file") from None
