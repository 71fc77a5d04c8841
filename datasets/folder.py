"""Any folder of images with labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hashattack.datasets.base import SPLITS, SplitName
from hashattack.datasets.image_lists import ImageList, read_list, refuse_faults
from hashattack.datasets.listed import ListedData
from hashattack.datasets.splits import seeded_splits


@dataclass(frozen=True, kw_only=True)
class FolderData(ListedData):
    """Any folder of images with split lists, or with one list that is split by a seed.

    Attributes:
        label: the data set's name in results; the folder's name where it is empty.
        list_file: one list (lines ``path 0 1 0 …``, or a CSV) to be split.
        n_query, n_train: the sizes of its splits; the rest is the database.
        split_seed: of that split.
    """

    name: ClassVar[str] = "folder"
    label: str = ""
    list_file: str = ""
    n_query: int = 100
    n_train: int = 1000
    split_seed: int = 0

    @property
    def title(self) -> str:
        """The data set's name in results."""
        return self.label or self.folder.resolve().name

    def lists(self) -> dict[SplitName, ImageList]:
        """Return the split lists, or the one list, split."""
        if not self.list_file:
            return super().lists()
        listed = read_list(self.folder / self.list_file)
        refuse_faults(listed, self.folder / self.list_file)
        rows = seeded_splits(
            len(listed), n_query=self.n_query, n_train=self.n_train, seed=self.split_seed
        )
        return {name: listed.take(rows[name].tolist()) for name in SPLITS}
