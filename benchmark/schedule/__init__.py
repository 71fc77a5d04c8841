"""Running a graph of jobs: which goes where and when, what becomes of it, what a worker does."""
