"""A deployment's size follows from measured bytes."""

import pytest

from benchmarks.sizes import Sizes, Sizing, TableSize


def test_a_deployment_is_sized_from_bytes_a_row_and_rows_an_event() -> None:
    tables = [
        TableSize("user_state", 1000, 500, 10),
        TableSize("event_log", 20_000, 10_000, 100),
        TableSize("xp_log", 2000, 1000, 20),
    ]
    sizes = Sizes(events=100, users=10, tables=tables, wal_bytes=90_000, redis_bytes_a_user=1100)

    found = Sizing(users=1_000_000, events_a_user_and_day=10, days_of_log=30).gigabytes(sizes)

    assert sizes.wal_bytes_an_event == 900
    assert found == pytest.approx(
        {"users (user_state)": 0.15, "event log": 90.0, "XP log": 300e6 * 0.2 * 150 / 1e9, "Redis": 1.1}
    )
