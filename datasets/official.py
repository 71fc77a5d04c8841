"""Lists of images with labels from the official files of MIRFLICKR, NUS-WIDE and MS-COCO.

Formats are as their readme files state. The sizes of the paper follow: 25,000 photographs,
195,834 with one of 21 concepts, 122,218 with one of 80 objects.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path, PureWindowsPath

import numpy as np

from hashattack.datasets.base import DatasetError, UInt8Array
from hashattack.datasets.image_lists import ImageList, read_text

_MIRFLICKR_IMAGES = 25_000
_MIRFLICKR_RELEVANT = (
    *("baby", "bird", "car", "clouds", "dog", "female", "flower", "male", "night", "people"),
    *("portrait", "river", "sea", "tree"),
)  # labels that have a second, stricter file
_MIRFLICKR_OTHERS = (
    *("animals", "food", "indoor", "lake", "plant_life", "sky", "structures", "sunset"),
    *("transport", "water"),
)
_MIRFLICKR_LABELS = sorted(
    [*_MIRFLICKR_RELEVANT, *(f"{name}_r1" for name in _MIRFLICKR_RELEVANT), *_MIRFLICKR_OTHERS]
)
_NUS_CONCEPTS = 21
_COCO_PARTS = ("train2014", "val2014")


def mirflickr(folder: Path) -> ImageList:
    """Read the annotations of MIRFLICKR-25000: one file per label, one image number per line.

    The folder holds ``mirflickr/im1.jpg`` … and, in it or below it, ``animals.txt`` and 37 more.
    """
    found = {path.stem: path for path in sorted(folder.rglob("*.txt"))}
    missing = [name for name in _MIRFLICKR_LABELS if name not in found]
    if missing:
        raise DatasetError(
            f"{folder}: {len(missing)} of {len(_MIRFLICKR_LABELS)} annotation files are not in it "
            f"or below it ({', '.join(f'{name}.txt' for name in missing[:3])}, …)"
        )
    files = [found[name] for name in _MIRFLICKR_LABELS]
    labels = np.zeros((_MIRFLICKR_IMAGES, len(files)), dtype=np.uint8)
    for column, path in enumerate(files):
        for number, line in enumerate(read_text(path).split(), 1):
            if not line.isdigit() or not 1 <= int(line) <= _MIRFLICKR_IMAGES:
                raise DatasetError(f"{path} line {number}: '{line}' is no image number")
            labels[int(line) - 1, column] = 1
    paths = tuple(f"mirflickr/im{number}.jpg" for number in range(1, _MIRFLICKR_IMAGES + 1))
    return ImageList(paths, labels, tuple(path.stem for path in files))


def nus_wide(folder: Path) -> ImageList:
    """Read NUS-WIDE's image list and concept files, and keep its 21 most frequent concepts.

    Below the folder lie ``Imagelist.txt`` (one path per image, Windows separators) and
    ``Labels_<concept>.txt`` (0 or 1 an image). The paths become ``images/<file name>``.
    """
    listed = _one(folder, "Imagelist.txt")
    names = [PureWindowsPath(line.strip()).name for line in read_text(listed).splitlines()]
    files = sorted(folder.rglob("AllLabels/Labels_*.txt")) or sorted(folder.rglob("Labels_*.txt"))
    if len(files) < _NUS_CONCEPTS:
        raise DatasetError(f"{folder}: {len(files)} concept files (Labels_….txt), expected 81")
    columns = {}
    for path in files:
        values = np.array(read_text(path).split())
        if len(values) != len(names) or not np.isin(values, ["0", "1"]).all():
            raise DatasetError(
                f"{path}: expected {len(names)} lines of 0 or 1, one for each of {listed.name}"
            )
        columns[path.stem.removeprefix("Labels_")] = values == "1"
    frequent = sorted(columns, key=lambda name: (-int(columns[name].sum()), name))[:_NUS_CONCEPTS]
    classes = tuple(sorted(frequent))
    labels = np.stack([columns[name] for name in classes], axis=1).astype(np.uint8)
    return _labelled(tuple(f"images/{name}" for name in names), labels, classes)


def coco(folder: Path) -> ImageList:
    """Read the instances of MS-COCO 2014, train and val; labels are the annotated objects."""
    paths: list[str] = []
    rows: list[UInt8Array] = []
    classes: tuple[str, ...] = ()
    for part in _COCO_PARTS:
        path = _one(folder, f"instances_{part}.json")
        try:
            content = json.loads(read_text(path))
            categories = sorted(content["categories"], key=lambda category: category["id"])
            column = {category["id"]: number for number, category in enumerate(categories)}
            classes = tuple(category["name"] for category in categories)
            place = {image["id"]: number for number, image in enumerate(content["images"])}
            labels = np.zeros((len(place), len(column)), dtype=np.uint8)
            for item in content["annotations"]:
                labels[place[item["image_id"]], column[item["category_id"]]] = 1
            paths += [f"{part}/{image['file_name']}" for image in content["images"]]
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{path} is not a COCO instances file ({error!r})") from None
        rows.append(labels)
    return _labelled(tuple(paths), np.concatenate(rows), classes)


READERS: Mapping[str, Callable[[Path], ImageList]] = {
    "FLICKR-25K": mirflickr,
    "NUS-WIDE": nus_wide,
    "MS-COCO": coco,
}


def _labelled(paths: tuple[str, ...], labels: UInt8Array, classes: tuple[str, ...]) -> ImageList:
    """Return the images that carry a label."""
    return ImageList(paths, labels, classes).take(np.flatnonzero(labels.any(axis=1)).tolist())


def _one(folder: Path, name: str) -> Path:
    found = sorted(folder.rglob(name))
    if not found:
        raise DatasetError(f"{folder}: no {name} in it or below it")
    return found[0]
