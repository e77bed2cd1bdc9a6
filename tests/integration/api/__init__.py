"""The api role, on real servers."""
