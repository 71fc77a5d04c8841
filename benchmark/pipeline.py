"""The stages of the pipeline, in order: what each reads and stores. Imports no torch.

A stage runs as jobs. Its function and the parameters of its jobs are in ``benchmark/stages``;
the jobs themselves are in ``benchmark/jobs.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from hashattack.benchmark.columns import Kind, names_of
from hashattack.datasets.base import SplitName


@dataclass(frozen=True)
class Stage:
    """A stage of the pipeline; its name stands in keys, in the store's folders and in messages."""

    name: str
    inputs: tuple[str, ...] = ()  # roles of the jobs it reads, or may read
    outputs: tuple[str, ...] = ()  # tensors it stores, or may; none where they are network states
    version: int = 1  # raised when the results of the stage change; part of the keys
    prepares: bool = False  # it runs before any attack: results of another folder may be reused
    makes_hasher: bool = False  # it is a step towards a trained hasher
    measures: Kind | None = None  # the columns whose values its jobs record; part of the keys
    attacker: bool = False  # it runs code of an attack, in another process than the harness
    hides: tuple[SplitName, ...] = ()  # labels it cannot read, unless it is shown the codes

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a result row that its jobs fill."""
        return () if self.measures is None else names_of(self.measures)


_SHOWN = ("target", "train", "database", "target_code")  # what an attack may see

STAGES = {
    stage.name: stage
    for stage in (
        Stage("weights", prepares=True, makes_hasher=True),  # of a trunk, read from a file
        Stage("import", prepares=True, makes_hasher=True),  # a converted hasher, read from a file
        Stage("pretrain", prepares=True, makes_hasher=True),  # a trunk, on the data set's labels
        Stage("train", inputs=("trunk",), prepares=True, makes_hasher=True),
        Stage("encode", inputs=("target",), outputs=("codes",), version=2, prepares=True),
        # Several hashers as one, and their codes: inputs are numbered.
        Stage("join", outputs=("codes",), prepares=True, makes_hasher=True),
        Stage("draw", outputs=("targets",), prepares=True, measures="draw"),
        Stage("fit", inputs=_SHOWN, version=3, attacker=True, hides=("query", "database")),
        Stage(
            "craft",
            inputs=(*_SHOWN, "crafting", "targets"),
            outputs=("images", "codes"),  # codes from an attack that crafts no images
            version=5,
            measures="cost",
            attacker=True,
            hides=("query", "database"),
        ),
        Stage(
            "hash",
            inputs=("images", "target"),
            outputs=("codes", "codes_8bit", "perceptibility", "l2", "linf"),
            version=3,
            measures="distortion",
        ),
        Stage(
            "score",
            inputs=("codes", "database", "targets"),
            outputs=(*names_of("retrieval"), "curve_top", "curve_precision", "curve_recall"),
            version=5,
            measures="retrieval",
        ),
        Stage(
            "gallery",
            inputs=("images", "codes", "clean", "database", "targets"),
            outputs=(
                *("rows", "own", "targets", "query", "adversarial"),
                *("before", "before_hits", "before_labels", "before_distances"),
                *("after", "after_hits", "after_labels", "after_distances"),
            ),
            version=2,
        ),
    )
}
PREPARING = tuple(name for name, stage in STAGES.items() if stage.prepares)
IN_ROW = tuple(name for name, stage in STAGES.items() if stage.measures)
