"""Whether a candidate attack is better or worse than a baseline, on the very same trials."""
