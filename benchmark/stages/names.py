"""The stages of the pipeline, in order: this list is their only one. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A stage of the pipeline.

    Attributes:
        name: as it stands in keys, in the store's folders and in messages.
        prepares: it runs before any attack, so another output folder may lend its results.
        in_row: the numbers that its jobs record are columns of a result row.
    """

    name: str
    prepares: bool = False
    in_row: bool = False


STAGES = {
    stage.name: stage
    for stage in (
        Stage("weights", prepares=True),
        Stage("import", prepares=True),
        Stage("pretrain", prepares=True),
        Stage("train", prepares=True),
        Stage("encode", prepares=True),
        Stage("draw", prepares=True),
        Stage("fit"),
        Stage("craft", in_row=True),
        Stage("hash", in_row=True),
        Stage("score", in_row=True),
        Stage("gallery"),
    )
}
PREPARING = tuple(name for name, stage in STAGES.items() if stage.prepares)
IN_ROW = tuple(name for name, stage in STAGES.items() if stage.in_row)
