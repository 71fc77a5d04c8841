"""What other code made, in the place of a crafting: read, noted, and judged like any other."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch

from hashattack.benchmark.external.errors import OutsideError
from hashattack.benchmark.external.handed import Codes, Images
from hashattack.benchmark.jobs import Context, Output, Task
from hashattack.targets.training import to_pixels

_HALF = 255 / 4096  # in steps of 8 bits: half the distance of float16 values below 1
_NOWHERE = {"device": None}  # nobody knows where it was made, or how long it took


@dataclass(frozen=True, kw_only=True)
class ExternalImages(Task):
    """Read adversarial images; their content's hash stands in the key, not their path."""

    stage: ClassVar[str] = "craft"
    sha256: str
    n_queries: int
    side: int
    dtype: str
    path: str = field(metadata={"key": False})
    names: tuple[str, ...] = field(metadata={"key": False})  # of the files, by row
    of: str = field(metadata={"key": False})

    @property
    def label(self) -> str:
        """What a person calls this job."""
        return f"read the images of {self.of}"

    def run(self, context: Context) -> Output:
        """Store ``images`` float ``[q, 3, S, S]``, unaudited.

        Raises:
            OutsideError: they changed since the plan was made.
        """
        handed = Images(Path(self.path), self.names, self.side)
        _refuse_changes(handed.sha256, self.sha256, self.path)
        images: Any = handed.read()
        note = "images of other code"
        if handed.in_8_bits:
            images = to_pixels(images, context.device, getattr(torch, self.dtype)).cpu().numpy()
            note += ", rounded to 8 bits a channel before they came here"
        elif handed.in_half_precision:
            note += f", in half precision, which rounds a pixel by up to {_HALF:.3f}/255"
        return Output({"images": images}, _NOWHERE, [note])


@dataclass(frozen=True, kw_only=True)
class ExternalCodes(Task):
    """Read hash codes; their file's hash stands in the key, not its path."""

    stage: ClassVar[str] = "craft"
    sha256: str
    n_queries: int
    bits: int
    path: str = field(metadata={"key": False})
    of: str = field(metadata={"key": False})

    @property
    def label(self) -> str:
        """What a person calls this job."""
        return f"read the codes of {self.of}"

    def run(self, context: Context) -> Output:  # noqa: ARG002 - reads only its own file
        """Store ``codes`` int8 ``[q, K]``.

        Raises:
            OutsideError: they changed since the plan was made.
        """
        handed = Codes(Path(self.path), self.n_queries, self.bits)
        _refuse_changes(handed.sha256, self.sha256, self.path)
        codes, binary = handed.read()
        note = "codes of other code" + (", 0 read as -1" if binary else "")
        return Output({"codes": codes}, _NOWHERE, [note])


def _refuse_changes(now: str, then: str, path: str) -> None:
    if now != then:
        raise OutsideError(f"{path} changed since the plan was made; run again")
