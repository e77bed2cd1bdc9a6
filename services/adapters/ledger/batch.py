"""One transaction for batches of input partitions: positions, event log, users, outbox and dead letters move together or not at all."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from typing import Any

import asyncpg
import msgspec

from mission_events import DeadLetter, Event
from mission_events.times import record_time
from services.missions.profile import Completed
from services.missions.state import UserState

from .columns import numbers, texts
from .connection import Connection, Pool
from .headers import headers_json
from .migrate import ensure_event_log_days
from .outbox import PartitionOf
from .queries import queries
from .records import EventKey, write_records
from .states import load_states
from .writer import UserWriter

_SQL = queries("batch")

EVENT_LOG = (
    "day", "source", "event_id", "user_id", "event_type", "event_time", "recorded_at", "topic", "partition", "offset", "data",
)  # fmt: skip

COPY_ROWS_MAX = 5000
"""Rows in one copy: to make them and hand them to the driver keeps everything else waiting for some 30 ms."""

PartitionKey = tuple[str, int]
"""(topic, partition); a `PartitionId` is one."""


@dataclass(slots=True)
class Tally:
    """What became of a batch's offsets; the sum is how far the position moves."""

    applied: int = 0
    unmatched: int = 0
    duplicate: int = 0
    late: int = 0
    dead_letter: int = 0
    unknown: int = 0
    skipped: int = 0

    @property
    def total(self) -> int:
        """Offsets accounted for."""
        return (
            self.applied + self.unmatched + self.duplicate + self.late + self.dead_letter + self.unknown + self.skipped
        )


class LoggedEvent(msgspec.Struct, frozen=True, gc=False):
    """An accepted event with where and when the log recorded it."""

    event: Event
    topic: str
    partition: int
    offset: int
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class BrakeState:
    """What the brake has counted of one partition; see `services/processor/brake.py`."""

    run: int = 0
    run_end: int = 0
    block: int = 0
    block_bad: int = 0
    accept_left: int = 0
    accept_until: int = 0


@dataclass(frozen=True, slots=True)
class LetterAccount:
    """Which account of its partition a batch belongs to, and what the brake has counted."""

    incarnation: int
    brake: BrakeState


@dataclass(frozen=True, slots=True)
class Advance:
    """How far one partition moves, what became of the offsets on the way, and its newest record's timestamp."""

    partition: PartitionKey
    expected: int
    to: int
    tally: Tally
    last_record_at: datetime


class BatchTransaction(UserWriter):
    """The statements of batches, inside a transaction that the caller holds open."""

    def of(self, partition: PartitionKey) -> "PartitionAccount":
        """The statements about one partition, in this transaction."""
        return PartitionAccount(self._connection, partition)

    async def lock_positions(self, partitions: Sequence[PartitionKey]) -> dict[PartitionKey, int]:
        """Next offsets of these partitions, locked until the transaction ends; those never opened are absent."""
        columns = texts([topic for topic, _ in partitions]), numbers([number for _, number in partitions])
        rows = await self._connection.fetch(_SQL["lock_positions"], *columns)
        return {(row[0], row[1]): row[2] for row in rows}

    async def open_position(self, partition: PartitionKey, first_offset: int) -> int | None:
        """Begins a partition's account; returns its next offset, which is another worker's when that was first.

        This transaction waits for the disk. If a crash could take the beginning back, the worker that went on behind it would
        find no account and begin one there, and what lay before would be lost.
        """
        await self._connection.execute(_SQL["commit_on_disk"])
        await self._connection.execute(_SQL["open_position"], *partition, first_offset)
        return (await self.lock_positions([partition])).get(partition)

    async def advance_positions(self, advances: Sequence[Advance]) -> bool:
        """Moves positions by compare-and-set; False when one of them is not where it was expected, and then take all back."""
        tallies = [each.tally for each in advances]
        moved = await self._connection.fetch(
            _SQL["advance_positions"],
            texts([each.partition[0] for each in advances]),
            numbers([each.partition[1] for each in advances]),
            numbers([each.expected for each in advances]),
            numbers([each.to for each in advances]),
            numbers([tally.applied for tally in tallies]),
            numbers([tally.unmatched for tally in tallies]),
            numbers([tally.duplicate for tally in tallies]),
            numbers([tally.late for tally in tallies]),
            numbers([tally.dead_letter for tally in tallies]),
            numbers([tally.unknown for tally in tallies]),
            numbers([tally.skipped for tally in tallies]),
            [each.last_record_at for each in advances],
        )
        return len(moved) == len(advances)

    async def erasure_mark(self) -> int:
        """A number that every erasure changes. Ask once the positions are locked: an erasure that comes later waits for their
        transaction."""
        return int(await self._connection.fetchval(_SQL["erasure_mark"]))

    async def erased_users(self) -> set[str]:
        """All users who were erased."""
        return {row[0] for row in await self._connection.fetch(_SQL["erased_users"])}

    async def log_events(self, events: Sequence[LoggedEvent]) -> Sequence[LoggedEvent]:
        """Writes the events to the event log and returns those that were not in it yet, in their order.

        They are copied in, which costs half of what an insert does that looks for each one whether it is there. If one is, the
        copy is taken back and the insert made.
        """
        first: dict[tuple[Any, ...], LoggedEvent] = {}
        for logged in events:
            event = logged.event
            first.setdefault((event.time.date(), event.source, event.id), logged)
        if not first:
            return []
        unique = list(first.values()) if len(first) < len(events) else events
        try:
            async with self.savepoint():
                left = iter(first.items())
                while some := list(islice(left, COPY_ROWS_MAX)):
                    # One after the other as the driver takes them: while a row is made and taken it is in the cache.
                    rows = (
                        (*key, e.event.subject, e.event.type, e.event.time, e.recorded_at, e.topic, e.partition, e.offset, e.event.raw_data)
                        for key, e in some
                    )  # fmt: skip
                    await self._connection.copy_records_to_table("event_log", records=rows, columns=EVENT_LOG)
        except asyncpg.UniqueViolationError:
            return await self._log_unknown(unique)
        return unique

    async def _log_unknown(self, logged: Sequence[LoggedEvent]) -> Sequence[LoggedEvent]:
        events = [each.event for each in logged]
        found = await self._connection.fetch(
            _SQL["log_events"],
            texts([event.source for event in events]),
            texts([event.id for event in events]),
            texts([event.subject for event in events]),
            texts([event.type for event in events]),
            [event.time for event in events],
            [each.recorded_at for each in logged],
            texts([each.topic for each in logged]),
            numbers([each.partition for each in logged]),
            numbers([each.offset for each in logged]),
            texts([event.raw_data for event in events]),
        )
        new = {tuple(row) for row in found}
        return [each for each in logged if (each.topic, each.partition, each.offset) in new]

    async def write_records(self, events: Sequence[LoggedEvent]) -> Mapping[EventKey, Completed]:
        """Adds new events to the records of what users have earned and learnt; call it once, before users are saved.

        Returns which of them completed a chapter or a unit for the first time."""
        return await write_records(self._connection, events)


class PartitionAccount:
    """The statements about one partition, inside a transaction that has locked its position."""

    def __init__(self, connection: Connection, partition: PartitionKey) -> None:
        self._connection = connection
        self._partition = partition

    async def letter_account(self) -> LetterAccount:
        """What must be known to keep bad records. The position must have been opened."""
        row = await self._connection.fetchrow(_SQL["letter_account"], *self._partition)
        assert row is not None  # noqa: S101 - its row is locked
        incarnation, *brake = row
        return LetterAccount(incarnation, BrakeState(*brake) if brake[0] is not None else BrakeState())

    async def return_letters(
        self, incarnation: int, copies: Sequence[tuple[DeadLetter, tuple[int, int, int]]]
    ) -> set[int]:
        """Writes copies of letters, each with (partition, offset, incarnation) of its letter, into their histories.

        Returns the offsets of those that are copies indeed."""
        letters = [letter for letter, _ in copies]
        rows = await self._connection.fetch(
            _SQL["return_dead_letters"],
            *self._partition,
            incarnation,
            [d.offset for d in letters],
            [d.reason for d in letters],
            [d.detail for d in letters],
            [d.key for d in letters],
            [d.value for d in letters],
            [partition for _, (partition, _, _) in copies],
            [offset for _, (_, offset, _) in copies],
            [number for _, (_, _, number) in copies],
        )
        return {row[0] for row in rows}

    async def dead_letters(self, incarnation: int, letters: Sequence[DeadLetter]) -> None:
        """Keeps records that can never be applied."""
        if letters:
            await self._connection.execute(
                _SQL["insert_dead_letters"],
                *self._partition,
                incarnation,
                [d.offset for d in letters],
                [d.reason for d in letters],
                [d.detail for d in letters],
                [record_time(d.timestamp) for d in letters],
                [d.key for d in letters],
                [d.value for d in letters],
                [headers_json(d.headers) for d in letters],
            )

    async def save_brake(self, state: BrakeState) -> None:
        """Keeps what the brake has counted, beside the position that it has counted to."""
        await self._connection.execute(
            _SQL["save_brake"], *self._partition,
            state.run, state.run_end, state.block, state.block_bad, state.accept_left, state.accept_until,
        )  # fmt: skip

    async def stop_partition(self, reason: str, detail: str, position: int) -> None:
        """Marks the partition as stopped, unless its position has moved from there, or it is stopped already."""
        await self._connection.execute(_SQL["stop_partition"], *self._partition, reason, detail, position)


class BatchLedger:
    """What the processor asks of the ledger."""

    def __init__(self, pool: Pool, partition_of: PartitionOf) -> None:
        self._pool = pool
        self._partition_of = partition_of

    async def positions(self, partitions: Sequence[PartitionKey]) -> dict[PartitionKey, int]:
        """Next offsets of these partitions; those never opened are absent."""
        rows = await self._pool.fetch(_SQL["positions"], [t for t, _ in partitions], [p for _, p in partitions])
        return {(row[0], row[1]): row[2] for row in rows}

    async def batch_starts(self, partitions: Sequence[PartitionKey]) -> dict[PartitionKey, int]:
        """Where the last applied batch of each of these partitions began; those of which nothing was applied are absent."""
        rows = await self._pool.fetch(_SQL["batch_starts"], [t for t, _ in partitions], [p for _, p in partitions])
        return {(row[0], row[1]): row[2] for row in rows}

    async def settle(self, positions: Collection[tuple[PartitionKey, int]]) -> None:
        """Notes that nothing is left to do about what is before these positions; one that has moved since is left as it is."""
        columns = [t for (t, _), _ in positions], [p for (_, p), _ in positions], [offset for _, offset in positions]
        await self._pool.execute(_SQL["settle_positions"], *columns)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[BatchTransaction]:
        """One batch, or several. The commit does not wait for the disk: what a crash of Postgres takes back, it takes back together
        with the positions, and Kafka delivers it again."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["commit_without_waiting"])
            yield BatchTransaction(connection, self._partition_of)

    async def load_users(self, user_ids: Sequence[str]) -> dict[str, UserState]:
        """States of these users as the ledger has them now."""
        return await load_states(self._pool, user_ids)

    async def ensure_days(self, days: Sequence[date]) -> None:
        """Makes event log partitions for these UTC days."""
        async with self._pool.acquire() as connection:
            await ensure_event_log_days(connection, list(days))


def lacks_event_log_day(error: BaseException) -> bool:
    """Whether a statement failed because the event log has no partition for an event's day."""
    return isinstance(error, asyncpg.CheckViolationError) and "no partition of relation" in str(error)
