"""Counting, for every query, what lies at each Hamming distance: all that the metrics need."""

from hashattack.benchmark.metrics.average_precision import mean_average_precision

__all__ = ["mean_average_precision"]
