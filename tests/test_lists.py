"""Image lists, image files and the doctor, on files made here and on the real FLICKR-25K lists."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torchvision import transforms

from benchmark.metrics import expected_ap
from benchmark.stages import base as stages_base
from benchmark.stages.hashers import Train
from datasets import image_files
from datasets.base import SPLITS, DatasetError
from datasets.cifar import Cifar10
from datasets.digits import Digits
from datasets.doctor import Diagnosis, chance_of, examine
from datasets.folder import FolderData
from datasets.image_files import Framing, decode
from datasets.image_lists import read_csv, read_lines, write_pair
from datasets.official import _MIRFLICKR_LABELS, coco, mirflickr, nus_wide
from datasets.published import Flickr25K
from datasets.splits import seeded_splits
from tests.conftest import SMALL_DIGITS, run_inline, small_suite

SHARED = Path(__file__).parent.parent.parent / "shared" / "data" / "FLICKR-25K"
Pixels = npt.NDArray[np.uint8]


def photograph(path: Path, seed: int, size: tuple[int, int] = (40, 30)) -> Pixels:
    """Write a random PNG and return its pixels, ``[height, width, 3]``."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a root with 12 images of 3 classes: 3 queries, 9 in the database, 4 of them train."""
    root = tmp_path / "photos"
    rows = [(f"img/{number}.png", number) for number in range(12)]
    for path, number in rows:
        photograph(root / path, number)
    parts = {"test": rows[:3], "database": rows[3:], "train": rows[3:7]}
    for name, part in parts.items():
        lines = [f"{path} {int(n % 2)} {int(n % 3 == 0)} 1\n" for path, n in part]
        (root / f"{name}.txt").write_text("".join(lines))
    return root


def spec(root: Path, **changes: Any) -> FolderData:
    return FolderData(**{"root": str(root), "resize": 32, "side": 32, **changes})


@pytest.mark.parametrize("size", [(40, 30), (30, 40), (256, 256), (317, 211), (33, 32), (20, 64)])
def test_framing_is_torchvisions(size: tuple[int, int], tmp_path: Path) -> None:
    photograph(tmp_path / "a.png", 0, size)
    steps = [transforms.Resize(48), transforms.CenterCrop(32), transforms.PILToTensor()]
    with Image.open(tmp_path / "a.png") as image:
        wanted: torch.Tensor = transforms.Compose(steps)(image)
    assert (decode(tmp_path / "a.png", Framing(48, 32)) == wanted.numpy()).all()


def test_a_folder_never_seen_before_is_read(folder: Path, tmp_path: Path) -> None:
    data = spec(folder).load(tmp_path)
    assert [len(data.split(name)) for name in SPLITS] == [4, 3, 9]
    assert data.name == "photos"
    assert data.database.labels.shape == (9, 3)
    whole = decode(folder / "img/3.png", Framing(32, 32))
    assert (data.train.images.read(np.array([0, 2]))[0] == whole).all()
    assert (data.train.images.read(np.array([0]))[0] == whole).all()


def test_the_fingerprint_is_the_content_and_not_the_place(folder: Path, tmp_path: Path) -> None:
    def fingerprint(**changes: Any) -> str:
        return spec(folder, **changes).load(tmp_path / "cache").fingerprint

    first = fingerprint()
    moved = folder.rename(folder.with_name("elsewhere"))
    assert spec(moved).load(tmp_path / "cache").fingerprint == first
    moved.rename(folder)
    assert fingerprint(workers=1) == first
    assert fingerprint(decoded=True) == first
    assert fingerprint(resize=40) != first
    photograph(folder / "img/5.png", 99)
    changed = fingerprint()
    assert changed != first
    text = (folder / "train.txt").read_text()
    (folder / "train.txt").write_text(text.replace(" 1 1 1", " 0 1 1", 1))
    assert fingerprint() not in (first, changed)


def test_decoded_images_are_the_same_images(folder: Path, tmp_path: Path) -> None:
    plain, decoded = (spec(folder, decoded=flag).load(tmp_path) for flag in (False, True))
    rows = np.arange(9)
    assert not list(tmp_path.rglob("*.npy")), "a plan decodes nothing"
    before = plain.database.images.read(rows)
    assert (before == decoded.database.images.read(rows)).all()
    for path in (folder / "img").iterdir():
        path.touch()
    again = spec(folder, decoded=True).load(tmp_path)
    for path in (folder / "img").iterdir():
        path.write_bytes(b"decoded already")
    assert (before == again.database.images.read(rows)).all()


def test_the_formats_say_the_same(folder: Path, tmp_path: Path) -> None:
    lines = read_lines(folder / "database.txt")
    write_pair(lines, tmp_path, "database")
    table = tmp_path / "table.csv"
    header = "path,odd,third,all\n"
    table.write_text(header + (folder / "database.txt").read_text().replace(" ", ","))
    names = tmp_path / "names.csv"
    names.write_text(
        "".join(
            ",".join([path, *(name for name, on in zip(("a", "b", "c"), row, strict=True) if on)])
            + "\n"
            for path, row in zip(lines.paths, lines.labels.tolist(), strict=True)
        )
    )
    assert read_csv(table).classes == ("odd", "third", "all")
    assert read_csv(names).classes == ("a", "b", "c")
    for listed in (read_csv(table), read_csv(names)):
        assert listed.paths == lines.paths
        assert (listed.labels == lines.labels).all()
    for suffix in ("img", "label"):
        (folder / f"database_{suffix}.txt").write_bytes(
            (tmp_path / f"database_{suffix}.txt").read_bytes().replace(b"\n", b" \r\n")
        )
    before = spec(folder).load(tmp_path).fingerprint
    (folder / "database.txt").unlink()
    assert spec(folder).load(tmp_path).fingerprint == before


@pytest.mark.parametrize(
    ("text", "classes", "faults"),
    [
        ("path,cat,dog\na,1,0\nb,0,2\nc,0,1\n", ("cat", "dog"), ["line 3: labels must be 0 or 1"]),
        ("path,cat,dog\na,1,0\nb,0,\nc,0,1\n", ("cat", "dog"), ["line 3: labels must be 0 or 1"]),
        ("filename,cat\na,1\nb,0\n", ("cat",), []),
        ("path,label\na,1\nb,0\n", ("0", "1"), []),
        ("a,cat\nb\n,cat\n", ("cat",), ["line 3: an empty path"]),
        ("\na,cat\n", ("cat",), ["line 1: an empty path"]),
        ("a\x00b,cat\nc,cat\n", ("cat",), ["line 1: 'a\\x00b' holds control characters"]),
    ],
)
def test_csvs_say_what_they_are(
    text: str, classes: tuple[str, ...], faults: list[str], tmp_path: Path
) -> None:
    (tmp_path / "list.csv").write_text(text)
    listed = read_csv(tmp_path / "list.csv")
    assert listed.classes == classes
    assert len(listed.faults) == len(faults)
    assert all(wanted in fault for wanted, fault in zip(faults, listed.faults, strict=True))


def test_labels_named_by_numbers_are_names(folder: Path, tmp_path: Path) -> None:
    for name in ("train", "test", "database"):
        (folder / f"{name}.txt").unlink()
    (folder / "train.csv").write_text("img/3.png,0\nimg/4.png,1,2\n")
    (folder / "test.csv").write_text("img/0.png,1\n")
    (folder / "database.csv").write_text("img/3.png,0\nimg/4.png,1,2\n")
    data = spec(folder).load(tmp_path)
    assert data.classes == ("0", "1", "2")
    assert data.query.labels.tolist() == [[0, 1, 0]]


def test_a_strip_that_grows_when_resized_is_refused(tmp_path: Path) -> None:
    photograph(tmp_path / "strip.png", 0, (1, 500_000))
    with pytest.raises(DatasetError, match=r"strip.png: 256 x 128000000 pixels are more"):
        decode(tmp_path / "strip.png", Framing())


def test_one_list_is_split_by_a_seed(folder: Path, tmp_path: Path) -> None:
    names = ["cat", "dog", "cat,dog", ""]
    lines = [f"img/{n}.png,{names[n % 4]}\n" for n in range(12)]
    (folder / "all.csv").write_text("".join(lines))
    one = {"list_file": "all.csv", "n_query": 3, "n_train": 4}
    data = spec(folder, **one).load(tmp_path)
    assert data.classes == ("cat", "dog")
    assert [len(data.split(name)) for name in SPLITS] == [4, 3, 9]
    again = spec(folder, **one).load(tmp_path)
    other = spec(folder, **one, split_seed=1).load(tmp_path)
    assert data.fingerprint == again.fingerprint != other.fingerprint
    with pytest.raises(DatasetError, match="cannot split 12 images into 12 queries"):
        spec(folder, list_file="all.csv", n_query=12).load(tmp_path)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("/etc/passwd 1 0 1", "line 2: '/etc/passwd' is not relative"),
        ("../secret.png 1 0 1", "line 2: '../secret.png' leaves the image folder"),
        ("C:/x.png 1 0 1", "not relative"),
        ("img/4.png 1 0", "line 2: 2 labels, expected 3"),
        ("img/4.png 1 0 2", "line 2: labels must be 0 or 1, got '2'"),
        ("", "line 2: an empty path"),
    ],
)
def test_a_faulty_line_is_named(folder: Path, tmp_path: Path, line: str, fault: str) -> None:
    lines = (folder / "database.txt").read_text().splitlines()
    lines[1] = line
    (folder / "database.txt").write_text("\n".join(lines))
    with pytest.raises(DatasetError, match="1 faulty lines in") as caught:
        spec(folder).load(tmp_path)
    assert fault in str(caught.value)
    assert any(fault in text for text in texts(examine(spec(folder).inspect(tmp_path))))


def test_counts_that_differ_and_lists_that_are_not_there(folder: Path, tmp_path: Path) -> None:
    (folder / "train_img.txt").write_text("img/3.png\nimg/4.png\n")
    (folder / "train_label.txt").write_text("1 0 1\n")
    with pytest.raises(DatasetError, match=r"train_img.txt has 2 lines, but train_label.txt has 1"):
        spec(folder).load(tmp_path)
    (folder / "train_label.txt").unlink()
    with pytest.raises(DatasetError, match=r"train_label.txt: No such file"):
        spec(folder).load(tmp_path)
    with pytest.raises(DatasetError, match=r"no split lists in .*nowhere"):
        spec(folder / "nowhere").load(tmp_path)
    (folder / "train_img.txt").unlink()
    (folder / "train.txt").write_text("img/3.png 1 0\n")
    with pytest.raises(DatasetError, match="label rows of different lengths: 2, 3, 3"):
        spec(folder).load(tmp_path)
    (folder / "train.txt").unlink()
    with pytest.raises(DatasetError, match="has no train list"):
        spec(folder).load(tmp_path)


def test_missing_images_are_counted_with_their_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "img/0.png").unlink()
    (folder / "img/5.png").unlink()
    with pytest.raises(DatasetError, match=r"2 of 12 images are not in .*photos \(.*img/5.png"):
        spec(folder).load(tmp_path)
    with pytest.raises(DatasetError, match=r"12 of 12 images are not in .*elsewhere"):
        spec(folder, images=str(tmp_path / "elsewhere")).load(tmp_path)


def test_a_link_that_leaves_the_root_is_not_followed(folder: Path, tmp_path: Path) -> None:
    photograph(tmp_path / "secret.png", 50)
    (folder / "img/4.png").unlink()
    (folder / "img/4.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DatasetError, match=r"train list line 2: 'img/4.png' is a link that leaves"):
        spec(folder).load(tmp_path / "cache")


def test_images_that_cannot_be_read_are_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (folder / "img/4.png").read_bytes()
    (folder / "img/4.png").write_bytes(whole[: len(whole) // 2])
    (folder / "img/5.png").write_text("no image")
    photograph(folder / "img/6.png", 6, (200, 200))
    monkeypatch.setattr(image_files, "PIXEL_CAP", 10_000)
    data = spec(folder).load(tmp_path)
    for row, reason in ((1, "not a readable image"), (2, "not a readable"), (3, "200 x 200 pixel")):
        with pytest.raises(DatasetError, match=rf"img/{row + 3}.png: {reason}"):
            data.train.images.read(np.array([row]))
    found = texts(examine(spec(folder).inspect(tmp_path)))
    assert sum("not a readable image" in text for text in found) == 2
    assert sum("200 x 200" in text for text in found) == 1


def test_queries_in_the_database_need_permission(folder: Path, tmp_path: Path) -> None:
    copied = (folder / "img/0.png").read_bytes()
    (folder / "img/8.png").write_bytes(copied)  # under another name
    with pytest.raises(DatasetError, match="1 query images stand in the database"):
        spec(folder).load(tmp_path)
    spec(folder, allow_overlap=True).load(tmp_path)
    diagnosis = examine(spec(folder).inspect(tmp_path))
    assert any("stand in the database split too" in text for text in texts(diagnosis))
    assert not diagnosis.healthy
    assert examine(spec(folder, allow_overlap=True).inspect(tmp_path), n_t=1).healthy


def test_the_doctor_finds_everything_at_once(folder: Path, tmp_path: Path) -> None:
    (folder / "img/0.png").unlink()
    (folder / "img/6.png").write_bytes((folder / "img/7.png").read_bytes())
    lines = (folder / "database.txt").read_text().splitlines()
    lines[0] = "img/3.png 0 0 0"
    lines[8] = "img/../../x.png 0 0 0"
    (folder / "database.txt").write_text("\n".join(lines))
    diagnosis = examine(spec(folder).inspect(tmp_path), n_t=1)
    found = "\n".join(texts(diagnosis))
    assert "line 9: 'img/../../x.png' leaves" in found
    assert f"1 of 3 query images are not in {folder}" in found
    assert "1 of 8 database images carry no label" in found
    assert "2 images stand in the lists with different label rows" in found
    assert "1 database images repeat another" in found
    assert diagnosis.statistics["images"] == {"train": 4, "query": 3, "database": 8}
    too_many = examine(spec(folder).inspect(tmp_path), n_t=50)
    assert any("lower n_t" in text for text in texts(too_many))


def test_the_doctor_goes_on_after_a_list_that_cannot_be_read(folder: Path, tmp_path: Path) -> None:
    (folder / "train_img.txt").write_text("img/3.png\nimg/4.png\n")
    (folder / "train_label.txt").write_text("1 0 1\n")
    (folder / "test.txt").write_text("img/0.png 1 0\nimg/1.png 1 7\n")
    found = "\n".join(texts(examine(spec(folder).inspect(tmp_path), n_t=1)))
    assert "train_img.txt has 2 lines, but train_label.txt has 1" in found
    assert "test.txt line 2: labels must be 0 or 1, got '7'" in found
    (folder / "train_img.txt").unlink()
    (folder / "train_label.txt").unlink()
    (folder / "test.txt").write_text("")
    (folder / "img/5.png").unlink()
    (folder / "img/5.png").symlink_to(tmp_path / "elsewhere.png")
    diagnosis = examine(spec(folder).inspect(tmp_path), n_t=1)
    found = "\n".join(texts(diagnosis))
    assert "the query list is empty" in found
    assert "database list line 3: 'img/5.png' is a link that leaves" in found
    with pytest.raises(DatasetError, match=r"the query list in .* is empty"):
        spec(folder).load(tmp_path)


def test_a_healthy_set_is_healthy(folder: Path, cache: Path, tmp_path: Path) -> None:
    assert examine(spec(folder).inspect(tmp_path), n_t=1).healthy
    diagnosis = examine(Digits(**SMALL_DIGITS).inspect(cache), n_t=1)
    assert diagnosis.healthy, diagnosis.findings
    assert diagnosis.statistics["images"]["database"] == 240


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the FLICKR-25K split lists are not in {SHARED}")
def test_the_real_flickr_lists_have_the_known_counts(tmp_path: Path) -> None:
    diagnosis = examine(Flickr25K(root=str(SHARED)).inspect(tmp_path))
    counts = {name: row["database"] for name, row in diagnosis.statistics.items()}
    assert counts["unique label rows"] == 4271
    assert counts["rows with more than 1 image"] == 1625
    assert counts["rows with more than 9 images"] == 317
    assert counts["of these eligible as targets"] == 316
    assert counts["without any label"] == 381
    assert diagnosis.statistics["unique images"]["train"] == 4496
    assert diagnosis.statistics["without any label"]["query"] == 38
    chances = {line.policy: line.chance for line in diagnosis.policies}
    assert chances["unique"] == pytest.approx(0.667, abs=0.001)
    assert chances["frequent"] == pytest.approx(0.571, abs=0.003)  # there with the all-zero row
    assert chances["disjoint"] == pytest.approx(0.489, abs=0.005)
    found = texts(diagnosis)
    assert any("23300 of 23300 database images are not in" in text for text in found)
    assert not any("the paper's has" in text for text in found), "the sizes are the paper's"


def test_chance_is_the_expected_ap_of_one_tie_group() -> None:
    for relevant, total in ((0, 5), (1, 5), (3, 7), (5, 5), (1, 1)):
        wanted = expected_ap(np.array([[total]]), np.array([[relevant]]))
        assert chance_of(np.array([relevant]), total) == pytest.approx(wanted)


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


def texts(diagnosis: Diagnosis) -> list[str]:
    return [finding.text for finding in diagnosis.findings]


def test_a_data_set_that_changes_under_a_run_is_noticed(folder: Path, tmp_path: Path) -> None:
    target = {"method": "DPSH", "backbone": "Tiny", "bits": [12], "weights": "none"}
    params = {"root": str(folder), "resize": 32, "side": 32}
    suite = small_suite(
        datasets={"dataset": "folder", "params": params},
        targets={**target, "training": {"epochs": 1, "batch": 4}},
        attacks=["original"],
        queries=3,
    )
    trained = []
    for seed in (99, 100):
        photograph(folder / "img/5.png", seed)
        plan, outcome = run_inline(suite, tmp_path, tmp_path / "out")
        job = next(job for job in plan.jobs.values() if isinstance(job.task, Train))
        assert outcome.status[job.key] == "ok", "a new plan, and data read anew"
        trained.append(job)
    assert trained[0].key != trained[1].key
    photograph(folder / "img/5.png", 101)
    stages_base._loaded.cache_clear()
    task = trained[1].task
    assert isinstance(task, Train)
    with pytest.raises(DatasetError, match="photos changed since the plan was made"):
        task.data(Cached(tmp_path))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Cached:
    """All of a job's context that reading a data set needs."""

    cache: Path
