"""Running a graph of jobs: which job runs where and when, retries, and what a worker does."""
