"""The inner loops of the ranking, compiled by numba.

They are compiled for the number of words that a code and a label row have, so that loops over
words unroll, and kept on disk.
"""

# mypy: ignore-errors
# numba's language: types come from the arguments.

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from benchmark.hamming.cpu import FIELD

_BLOCK = 4096  # database items that several queries pass while they are in the cache
_LANES = 4  # histograms a query, so that equal distances in a row do not wait for each other


@intrinsic
def _popcount(typing_context, word):  # noqa: ARG001 - numba's signature
    """Return the number of set bits, by the processor's own instruction."""

    def code(context, builder, signature, arguments):  # noqa: ARG001 - numba's signature
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), code


@functools.cache
def histogram_kernel(words: int, label_words: int, kinds: int) -> Any:
    """Return the kernel for codes and label rows of so many words, compiled when first called."""

    @njit(nogil=True, cache=True)
    def kernel(codes, database, labels, database_labels, counted):
        width = counted.shape[1]
        lanes = np.zeros((codes.shape[0], _LANES * width), np.uint64)
        for start in range(0, database.shape[0], _BLOCK):
            stop = min(database.shape[0], start + _BLOCK)
            for query in range(codes.shape[0]):
                own, code, rows = lanes[query], codes[query], labels[query]
                for item in range(start, stop):
                    distance = np.uint64(0)
                    for word in range(words):
                        distance += _popcount(code[word] ^ database[item, word])
                    one = np.uint64(1)
                    for kind in range(kinds):
                        shared = np.uint64(0)
                        for word in range(label_words):
                            shared |= rows[kind, word] & database_labels[item, word]
                        one |= np.uint64(shared != 0) << np.uint64(FIELD * (kind + 1))
                    own[(item & (_LANES - 1)) * width + np.int64(distance)] += one
        for query in range(codes.shape[0]):
            for lane in range(_LANES):
                for distance in range(width):
                    counted[query, distance] += lanes[query, lane * width + distance]

    return kernel


@functools.cache
def stable_kernel(words: int, label_words: int, kinds: int) -> Any:
    """Return the kernel that ranks ties in database order; ``before`` and ``found`` are used up."""

    @njit(nogil=True, cache=True)
    def kernel(codes, database, labels, database_labels, before, found, sums):
        for start in range(0, database.shape[0], _BLOCK):
            stop = min(database.shape[0], start + _BLOCK)
            for query in range(codes.shape[0]):
                code, rows = codes[query], labels[query]
                for item in range(start, stop):
                    far = np.uint64(0)
                    for word in range(words):
                        far += _popcount(code[word] ^ database[item, word])
                    distance = np.int64(far)
                    before[query, distance] += 1
                    for kind in range(kinds):
                        shared = np.uint64(0)
                        for word in range(label_words):
                            shared |= rows[kind, word] & database_labels[item, word]
                        if shared != 0:
                            found[query, kind, distance] += 1
                            sums[query, kind] += (
                                found[query, kind, distance] / before[query, distance]
                            )

    return kernel
