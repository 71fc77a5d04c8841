"""Reading images while a device works."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from hashattack.benchmark.networks import read_ahead
from hashattack.datasets.base import DatasetError, IntArray, UInt8Array

ASKED = [np.array([row]) for row in range(4)]


def read(rows: IntArray) -> UInt8Array:
    return rows.astype(np.uint8)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_what_is_read_ahead_comes_in_order(count: int) -> None:
    assert [int(found[0]) for found in read_ahead(read, ASKED[:count])] == list(range(count))


def test_the_next_is_read_while_one_is_worked_on() -> None:
    began = [threading.Event() for _ in ASKED]

    def note(rows: IntArray) -> UInt8Array:
        began[int(rows[0])].set()
        return read(rows)

    for number, _ in enumerate(read_ahead(note, ASKED)):
        assert all(event.wait(10) for event in began[: number + 2])
        assert not any(event.is_set() for event in began[number + 2 :])  # and no more is held


def test_an_image_that_cannot_be_read_says_so_at_its_place() -> None:
    def broken(rows: IntArray) -> UInt8Array:
        if rows[0] == 2:
            raise DatasetError("c.jpg: not a readable image")
        return read(rows)

    found: list[int] = []
    with pytest.raises(DatasetError, match=r"c.jpg"):
        found.extend(int(images[0]) for images in read_ahead(broken, ASKED))
    assert found == [0, 1]
