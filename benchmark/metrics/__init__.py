"""Average precision of Hamming rankings, and the counting it needs."""

from hashattack.benchmark.metrics.average_precision import (
    average_precisions,
    mean_average_precision,
)

__all__ = ["average_precisions", "mean_average_precision"]
