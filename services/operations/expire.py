"""Ends assignments whose time is over for good: after the lateness bound, and after everything that could still count was applied."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from time import perf_counter

from services.adapters.kafka.records import PartitionId
from services.adapters.ledger.outbox import message_of
from services.adapters.ledger.sweep import LONG_AGO, InputPosition, Overdue, SweepLedger
from services.missions.announcements import expired
from services.missions.periods import LATENESS_BOUND

from .catalogue import LiveCatalogue

CHUNK_ASSIGNMENTS = 2000
"""Assignments in one transaction: rows stay locked for a fraction of a second."""

REST_SHARE = 0.5
"""After each chunk the sweep rests for this share of the time that it took: the processor comes first, nobody waits for the sweep."""

TIMESTAMP_DISORDER = timedelta(minutes=5)
"""Producers set record timestamps by their own clocks: one partition's may run back by this much."""

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
    last: Overdue | None = None
    while True:
        started = perf_counter()
        async with ledger.transaction() as transaction:
            overdue = await transaction.lock_overdue(before, CHUNK_ASSIGNMENTS, last)
            if not overdue:
                return total
            last = overdue[-1]
            states = await transaction.states(sorted({o.user_id for o in overdue}))
            progress_of = {
                assignment.assignment_id: [objective.progress for objective in assignment.objectives]
                for state in states.values()
                for assignment in state.assignments
            }
            ended = [(o, progress_of.get(o.assignment_id, o.progress)) for o in overdue]
            await transaction.end(ended)
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
        await asyncio.sleep(REST_SHARE * (perf_counter() - started))
