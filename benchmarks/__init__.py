"""Measures the whole pipeline, with its peers beside it in the same run."""
