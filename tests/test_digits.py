"""The embedded data set is the same everywhere, and its query digits are its own."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from hashattack.datasets.base import DatasetError, RetrievalData
from hashattack.datasets.digits import Digits, _digit_pools
from tests.conftest import SMALL_DIGITS

# SHA-256 of the default scenes' uint8 bytes and of their labels.
SCENES = {
    "query": (
        "e0258e4207b81f05295ed18e34d421c6d6b8a73423fdcb1491afe20ed2bce439",
        "a4d5df4403dc4860e2625bdf53fbcf911519f13d89706c0dfcfeec40b0b0ad47",
    ),
    "database": (
        "346396814ad00a6583030a9269dce4004f63e6483aa1fc6ee821c6ebe2b819c3",
        "4f0c114a11561205367fe3e59e5788e8a2e56cdf57a416dd4d408d3de87b7b0f",
    ),
}


def test_default_scenes_are_identical_on_every_machine(cache: Path) -> None:
    data = Digits().load(cache)
    for name, split in (("query", data.query), ("database", data.database)):
        images = split.images.read(np.arange(len(split)))
        assert hashlib.sha256(images.tobytes()).hexdigest() == SCENES[name][0]
        labels = np.ascontiguousarray(split.labels)
        assert hashlib.sha256(labels.tobytes()).hexdigest() == SCENES[name][1]
    assert (len(data.train), len(data.query), len(data.database)) == (2000, 500, 4000)
    assert data.query.images.read(np.arange(2)).shape == (2, 3, 64, 64)


def test_training_scenes_are_the_first_of_the_database(digits: RetrievalData) -> None:
    rows = np.arange(len(digits.train))
    assert (digits.train.images.read(rows) == digits.database.images.read(rows)).all()
    assert (digits.train.labels == digits.database.labels[rows]).all()


def test_query_digits_occur_nowhere_else() -> None:
    pools = _digit_pools()
    query = {digit.tobytes() for digit in pools["query"].reshape(-1, 28, 28)}
    assert len(query) == 500
    assert not query & {digit.tobytes() for digit in pools["database"].reshape(-1, 28, 28)}


def test_labels_are_one_to_three_digits_in_the_stated_shares(cache: Path) -> None:
    labels = Digits().load(cache).database.labels
    shown = labels.sum(axis=1)
    assert set(np.unique(shown)) == {1, 2, 3}
    # One digit with .5, or the same digit twice (.3 / 10) or thrice (.2 / 100).
    assert abs((shown == 1).mean() - 0.532) < 0.03


@pytest.mark.parametrize("side", [32, 64, 224])
def test_every_side_shows_the_same_labels(cache: Path, side: int) -> None:
    data = Digits(n_train=10, n_query=5, n_database=20, side=side).load(cache)
    small = Digits(n_train=10, n_query=5, n_database=20, side=32).load(cache)
    assert data.query.images.read(np.arange(5)).shape == (5, 3, side, side)
    assert (data.query.labels == small.query.labels).all()


def test_a_damaged_cache_is_rebuilt(tmp_path: Path) -> None:
    spec = Digits(**SMALL_DIGITS)
    before = spec.load(tmp_path)
    first = before.query.images.read(np.arange(3))
    file = next(tmp_path.glob("*/query-images.npy"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    after = spec.load(tmp_path)
    assert after.fingerprint == before.fingerprint
    assert (after.query.images.read(np.arange(3)) == first).all()


def test_bad_sizes_say_what_is_needed() -> None:
    with pytest.raises(DatasetError, match="n_train <= n_database"):
        Digits(n_train=10, n_database=5)
    with pytest.raises(DatasetError, match="both up to 100,000"):
        Digits(n_query=10**30)
    with pytest.raises(DatasetError, match="multiple of 32"):
        Digits(side=50)
    with pytest.raises(DatasetError, match="up to 1024"):
        Digits(side=2**40)
