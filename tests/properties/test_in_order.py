"""Events of several partitions come in the order of their times, and those of one partition in its own."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mission_events import Event
from services.adapters.ledger.batch import LoggedEvent
from services.processor.decode_batch import in_order
from tests.support.events import xp

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
partitions = st.lists(st.lists(st.integers(0, 20), max_size=8), min_size=1, max_size=5)
"""Seconds of the records of some partitions; a producer's clock may run back."""


def logged(partition: int, seconds: list[int]) -> list[LoggedEvent]:
    data = xp(1)
    event = Event("e", "test", "learning.xp-earned.v1", "ann", NOON, data.__dict__)
    return [
        LoggedEvent(event, "topic", partition, offset, NOON + timedelta(seconds=second))
        for offset, second in enumerate(seconds)
    ]


@given(partitions)
def test_each_partition_keeps_its_order_and_nothing_is_lost(seconds: list[list[int]]) -> None:
    given_events = [logged(number, some) for number, some in enumerate(seconds)]

    ordered = in_order(given_events)

    assert len(ordered) == sum(map(len, given_events))
    for number, events in enumerate(given_events):
        assert [event for event in ordered if event.partition == number] == events


@given(partitions)
def test_where_no_clock_runs_back_times_rise(seconds: list[list[int]]) -> None:
    ordered = in_order([logged(number, sorted(some)) for number, some in enumerate(seconds)])

    assert [event.recorded_at for event in ordered] == sorted(event.recorded_at for event in ordered)
