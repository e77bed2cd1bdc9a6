"""Up to which instant the input is known to be applied: what expiry waits for."""

from datetime import UTC, datetime, timedelta

from services.adapters.kafka.records import PartitionId
from services.adapters.ledger.sweep import InputPosition
from services.operations.expire import TIMESTAMP_DISORDER, applied_until

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
XP = PartitionId("learning.xp-earned", 0)
LESSONS = PartitionId("learning.lesson-completed", 0)


def position(partition: PartitionId, next_offset: int, last: datetime | None) -> InputPosition:
    return InputPosition(partition.topic, partition.partition, next_offset, last)


def test_an_input_that_is_applied_to_its_end_is_applied_up_to_now() -> None:
    positions = [position(XP, 10, NOW - 5 * HOUR), position(LESSONS, 3, NOW - HOUR)]
    assert applied_until(positions, {XP: 10, LESSONS: 3}, NOW) == NOW - TIMESTAMP_DISORDER


def test_a_partition_that_lags_holds_back_to_its_last_record() -> None:
    positions = [position(XP, 10, NOW - 5 * HOUR), position(LESSONS, 3, NOW - HOUR)]
    assert applied_until(positions, {XP: 11, LESSONS: 3}, NOW) == NOW - 5 * HOUR - TIMESTAMP_DISORDER


def test_a_partition_that_was_never_read_holds_back_everything() -> None:
    assert applied_until([position(XP, 10, NOW)], {XP: 10, LESSONS: 1}, NOW).year == 1


def test_an_empty_partition_holds_back_nothing() -> None:
    assert applied_until([position(XP, 10, NOW)], {XP: 10, LESSONS: 0}, NOW) == NOW - TIMESTAMP_DISORDER
