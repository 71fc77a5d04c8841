"""Average precision against independent oracles: sorting, enumerated and sampled tie orders."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hashattack.benchmark import metrics
from hashattack.benchmark.metrics.average_precision import (
    Ties,
    chance_ap,
    curve_tops,
    expected_ap,
    expected_found,
    mean_average_precision,
    stable_ap,
)
from hashattack.benchmark.metrics.rank import Floats, Ranking, rank, rank_on
from hashattack.benchmark.perf.ranking import plain_ap
from hashattack.datasets.seeds import generator

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def average_precisions(*arrays: np.ndarray) -> dict[str, Floats]:
    """Return every metric of a ranking, per query."""
    query_codes, database_codes, query_labels, database_labels = arrays
    found = rank(query_codes, database_codes, [query_labels], database_labels, threads=1)
    items, hits = found.items, found.hits[0]
    return {
        "expected": expected_ap(items, hits),
        "stable": stable_ap(found)[0],
        "chance": chance_ap(items, hits),
        "precision_at_10": expected_found(np.array([10]), items, hits)[:, 0] / 10,
        "n_relevant": hits.sum(axis=1).astype(np.float64),
        "found": expected_found(curve_tops(len(database_codes)), items, hits),
    }


def problem(seed: int, *, queries: int = 5, items: int = 60, bits: int = 6) -> Arrays:
    rng = generator(seed, "ranking-test")
    codes = [rng.choice(np.array([-1, 1], dtype=np.int8), (n, bits)) for n in (queries, items)]
    labels = [(rng.random((n, 4)) < 0.3).astype(np.uint8) for n in (queries, items)]
    return codes[0], codes[1], labels[0], labels[1]


def ap_of_order(relevant: list[bool]) -> float:
    """Return the plain AP of a ranked list: the mean over hits of hits so far / rank."""
    hits, total = 0, 0.0
    for place, hit in enumerate(relevant, start=1):
        if hit:
            hits += 1
            total += hits / place
    return total / hits if hits else 0.0


def ranked(arrays: Arrays, query: int, tie_break: list[float]) -> list[bool]:
    query_codes, database_codes, query_labels, database_labels = arrays
    distance = (query_codes[query] != database_codes).sum(axis=1)
    relevant = (query_labels[query] & database_labels).any(axis=1)
    order = np.lexsort((tie_break, distance))
    return [bool(hit) for hit in relevant[order]]


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), bits=st.sampled_from([1, 6, 12, 48]), items=st.integers(1, 80))
def test_stable_ap_equals_a_sort(seed: int, bits: int, items: int) -> None:
    arrays = problem(seed, items=items, bits=bits)
    found = average_precisions(*arrays)["stable"]
    wanted = [ap_of_order(ranked(arrays, q, list(range(items)))) for q in range(5)]
    assert np.abs(found - wanted).max() < 1e-9


@pytest.mark.parametrize("bits", [2, 6, 12])
def test_expected_ap_equals_the_mean_over_sampled_tie_orders(bits: int) -> None:
    arrays = problem(11, bits=bits)
    found = average_precisions(*arrays)
    rng = generator(0, "tie-orders")
    for query in range(5):
        draws = [ap_of_order(ranked(arrays, query, rng.random(60).tolist())) for _ in range(3000)]
        error = np.std(draws) / np.sqrt(len(draws))
        assert abs(found["expected"][query] - np.mean(draws)) < 5 * error + 1e-12


def test_expected_ap_of_a_tiny_case_by_enumeration() -> None:
    # One group of two relevant and one other item: orders RRO, ROR, ORR are equally likely.
    wanted = np.mean([(1 + 1) / 2, (1 + 2 / 3) / 2, (1 / 2 + 2 / 3) / 2])
    found = expected_ap(np.array([[0, 3]]), np.array([[0, 2]]))
    assert found[0] == pytest.approx(wanted, abs=1e-12)


def mean_over_orders(groups: list[tuple[int, int]], top: int) -> float:
    """Return the mean AP at ``top`` over all orders within groups of (items, relevant ones)."""
    orders = [set(itertools.permutations([True] * r + [False] * (n - r))) for n, r in groups]
    lists = [list(itertools.chain(*order)) for order in itertools.product(*orders)]
    return float(np.mean([ap_of_order(one[:top]) for one in lists]))


_GROUP = st.integers(0, 5).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


@settings(deadline=None, max_examples=60)
@given(groups=st.lists(_GROUP, min_size=1, max_size=3).filter(lambda g: sum(n for n, _ in g) > 0))
def test_ap_at_every_k_equals_the_mean_over_all_tie_orders(groups: list[tuple[int, int]]) -> None:
    items, hits = (np.array([column]) for column in zip(*groups, strict=True))
    for top in range(1, int(items.sum()) + 1):
        wanted = mean_over_orders(groups, top)
        assert abs(expected_ap(items, hits, top)[0] - wanted) < 1e-12
        tie = [(int(items.sum()), int(hits.sum()))]
        if items.sum() <= 6:  # one tie of more items has too many orders
            assert abs(chance_ap(items, hits, top)[0] - mean_over_orders(tie, top)) < 1e-12


def precisions_of_a_group(first: int, found: int, n: int, r: int) -> float:
    """Return the expected sum of precisions at r hits among n tied items, place by place."""
    shares = (
        (found + 1 + (place * (r - 1) / (n - 1) if n > 1 else 0)) / (first + place + 1)
        for place in range(n)
    )
    return r / n * math.fsum(shares) if n else 0.0


@pytest.mark.parametrize(
    ("before", "cut"),
    [
        ((90, 40), (2000, 70)),  # the cut goes through a large group
        ((0, 0), (2000, 900)),  # all are tied
        ((400, 0), (900, 3)),  # few relevant items
        ((499, 400), (500, 250)),  # one place is left
        ((10, 10), (600, 599)),  # nearly all are relevant
    ],
)
def test_ap_at_500_of_large_groups_equals_exact_probabilities(
    before: tuple[int, int], cut: tuple[int, int]
) -> None:
    (first, found), (n, r), wanted = before, cut, []
    m = 500 - first
    passed = precisions_of_a_group(0, 0, first, found)
    for x in range(max(0, m - (n - r)), min(m, r) + 1):
        likely = math.comb(r, x) * math.comb(n - r, m - x) / math.comb(n, m)
        if found + x:
            value = passed + precisions_of_a_group(first, found, m, x)
            wanted.append(likely * value / (found + x))
    items, hits = np.array([[first, n, 100]]), np.array([[found, r, 50]])
    assert abs(expected_ap(items, hits, 500)[0] - math.fsum(wanted)) < 1e-12


@pytest.mark.parametrize("top", [1, 7, 20, 59])
def test_ap_at_k_equals_the_mean_over_sampled_tie_orders(top: int) -> None:
    arrays = problem(12, bits=4)
    found = metrics.average_precisions(*arrays, top=top)
    rng = generator(2, "tie-orders")
    for query in range(5):
        lists = (ranked(arrays, query, rng.random(60).tolist()) for _ in range(2000))
        draws = [ap_of_order(one[:top]) for one in lists]
        error = np.std(draws) / np.sqrt(len(draws))
        assert abs(found[query] - np.mean(draws)) < 5 * error + 1e-12


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), bits=st.sampled_from([1, 6, 48]), top=st.integers(1, 90))
def test_stable_ap_at_k_equals_the_plain_loop(seed: int, bits: int, top: int) -> None:
    arrays = problem(seed, items=80, bits=bits)
    found = metrics.average_precisions(*arrays, ties="stable", top=top)
    queries, database = (codes.astype(np.float32) for codes in arrays[:2])
    own, labels = (rows.astype(np.int64) for rows in arrays[2:])
    wanted = plain_ap(queries, database, own, labels, sort="stable", top=top)
    assert np.abs(found - wanted).max() < 1e-12


@pytest.mark.parametrize("ties", ["expected", "stable"])
def test_a_k_of_the_whole_database_changes_nothing(ties: Ties) -> None:
    arrays = problem(13)
    whole = metrics.average_precisions(*arrays, ties=ties)
    for top in (60, 61, 5000):
        assert (metrics.average_precisions(*arrays, ties=ties, top=top) == whole).all()


@pytest.mark.parametrize("top", [0, -5000, 2.5])
def test_a_k_that_is_no_positive_whole_number_is_refused(top: int) -> None:
    with pytest.raises(ValueError, match="top: expected a positive whole number, got"):
        mean_average_precision(*problem(0), top=top)


def test_without_ties_expected_and_stable_agree() -> None:
    codes = np.array([[1 if j >= i else -1 for j in range(8)] for i in range(9)], dtype=np.int8)
    labels = np.array([[i % 2, (i + 1) % 2] for i in range(9)], dtype=np.uint8)
    found = average_precisions(codes[:1], codes, labels[:1], labels)
    assert found["expected"] == pytest.approx(found["stable"], abs=1e-12)


def test_constant_codes_give_exactly_chance() -> None:
    query_codes, database_codes, query_labels, database_labels = problem(3)
    constant = np.ones_like(database_codes)
    found = average_precisions(np.ones_like(query_codes), constant, query_labels, database_labels)
    assert (found["expected"] == found["chance"]).all()
    other = average_precisions(query_codes, database_codes, query_labels, database_labels)
    assert (other["chance"] == found["chance"]).all()


def test_a_query_without_a_relevant_item_counts_as_zero() -> None:
    query_codes, database_codes, query_labels, database_labels = problem(4)
    query_labels[2] = 0
    found = average_precisions(query_codes, database_codes, query_labels, database_labels)
    assert found["n_relevant"][2] == 0
    assert found["expected"][2] == found["stable"][2] == found["chance"][2] == 0


def test_precision_at_10_equals_the_mean_over_sampled_tie_orders() -> None:
    arrays = problem(8, bits=4)
    found = average_precisions(*arrays)["precision_at_10"]
    rng = generator(1, "tie-orders")
    for query in range(5):
        draws = [np.mean(ranked(arrays, query, rng.random(60).tolist())[:10]) for _ in range(2000)]
        assert abs(found[query] - np.mean(draws)) < 5 * np.std(draws) / np.sqrt(2000) + 1e-12


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    shape=st.sampled_from([(1, 1), (12, 64), (64, 21), (33, 32), (65, 80), (256, 1024)]),
    queries=st.integers(1, 20),
    items=st.integers(1, 300) | st.sampled_from([1023, 1024, 1025, 2500]),  # around its blocks
)
def test_the_kernel_counts_what_plain_loops_count(
    seed: int, shape: tuple[int, int], queries: int, items: int
) -> None:
    bits, classes = shape
    draws = generator(seed, "kernel-test")
    codes = [draws.random((n, bits)) < 0.5 for n in (queries, items)]
    sets = [(draws.random((queries, classes)) < 2 / classes).astype(np.uint8) for _ in range(3)]
    labels = (draws.random((items, classes)) < 2 / classes).astype(np.uint8)
    found = rank(codes[0], codes[1], sets, labels, stable=False, threads=2)
    for query in range(queries):
        distances = (codes[0][query] != codes[1]).sum(axis=1)
        counted = np.bincount(distances, minlength=bits + 1)
        assert (found.items[query] == counted).all()
        for kind, rows in enumerate(sets):
            shared = (rows[query] & labels).any(axis=1)
            counted = np.bincount(distances[shared], minlength=bits + 1)
            assert (found.hits[kind, query] == counted).all()


def same(one: Ranking, other: Ranking) -> None:
    assert (one.items == other.items).all()
    assert (one.hits == other.hits).all()
    assert one.stable_hits is not None
    assert (one.stable_hits == other.stable_hits).all()
    assert one.stable_sums is not None
    assert other.stable_sums is not None
    assert np.abs(one.stable_sums - other.stable_sums).max() < 1e-9


def test_threads_and_chunks_of_queries_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    query_codes, database_codes, query_labels, database_labels = problem(5, queries=21, items=500)
    arguments = (query_codes, database_codes, [query_labels, 1 - query_labels], database_labels)
    whole = rank(*arguments, threads=1)
    same(whole, rank(*arguments, threads=3))
    monkeypatch.setattr("hashattack.benchmark.metrics.rank._CHUNK", 4)
    for threads in (1, 3):
        same(whole, rank(*arguments, threads=threads))


def test_the_path_of_a_gpu_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    query_codes, database_codes, query_labels, database_labels = problem(6, queries=9, items=1300)
    sets = [query_labels, 1 - query_labels]
    monkeypatch.setattr("hashattack.benchmark.metrics.rank._PAIRS", 1000)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    arguments = (query_codes, database_codes, sets, database_labels)
    for top in (50, 1300):
        same(rank_on(device, *arguments, top), rank(*arguments, top=top, threads=1))


def test_map_takes_arrays_tensors_and_booleans_alike() -> None:
    query_codes, database_codes, query_labels, database_labels = problem(9)
    arrays = (query_codes, database_codes, query_labels, database_labels)
    wanted = mean_average_precision(*arrays)
    each = metrics.average_precisions(*arrays)
    assert wanted == each.mean()
    assert wanted == mean_average_precision(*(torch.from_numpy(array) for array in arrays))
    assert wanted == mean_average_precision(
        query_codes > 0, database_codes > 0, query_labels > 0, database_labels > 0
    )
    stable = metrics.average_precisions(*arrays, ties="stable")
    assert stable.tolist() == pytest.approx(average_precisions(*arrays)["stable"].tolist())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query_codes": np.zeros((5, 6))}, "query_codes: expected values -1 and 1"),
        ({"query_labels": np.full((5, 4), 2)}, "query_labels: expected values 0 and 1"),
        ({"query_codes": np.ones((5, 7))}, "code lengths differ: 6 and 7"),
        ({"query_labels": np.ones((4, 4))}, "numbers of queries differ: 4 and 5"),
        ({"database_labels": np.ones((60, 3))}, "numbers of labels differ: 3 and 4"),
        ({"database_codes": np.ones(60)}, "expected a matrix"),
        ({"database_codes": np.ones((0, 6)), "database_labels": np.ones((0, 4))}, "is empty"),
    ],
)
def test_wrong_input_is_named(change: dict[str, np.ndarray], message: str) -> None:
    names = ("query_codes", "database_codes", "query_labels", "database_labels")
    with pytest.raises(ValueError, match=message):
        mean_average_precision(*{**dict(zip(names, problem(0), strict=True)), **change}.values())


def test_items_found_are_those_of_sampled_tie_orders() -> None:
    arrays = problem(5)
    found = average_precisions(*arrays)["found"]
    tops = curve_tops(60)
    assert tops[0] == 1
    assert tops[-1] == 60
    rng = generator(1, "tie-orders")
    orders = np.array(
        [[ranked(arrays, q, rng.random(60).tolist()) for q in range(5)] for _ in range(1000)]
    )
    for place, top in enumerate(tops):
        draws = orders[:, :, :top].sum(axis=2)  # [orders, queries]
        error = draws.std(axis=0) / np.sqrt(len(draws))
        assert (np.abs(draws.mean(axis=0) - found[:, place]) < 5 * error + 1e-9).all()
