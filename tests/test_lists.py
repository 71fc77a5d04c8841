"""Image lists and image files, on files made here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from hashattack.benchmark import jobs
from hashattack.benchmark.stages.hashers import Train
from hashattack.datasets import image_files
from hashattack.datasets.base import SPLITS, DatasetError
from hashattack.datasets.doctor import examine
from hashattack.datasets.image_files import Framing, decode
from hashattack.datasets.image_lists import read_csv, read_lines, write_pair
from tests.conftest import run_inline, small_suite
from tests.photos import photograph, spec, texts


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
    with pytest.raises(DatasetError, match=r"database.txt line 2: ") as caught:
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
    with pytest.raises(DatasetError, match="1 query images are also in the database"):
        spec(folder).load(tmp_path)
    spec(folder, allow_overlap=True).load(tmp_path)
    diagnosis = examine(spec(folder).inspect(tmp_path))
    assert any("are also in the database split" in text for text in texts(diagnosis))
    assert not diagnosis.healthy
    assert examine(spec(folder, allow_overlap=True).inspect(tmp_path), n_t=1).healthy


def test_a_twin_is_named_by_its_content(folder: Path, tmp_path: Path) -> None:
    (folder / "img/8.png").write_bytes((folder / "img/0.png").read_bytes())
    (folder / "img/10.png").write_bytes((folder / "img/9.png").read_bytes())
    with pytest.raises(DatasetError) as caught:
        spec(folder).load(tmp_path)
    found = "\n".join(texts(examine(spec(folder).inspect(tmp_path), n_t=1)))
    for text in (str(caught.value), found):
        assert "img/0.png (the same content as img/8.png)" in text
    assert "img/10.png (the same content as img/9.png)" in found
    assert "more than once" not in found


def test_a_path_listed_twice_is_reported_by_run_and_doctor(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = (folder / "train.txt").read_text()
    (folder / "train.txt").write_text(lines + lines.splitlines()[1])
    spec(folder).load(tmp_path)
    text = "the train list has 1 images more than once: img/4.png"
    assert caplog.messages == [f"photos: {text}"]
    found = texts(examine(spec(folder).inspect(tmp_path), n_t=1))
    assert text in found
    assert not any("repeat another" in one for one in found)


def test_a_short_first_row_is_one_fault(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "train.txt").read_text()
    (folder / "train.txt").write_text(lines.replace(" 1\n", "\n", 1))
    with pytest.raises(DatasetError, match=r"^photos: train.txt line 1: 2 labels, expected 3$"):
        spec(folder).load(tmp_path)


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
    jobs._loaded.cache_clear()
    task = trained[1].task
    assert isinstance(task, Train)
    with pytest.raises(DatasetError, match="photos changed since the plan was made"):
        task.data(Cached(tmp_path))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Cached:
    """All of a job's context that reading a data set needs."""

    cache: Path
