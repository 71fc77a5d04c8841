"""Result rows, the status of a run, its suite, and the memo of a finished run."""
