"""Tests of the adapters and roles with real servers."""
