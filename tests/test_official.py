"""Published annotation files and formats, in small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hashattack.datasets.base import SPLITS, DatasetError, seeded_splits
from hashattack.datasets.cifar import Cifar10
from hashattack.datasets.official import _MIRFLICKR_LABELS, coco, mirflickr, nus_wide


def test_splits_are_disjoint_and_repeat() -> None:
    rows = seeded_splits(100, n_query=20, n_train=30, seed=5)
    assert not set(rows["query"]) & set(rows["database"])
    assert set(rows["train"]) <= set(rows["database"])
    assert len(rows["query"]) + len(rows["database"]) == 100
    again = seeded_splits(100, n_query=20, n_train=30, seed=5)
    assert all((rows[name] == again[name]).all() for name in SPLITS)


def test_official_mirflickr(tmp_path: Path) -> None:
    notes = tmp_path / "mirflickr25k_annotations_v080"
    notes.mkdir()
    (tmp_path / "mirflickr" / "doc").mkdir(parents=True)
    (tmp_path / "mirflickr" / "doc" / "common_tags.txt").write_text("explore 100\n")
    with pytest.raises(DatasetError, match=r"38 of 38 annotation files .*animals.txt"):
        mirflickr(tmp_path)
    for name in _MIRFLICKR_LABELS:
        (notes / f"{name}.txt").write_text("7\n")
    (notes / "animals.txt").write_text("1\n25000\n")
    (notes / "baby_r1.txt").write_text("25000\n")
    listed = mirflickr(tmp_path)
    assert len(listed.classes) == 38
    columns = [listed.classes.index(name) for name in ("animals", "baby_r1")]
    assert listed.paths[-1] == "mirflickr/im25000.jpg"
    assert listed.labels[[0, 1, -1]][:, columns].tolist() == [[1, 0], [0, 0], [1, 1]]
    assert listed.labels[6].sum() == 36
    (notes / "baby_r1.txt").write_text("25001\n")
    with pytest.raises(DatasetError, match="line 1: '25001' is no image number"):
        mirflickr(tmp_path)


def test_official_nus_wide(tmp_path: Path) -> None:
    (tmp_path / "ImageList").mkdir()
    names = [f"actor\\{n:04d}_1.jpg" for n in range(60)]
    (tmp_path / "ImageList" / "Imagelist.txt").write_text("\n".join(names))
    labels = tmp_path / "Groundtruth" / "AllLabels"
    labels.mkdir(parents=True)
    for concept in range(25):  # concept c is carried by the images below 2 c + 1
        column = "\n".join("1" if n <= 2 * concept else "0" for n in range(60))
        (labels / f"Labels_c{concept:02d}.txt").write_text(column + "\n")
    listed = nus_wide(tmp_path)
    assert listed.classes == tuple(f"c{concept:02d}" for concept in range(4, 25))
    assert len(listed) == 49, "images without one of the 21 concepts are left out"
    assert listed.paths[0] == "images/0000_1.jpg"
    (labels / "Labels_c03.txt").write_text("1\n")
    with pytest.raises(DatasetError, match=r"Labels_c03.txt: expected 60 lines"):
        nus_wide(tmp_path)


def test_official_coco(tmp_path: Path) -> None:
    categories = [{"id": 9, "name": "dog"}, {"id": 4, "name": "cat"}]
    for part, start in (("train2014", 0), ("val2014", 100)):
        content = {
            "categories": categories,
            "images": [{"id": start + n, "file_name": f"{start + n}.jpg"} for n in range(3)],
            "annotations": [
                {"image_id": start, "category_id": 9},
                {"image_id": start, "category_id": 9},
                {"image_id": start + 2, "category_id": 4},
            ],
        }
        (tmp_path / f"instances_{part}.json").write_text(json.dumps(content))
    listed = coco(tmp_path)
    assert listed.classes == ("cat", "dog")
    assert listed.paths == (
        "train2014/0.jpg",
        "train2014/2.jpg",
        "val2014/100.jpg",
        "val2014/102.jpg",
    )
    assert listed.labels.tolist() == [[0, 1], [1, 0], [0, 1], [1, 0]]
    (tmp_path / "instances_val2014.json").write_text("{}")
    with pytest.raises(DatasetError, match="not a COCO instances file"):
        coco(tmp_path)


def test_cifar_is_read_from_its_binary_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    records = rng.integers(0, 256, (60, 3073), dtype=np.uint8)
    records[:, 0] %= 10
    names = [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]
    for number, name in enumerate(names):
        part = records[10 * number : 10 * number + 10]
        (tmp_path / f"{name}.bin").write_bytes(part.tobytes())
    sizes: dict[str, Any] = {"n_query": 10, "n_train": 20}
    data = Cifar10(root=str(tmp_path), side=32, **sizes).load(tmp_path)
    row = seeded_splits(60, **sizes, seed=0)["query"][0]
    assert (data.query.images.read(np.array([0]))[0].ravel() == records[row, 1:]).all()
    assert data.query.labels[0].argmax() == records[row, 0]
    large = Cifar10(root=str(tmp_path), **sizes).load(tmp_path)
    assert large.query.images.read(np.array([0, 1])).shape == (2, 3, 64, 64)
    assert large.fingerprint != data.fingerprint
    (tmp_path / "test_batch.bin").write_bytes(b"\x00" * 3000)
    with pytest.raises(DatasetError, match=r"test_batch.bin is truncated: 3000 bytes"):
        Cifar10(root=str(tmp_path), **sizes).load(tmp_path)
    (tmp_path / "test_batch.bin").write_bytes(b"\x0a" * 3073)
    with pytest.raises(DatasetError, match=r"it has a label 10"):
        Cifar10(root=str(tmp_path), **sizes).load(tmp_path)
    with pytest.raises(DatasetError, match=r"no data_batch_1.bin in .*void"):
        Cifar10(root=str(tmp_path / "void")).load(tmp_path)
