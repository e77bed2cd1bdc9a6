"""Fixtures for every suite: the session's real servers. And the order in which the suites come."""

import gc

import pytest

pytest_plugins = ["tests.support.stack", "tests.support.ledger", "tests.support.system"]

LONG_SUITES = ("chaos", "journeys", "integration")
"""First, the longest at the front: whoever shares the files among processes must not be left with a long one at the end."""

LAST_SUITE = "simulation"
"""It shares its work among the cores by itself."""


def pytest_collection_modifyitems(items: list[pytest.Item], config: pytest.Config) -> None:
    """Puts the suites in order."""
    tests = config.rootpath / "tests"

    def rank(item: pytest.Item) -> int:
        suite = item.path.relative_to(tests).parts[0] if item.path.is_relative_to(tests) else ""
        if suite == LAST_SUITE:
            return len(LONG_SUITES) + 1
        return LONG_SUITES.index(suite) if suite in LONG_SUITES else len(LONG_SUITES)

    items.sort(key=rank)


def pytest_collection_finish(session: pytest.Session) -> None:
    """All modules, models and tests are there by now and stay: Python's collector need not walk over them again and again."""
    gc.collect()
    gc.freeze()
