"""The claims role, on real servers."""
