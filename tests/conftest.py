"""Fixtures for every suite: the session's real servers."""

pytest_plugins = ["tests.support.stack", "tests.support.ledger", "tests.support.system"]
