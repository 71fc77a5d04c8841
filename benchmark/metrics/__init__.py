"""Average precision of Hamming rankings, and the counting it needs."""

from hashattack.benchmark.metrics.average_precision import mean_average_precision

__all__ = ["mean_average_precision"]
