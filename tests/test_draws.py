"""Target labels: the policies, prefix stability, and the real FLICKR-25K label rows."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashattack.datasets.base import DatasetError, UInt8Array
from hashattack.datasets.draws import Policy, draw_targets, eligible_rows
from hashattack.datasets.seeds import derive, generator
from tests.conftest import ROOT

FLICKR = ROOT.parent / "shared" / "data" / "FLICKR-25K"
POLICIES: tuple[Policy, ...] = get_args(Policy)


def random_labels(seed: int, count: int, classes: int = 6) -> UInt8Array:
    return generator(seed, "test-labels").integers(0, 2, (count, classes)).astype(np.uint8)


@given(seed=st.integers(0, 2**32), policy=st.sampled_from(POLICIES), short=st.integers(1, 19))
def test_draws_obey_their_policy_and_extend_by_prefix(
    seed: int, policy: Policy, short: int
) -> None:
    labels = random_labels(1, 400, classes=4)
    own = random_labels(2, 20, classes=4)
    own[own.sum(axis=1) > 2] = [1, 0, 0, 0]  # so that a disjoint row exists for each
    rows = eligible_rows(policy, labels, labels, 9)
    drawn = draw_targets(policy, rows, own, seed=seed)
    assert drawn.any(axis=1).all()
    counts = (labels[None] == drawn[:, None]).all(axis=2).sum(axis=1)
    assert (counts > (0 if policy.startswith("unique") else 9)).all()
    if policy == "exclude-equal":
        assert (drawn != own).any(axis=1).all()
    if policy in ("disjoint", "unique-disjoint"):
        assert not (drawn & own).any()
    assert (draw_targets(policy, rows, own[:short], seed=seed) == drawn[:short]).all()


@pytest.mark.parametrize(
    ("policy", "rows"),
    [
        *(("unique", "012"), ("unique-train", "013"), ("unique-disjoint", "012")),
        *(
            ("frequent", "02"),
            ("exclude-equal", "02"),
            ("disjoint", "02"),
            ("frequent-train", "03"),
        ),
    ],
)
def test_a_policy_counts_in_the_images_that_it_names(policy: Policy, rows: str) -> None:
    database = np.repeat(np.eye(4, dtype=np.uint8), [20, 9, 10, 0], axis=0)
    train = np.repeat(np.eye(4, dtype=np.uint8), [20, 9, 0, 10], axis=0)
    eligible = eligible_rows(policy, database, train, 9)
    assert {int(row.argmax()) for row in eligible} == set(map(int, rows))


def test_no_eligible_row_names_the_largest_group() -> None:
    labels = np.repeat(np.eye(2, 4, dtype=np.uint8), 5, axis=0)
    with pytest.raises(DatasetError, match=r"10 training images .* 5.* 'unique-train'"):
        eligible_rows("frequent-train", labels, labels, 9)
    with pytest.raises(DatasetError, match="largest group has 5"):
        eligible_rows("frequent", labels, labels, 9)
    with pytest.raises(DatasetError, match="query 0"):
        draw_targets("disjoint", labels, np.ones((1, 4), dtype=np.uint8), seed=0)


def test_seeds_are_fixed_forever() -> None:
    # Published results depend on these: a change here changes every draw.
    assert derive(0, "target/frequent", 3) == 1501913013372150871
    assert generator(7, "noise", 1).random() == pytest.approx(0.42991137325864126, abs=0)
    assert derive(0, "a", 1) != derive(0, "a", 2) != derive(1, "a", 2) != derive(0, "b", 1)


@pytest.mark.skipif(not FLICKR.is_dir(), reason="the real FLICKR-25K split lists are not here")
def test_flickr_has_the_published_counts() -> None:
    labels = np.loadtxt(FLICKR / "database_label.txt", dtype=np.uint8)
    rows, counts = np.unique(labels, axis=0, return_counts=True)
    assert (len(rows), int((counts > 9).sum())) == (4271, 317)
    assert counts[~rows.any(axis=1)].tolist() == [381]


def test_flickr_folder_is_never_committed() -> None:
    assert not list(Path(ROOT).rglob("database_label.txt"))
