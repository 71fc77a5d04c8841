"""The doctor, on files made here and on the real FLICKR-25K lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hashattack.benchmark.metrics.average_precision import expected_ap
from hashattack.datasets.base import DatasetError
from hashattack.datasets.digits import Digits
from hashattack.datasets.doctor import chance_of, examine
from hashattack.datasets.image_sets import Flickr25K
from tests.conftest import SMALL_DIGITS
from tests.photos import spec, texts

SHARED = Path(__file__).parent.parent.parent / "shared" / "data" / "FLICKR-25K"


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
    assert "2 images are listed with different label rows" in found
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
    assert "the query list in" in found
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
    lines = {str(line.policy): line for line in diagnosis.policies}
    for policy, rows, chance in (  # over a draw of 1,700 targets
        ("frequent", 316, 0.572),
        ("frequent-train", 79, 0.511),
        ("unique", 4270, 0.669),
        ("unique-train", 1458, 0.645),
        ("unique-disjoint", 4270, 0.557),
        ("disjoint", 316, 0.489),
    ):
        assert lines[policy].rows == rows
        assert lines[policy].chance == pytest.approx(chance, abs=0.006)
    found = texts(diagnosis)
    assert any("23300 of 23300 database images are not in" in text for text in found)
    assert not any("the paper's has" in text for text in found), "the sizes are the paper's"


def test_chance_is_the_expected_ap_of_one_tie_group() -> None:
    for relevant, total in ((0, 5), (1, 5), (3, 7), (5, 5), (1, 1)):
        wanted = expected_ap(np.array([[total]]), np.array([[relevant]]))
        assert chance_of(np.array([relevant]), total) == pytest.approx(wanted)
