"""What the clock does to the ledger: whose missions are due, which assignments are over, which days of the log are old."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime

import msgspec

from services.missions.state import UserState, decode_state

from .connection import Connection, Pool
from .migrate import ensure_event_log_days
from .outbox import OutboxMessage, PartitionOf, insert_outbox
from .queries import queries
from .states import load_states

_SQL = queries("sweep")

LONG_AGO = datetime(1, 1, 3, tzinfo=UTC)
"""Before everything, with room to subtract from."""


@dataclass(frozen=True, slots=True)
class InputPosition:
    """How far one input partition has been applied."""

    topic: str
    partition: int
    next_offset: int
    last_record_at: datetime | None
    """Kafka timestamp of the newest record that was applied."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """An assignment whose time is over for good."""

    user_id: str
    mission_id: str
    starts_at: datetime
    assignment_id: str
    mission_version: int
    expires_at: datetime
    progress: Sequence[float]
    """Of each objective, if the user's state has forgotten it; else empty."""


class SweepTransaction:
    """The statements of one chunk of the sweep."""

    def __init__(self, connection: Connection, partition_of: PartitionOf) -> None:
        self._connection = connection
        self._partition_of = partition_of

    async def lock_overdue(self, before: datetime, limit: int, after: Overdue | None) -> list[Overdue]:
        """Locks up to `limit` open assignments with `expires_at <= before` that no other sweep has in hand, in order, above `after`."""
        place = (after.expires_at, after.user_id, after.mission_id) if after else (LONG_AGO, "", "")
        rows = await self._connection.fetch(_SQL["overdue_assignments"], before, limit, *place)
        return [
            Overdue(
                user_id=row["user_id"],
                mission_id=row["mission_id"],
                starts_at=row["starts_at"],
                assignment_id=row["assignment_id"],
                mission_version=row["mission_version"],
                expires_at=row["expires_at"],
                progress=msgspec.json.decode(row["progress"]) if row["progress"] else (),
            )
            for row in rows
        ]

    async def states(self, user_ids: Sequence[str]) -> dict[str, UserState]:
        """States of these users, unlocked: the progress of an ended assignment no longer changes."""
        return await load_states(self._connection, user_ids)

    async def end(self, ended: Sequence[tuple[Overdue, Sequence[float]]]) -> None:
        """Ends locked assignments, and keeps the progress that each had reached, objective by objective."""
        await self._connection.execute(
            _SQL["end_assignments"],
            [o.user_id for o, _ in ended],
            [o.mission_id for o, _ in ended],
            [o.starts_at for o, _ in ended],
            [msgspec.json.encode(progress).decode() for _, progress in ended],
        )

    async def publish(self, messages: Sequence[OutboxMessage]) -> None:
        """Puts messages into the outbox, in this order."""
        await insert_outbox(self._connection, messages, self._partition_of)


class SweepLedger:
    """What the scheduler asks of the ledger."""

    def __init__(self, pool: Pool, partition_of: PartitionOf) -> None:
        self._pool = pool
        self._partition_of = partition_of

    async def users_to_issue(self, now: datetime, seen_since: date, after: str, limit: int) -> list[str]:
        """Ids above `after`, in order, of users seen since a day whose newest daily period is over at `now`."""
        return [row[0] for row in await self._pool.fetch(_SQL["users_to_issue"], now, seen_since, after, limit)]

    async def users_to_claim_for(self, missions: Sequence[str], now: datetime, after: str, limit: int) -> list[str]:
        """Ids above `after`, in order, of users with a completed assignment of these missions whose grace is over at `now`."""
        rows = await self._pool.fetch(_SQL["users_to_claim_for"], list(missions), now, after, limit)
        return [row[0] for row in rows]

    async def forget_claim_answers(self, before: datetime) -> None:
        """Drops answers kept for an Idempotency-Key before that time; the grants stay."""
        await self._pool.execute(_SQL["forget_claim_answers"], before)

    async def all_users(self, after: str, limit: int) -> list[UserState]:
        """States of all users with ids above `after`, in order."""
        return [decode_state(row[1]) for row in await self._pool.fetch(_SQL["all_users"], after, limit)]

    async def input_positions(self) -> list[InputPosition]:
        """Every input partition that was ever applied."""
        return [InputPosition(*row) for row in await self._pool.fetch(_SQL["input_positions"])]

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SweepTransaction]:
        """One chunk of the sweep."""
        async with self._pool.acquire() as connection, connection.transaction():
            yield SweepTransaction(connection, self._partition_of)

    async def keep_event_log(self, days: Sequence[date], drop_before: date) -> list[str]:
        """Makes partitions for these UTC days and drops those of days before `drop_before`; returns what was dropped."""
        async with self._pool.acquire() as connection:
            await ensure_event_log_days(connection, list(days))
            return [row[0] for row in await connection.fetch(_SQL["drop_event_log_days"], drop_before)]
