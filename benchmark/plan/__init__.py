"""From a suite to the graph of jobs: cells, keys, what is shared, about how long it takes."""
