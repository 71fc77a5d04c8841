"""Counting, for every query, what lies at each Hamming distance: all that the metrics need."""
