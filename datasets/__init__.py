"""Retrieval data sets, and the target labels that attacks aim their queries at."""
