"""Ends assignments whose time is over for good: after the lateness bound, and after everything that could still count was applied."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

from services.adapters.kafka.records import PartitionId
from services.adapters.ledger.outbox import message_of
from services.adapters.ledger.sweep import InputPosition, SweepLedger
from services.missions.announcements import expired
from services.missions.periods import LATENESS_BOUND

from .catalogue import LiveCatalogue

CHUNK_ASSIGNMENTS = 5000
"""Assignments in one transaction: rows stay locked for a fraction of a second."""

TIMESTAMP_DISORDER = timedelta(minutes=5)
"""Producers set record timestamps by their own clocks: one partition's may run back by this much."""

LONG_AGO = datetime(1, 1, 3, tzinfo=UTC)
"""Before everything, with room to subtract from."""

EndOffsets = Callable[[], Awaitable[Mapping[PartitionId, int]]]
"""Reads where each input partition's log ends now."""


def applied_until(positions: list[InputPosition], ends: Mapping[PartitionId, int], now: datetime) -> datetime:
    """Every record with a timestamp before this instant has been applied.

    A partition applied to its end has nothing older than `now` to come; of another we know what was applied last.
    """
    at = {PartitionId(p.topic, p.partition): p for p in positions}
    until = now
    for partition, end in ends.items():
        position = at.get(partition)
        if end == 0 or (position is not None and position.next_offset >= end):
            continue
        if position is None or position.last_record_at is None:
            return LONG_AGO
        until = min(until, position.last_record_at)
    return until - TIMESTAMP_DISORDER


async def expire_overdue(
    ledger: SweepLedger,
    catalogue: LiveCatalogue,
    end_offsets: EndOffsets,
    now: datetime,
    *,
    progress: Callable[[int], None] = lambda assignments: None,
) -> int:
    """Marks what is over as EXPIRED and publishes it; returns how many. Safe to run twice and in several copies.

    While the processor lags, only what it can no longer complete is ended. `progress` is told how many after each chunk.
    """
    ends = await end_offsets()
    positions = await ledger.input_positions()
    before = min(now, applied_until(positions, ends, now)) - LATENESS_BOUND
    total = 0
    while True:
        async with ledger.transaction() as transaction:
            overdue = await transaction.expire(before, CHUNK_ASSIGNMENTS)
            if not overdue:
                return total
            states = await transaction.states(sorted({o.user_id for o in overdue}))
            progress_of = {
                assignment.assignment_id: [objective.progress for objective in assignment.objectives]
                for state in states.values()
                for assignment in state.assignments
            }
            ended = [(o, progress_of.get(o.assignment_id, [])) for o in overdue]
            await transaction.write_progress(ended)
            await transaction.publish(
                [
                    message_of(
                        expired(
                            o.user_id,
                            assignment_id=o.assignment_id,
                            mission_id=o.mission_id,
                            mission_version=o.mission_version,
                            expired_at=o.expires_at,
                            progress=reached,
                            catalogue=catalogue.current(),
                        )
                    )
                    for o, reached in ended
                ]
            )
        total += len(overdue)
        progress(total)
