"""The inner loops of the ranking, compiled by numba.

Each query's distances and hits are computed a block of the database at a time, in loops that the
compiler turns into vector instructions; only counting is left to a scalar loop. Two queries count
together in one table of pairs, which halves the increments, and two such tables side by side hide
their latency. Codes and label rows are words of 32 bits, the database's word by word ``[W, n]``.
"""

# mypy: ignore-errors
# numba's language: types come from the arguments.

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

_BLOCK = 1024  # database items at a time: their places stay in the first-level cache
_TOGETHER = 4  # queries that pass together
_LARGEST_TABLE = 1 << 16  # entries of a table of pairs, where the database is no longer
_NEGLIGIBLE = 1e-20  # of the largest probability: all smaller ones together are below an epsilon

_u32, _u64 = np.uint32, np.uint64


@intrinsic
def _popcount(typing_context, word):  # noqa: ARG001 - numba's signature
    """Return the number of set bits, by the processor's own instruction."""

    def code(context, builder, signature, arguments):  # noqa: ARG001 - numba's signature
        return builder.ctpop(arguments[0])

    return types.uint32(types.uint32), code


@njit(nogil=True, cache=True)
def _distances(code, database, start, count, places):
    """Write the Hamming distances of a block to ``places``."""
    own, row = code[0], database[0, start : start + count]
    for i in range(count):
        places[i] = _popcount(own ^ row[i])
    for word in range(1, len(code)):
        own, row = code[word], database[word, start : start + count]
        for i in range(count):
            places[i] += _popcount(own ^ row[i])


@njit(nogil=True, cache=True)
def _mark(rows, labels, start, count, places, shared):
    """Append to each place a bit for each kind of relevance; ``rows`` is ``[S, L]``, S 1 or 2.

    All words but the last are met in passes of their own, into ``shared``.
    """
    words, none = rows.shape[1], _u32(0)
    for kind in range(len(rows)) if words > 1 else range(0):
        met, own, row = shared[kind], rows[kind, 0], labels[0, start : start + count]
        for i in range(count):
            met[i] = own & row[i]
        for word in range(1, words - 1):
            own, row = rows[kind, word], labels[word, start : start + count]
            for i in range(count):
                met[i] |= own & row[i]
    one, other = rows[0, words - 1], rows[len(rows) - 1, words - 1]
    met, more, row = shared[0], shared[len(rows) - 1], labels[words - 1, start : start + count]
    if len(rows) == 1 and words == 1:
        for i in range(count):
            places[i] = places[i] << _u32(1) | _u32((one & row[i]) != none)
    elif len(rows) == 1:
        for i in range(count):
            places[i] = places[i] << _u32(1) | _u32((met[i] | one & row[i]) != none)
    elif words == 1:
        for i in range(count):
            hits = _u32((other & row[i]) != none) << _u32(1) | _u32((one & row[i]) != none)
            places[i] = places[i] << _u32(2) | hits
    else:
        for i in range(count):
            hits = _u32((met[i] | one & row[i]) != none)
            hits |= _u32((more[i] | other & row[i]) != none) << _u32(1)
            places[i] = places[i] << _u32(2) | hits


@njit(nogil=True, cache=True)
def _row_sums(table, sums):
    for row in range(len(table)):
        line, total = table[row], _u32(0)
        for column in range(len(line)):
            total += line[column]
        sums[row] = total


@njit(nogil=True, cache=True)
def _column_sums(table, sums):
    totals = np.zeros(len(sums), _u32)
    for row in range(len(table)):
        line = table[row]
        for column in range(len(line)):
            totals[column] += line[column]
    sums[:] = totals


@njit(nogil=True, cache=True)
def count_places(codes, database, labels, database_labels, counted):
    """Count the items at each place, which is a distance and a bit for each kind of hit.

    Args:
        codes, labels: of the queries ``[q, W]`` and ``[q, S, L]``.
        database, database_labels: ``[W, n]`` and ``[L, n]``.
        counted: the counts ``[q, (K + 1) · 2^S]`` are written here.
    """
    size, width = database.shape[1], counted.shape[1]
    paired = width * width <= max(_LARGEST_TABLE, size)
    tables = np.empty((2, width * width) if paired else (_TOGETHER, width), _u32)
    places = np.empty((_TOGETHER, _BLOCK), _u32)
    shared = np.empty((2, _BLOCK), _u32)
    one, step = _u32(1), _u64(width)
    a, b, c, d = places[0], places[1], places[2], places[3]
    for group in range(0, len(codes), _TOGETHER):
        tables[:] = 0
        for start in range(0, size, _BLOCK):
            count = min(size - start, _BLOCK)
            for member in range(_TOGETHER):
                query = min(group + member, len(codes) - 1)
                _distances(codes[query], database, start, count, places[member])
                _mark(labels[query], database_labels, start, count, places[member], shared)
            if paired:
                left, right = tables[0], tables[1]
                for i in range(count):
                    left[_u64(a[i]) * step + _u64(b[i])] += one
                    right[_u64(c[i]) * step + _u64(d[i])] += one
            else:
                for member in range(_TOGETHER):
                    table, own = tables[member], places[member]
                    for i in range(count):
                        table[_u64(own[i])] += one
        for member in range(min(_TOGETHER, len(codes) - group)):
            if not paired:
                counted[group + member] = tables[member]
            elif member % 2 == 0:
                _row_sums(tables[member // 2].reshape(width, width), counted[group + member])
            else:
                _column_sums(tables[member // 2].reshape(width, width), counted[group + member])


@njit(nogil=True, cache=True, fastmath={"reassoc"})
def _sum_of_ratios(counts, stop):
    """Return the sum of hits / items over counts that hold both."""
    total = 0.0
    for i in range(stop):
        total += np.float64(counts[i] >> _u64(32)) / np.float64(counts[i] & _u64(0xFFFFFFFF))
    return total


@njit(nogil=True, cache=True)
def sum_precisions(codes, database, labels, database_labels, passed, top, sums, found):
    """Add each query's precision at its hits, ties in database order, as a counting sort does.

    Args:
        codes, database, labels, database_labels: as for :func:`count_places`.
        passed: items that lie nearer than each distance, and in the upper half of the word the
            hits among them ``[q, S, K + 1]``; used up.
        top: hits at a later rank are left out.
        sums: ``[q, S]``.
        found: how many hits were not left out, ``[q, S]``.
    """
    size, kinds = database.shape[1], labels.shape[1]
    places, shared = np.empty(_BLOCK, _u32), np.empty((2, _BLOCK), _u32)
    at_hits = np.empty(_BLOCK + 1, _u64)
    shift, one, last = _u32(kinds), _u32(1), _u64(top)
    for query in range(len(codes)):
        for start in range(0, size, _BLOCK):
            count = min(size - start, _BLOCK)
            _distances(codes[query], database, start, count, places)
            _mark(labels[query], database_labels, start, count, places, shared)
            for kind in range(kinds):
                counts, mine, hits = passed[query, kind], _u32(kind), _u64(0)
                for i in range(count):  # no branch: what is no hit is overwritten
                    hit = _u64(places[i] >> mine & one)
                    distance = _u64(places[i] >> shift)
                    now = counts[distance] + (hit << _u64(32) | _u64(1))
                    counts[distance] = now
                    at_hits[hits] = now
                    hits += hit & _u64((now & _u64(0xFFFFFFFF)) <= last)
                sums[query, kind] += _sum_of_ratios(at_hits, hits)
                found[query, kind] += hits


@njit(nogil=True, cache=True)
def expect_cut(sums, items, hits, items_before, hits_before, top, found):
    """Write each query's expected AP at ``top`` to ``found``; all are ``[q]``.

    Args:
        sums: expected sums of precisions at the hits of the groups before the one that is cut.
        items, hits: of the group that is cut.
        items_before, hits_before: of all groups before it.

    The number of hits within the cut is hypergeometric. Its probabilities follow from the largest
    one by their exact ratios, as far as they count in double precision: log-factorials would lose
    digits.
    """
    for query in range(len(sums)):
        n, r, m = items[query], hits[query], top - items_before[query]
        before = hits_before[query]
        span = rise = 0.0  # sums of 1 / rank and of (places before it in the group) / rank
        for place in range(m):
            share = 1.0 / (items_before[query] + place + 1)
            span += share
            rise += place * share
        # Of x hits in m places the expected sum of precisions is linear · x + square · x (x − 1).
        linear = (before + 1) * span / max(m, 1)
        square = rise / max(m * (m - 1), 1)
        mode, fewest = (m + 1) * (r + 1) // (n + 2), max(0, m - (n - r))
        x, p = mode, 1.0
        while x > fewest and p > _NEGLIGIBLE:
            p *= x * (n - r - m + x) / ((r - x + 1) * (m - x + 1))
            x -= 1
        total = weighted = 0.0
        while x <= mode or p > _NEGLIGIBLE:
            total += p
            value = sums[query] + linear * x + square * x * (x - 1)
            weighted += p * value / max(before + x, 1)
            p *= (r - x) * (m - x) / ((x + 1) * (n - r - m + x + 1))
            x += 1
        found[query] = weighted / total
