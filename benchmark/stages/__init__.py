"""The stages of the pipeline, which benchmark/pipeline.py lists: parameters and functions."""
