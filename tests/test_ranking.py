"""Average precision against independent oracles: sorting, and sampled tie orders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.ranking import (
    average_precisions,
    curve_tops,
    distance_histograms,
    expected_ap,
)
from datasets.seeds import generator

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def problem(seed: int, *, queries: int = 5, items: int = 60, bits: int = 6) -> Arrays:
    rng = generator(seed, "ranking-test")
    codes = [rng.choice(np.array([-1, 1], dtype=np.int8), (n, bits)) for n in (queries, items)]
    labels = [(rng.random((n, 4)) < 0.3).astype(np.uint8) for n in (queries, items)]
    return codes[0], codes[1], labels[0], labels[1]


def ap_of_order(relevant: list[bool]) -> float:
    """Return the plain AP of a ranked list: the mean over hits of hits so far / rank."""
    hits, total = 0, 0.0
    for rank, hit in enumerate(relevant, start=1):
        if hit:
            hits += 1
            total += hits / rank
    return total / hits if hits else 0.0


def ranked(arrays: Arrays, query: int, tie_break: list[float]) -> list[bool]:
    query_codes, database_codes, query_labels, database_labels = arrays
    distance = [int((query_codes[query] != code).sum()) for code in database_codes]
    order = sorted(range(len(distance)), key=lambda item: (distance[item], tie_break[item]))
    return [bool((query_labels[query] & database_labels[item]).any()) for item in order]


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


def test_chunks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = problem(5, queries=7)
    whole = average_precisions(*arrays)
    monkeypatch.setattr("benchmark.ranking._PAIRS_PER_CHUNK", 130)
    parts = average_precisions(*arrays)
    assert all((whole[name] == parts[name]).all() for name in whole)


def test_histograms_count_every_item() -> None:
    distances = np.array([[0, 2, 2], [1, 1, 1]])
    relevant = np.array([[True, False, True], [False, False, True]])
    items, hits = distance_histograms(distances, relevant, 2)
    assert items.tolist() == [[1, 0, 2], [0, 3, 0]]
    assert hits.tolist() == [[1, 0, 1], [0, 1, 0]]


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
