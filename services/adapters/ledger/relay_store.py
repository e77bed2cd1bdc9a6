"""What the relay asks of the ledger: a lock for each output partition, the messages that wait there, and how far it has published."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from .connection import Connection, Pool, Row
from .headers import headers_of
from .queries import queries

_SQL = queries("relay")

LOCK_CLASS = 0x4D52
"""First half of the advisory lock's key ("MR"); the second half is the partition. Nothing else here locks by two numbers."""

PENDING_COUNTED_MAX = 100_000
"""The backlog is counted up to here."""

LANE_IDLE_SECONDS = 45.0
"""A lane that asks nothing for so long is frozen (a stopped process, a paused machine), and Postgres ends its session: its lock
is free, and another relay goes on. An idle lane asks several times a second; longest silent is one that opens its writer, 40 s
on a broker that hardly answers. One that wakes up afterwards is fenced."""

FOUND_KEPT = timedelta(days=35)
"""For how long ids found published are kept: as long as the event log keeps events that could be applied again."""

LANE_PLANNER_SETTINGS = {"enable_seqscan": "off", "enable_bitmapscan": "off"}
"""The outbox is nearly empty or very full, and its statistics are always of another moment: walk its index, whatever they say."""


class CheckpointMoved(Exception):
    """A checkpoint is not where this lane left it: another relay was at work, or the ledger went back to an earlier state."""


class ConnectionLost(Exception):
    """A lane's connection broke, and its lock is gone with it. Trying again with a new one may help."""


@dataclass(frozen=True, slots=True)
class PendingMessage:
    """One row of the outbox. `topic` has no prefix; `headers` are the stored ones, None where there are none. `is_published`: it
    was found in Kafka before it came into the outbox."""

    seq: int
    message_id: str
    topic: str
    key: bytes | None
    payload: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] | None
    is_published: bool


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in the outbox: how many messages (at most `PENDING_COUNTED_MAX`), and when the oldest was put in."""

    pending: int
    oldest: datetime | None


class LaneLedger:
    """The ledger for the relay that holds one partition's lock, over the one connection that holds it.

    When that connection breaks the lock is gone, and every call here fails: nothing is written without the lock.
    """

    def __init__(self, connection: Connection, partition: int) -> None:
        self._connection = connection
        self._partition = partition

    async def checkpoints(self, topics: Sequence[str]) -> dict[str, int]:
        """For each topic the offset up to which everything of ours is marked; 0 for a topic that is new.

        Also forgets what was found published longer than `FOUND_KEPT` ago.
        """
        await self._connection.execute(_SQL["forget_found"], FOUND_KEPT)
        await self._connection.execute(_SQL["open_checkpoints"], list(topics), self._partition)
        rows = await self._connection.fetch(_SQL["checkpoints"], list(topics), self._partition)
        return {row[0]: row[1] for row in rows}

    async def other_topics(self, topic_ids: Mapping[str, UUID]) -> list[str]:
        """Those of these topics whose checkpoint is of a topic with another id; checkpoints that know none learn theirs."""
        columns = (list(topic_ids), self._partition, list(topic_ids.values()))
        await self._connection.execute(_SQL["open_checkpoints"], list(topic_ids), self._partition)
        await self._connection.execute(_SQL["bind_topics"], *columns)
        return [row[0] for row in await self._connection.fetch(_SQL["other_topics"], *columns)]

    async def pending(self, topics: Sequence[str], limit: int, byte_limit: int) -> list[PendingMessage]:
        """The first messages that wait for one of these topics, in order; at least one if there are any."""
        rows = await self._connection.fetch(_SQL["pending"], self._partition, list(topics), limit, byte_limit)
        return [_message(row) for row in rows]

    async def make_durable(self, checkpoints: Mapping[str, int]) -> None:
        """Brings all that this lane has read to disk. Raises `CheckpointMoved`, and then nothing may be published.

        Batches commit without waiting for the disk, so a message may be read here that a crash of Postgres would take
        back; published, it would speak of something that never was. Postgres writes its log in order, and this
        transaction writes to it and waits: when it returns, every commit that it could see before is on disk too (and on
        the standbys that commits wait for). A transaction that only reads would not wait, hence the row that stays as it is.
        """
        await self._advance({topic: (offset, offset) for topic, offset in checkpoints.items()})

    async def mark_published(self, seqs: Sequence[int], advance: Mapping[str, tuple[int, int]]) -> None:
        """Removes published messages and moves the checkpoints, `{topic: (from, to)}`, together. Raises `CheckpointMoved`."""
        async with self._connection.transaction():
            await self._advance(advance)
            await self._connection.execute(_SQL["delete_published"], self._partition, list(seqs))

    async def mark_found(self, message_ids: Sequence[str], advance: Mapping[str, tuple[int, int]]) -> int:
        """As `mark_published`, for messages found in Kafka by their id. Returns how many did wait in the outbox.

        The ids of the others are kept. They are there when Postgres has lost its newest commits (a standby that took over, a
        restored backup): the events that led to those messages are applied again, and the same messages come into the
        outbox again, with the same ids, which `pending` then shows as published.
        """
        async with self._connection.transaction():
            await self._advance(advance)
            rows = await self._connection.fetch(_SQL["delete_found"], self._partition, list(message_ids))
            waited = {row[0] for row in rows}
            if others := [each for each in message_ids if each not in waited]:
                await self._connection.execute(_SQL["keep_found"], others)
        return len(waited)

    async def _advance(self, advance: Mapping[str, tuple[int, int]]) -> None:
        if not advance:
            return
        rows = await self._connection.fetch(
            _SQL["advance_checkpoints"],
            list(advance),
            self._partition,
            [before for before, _ in advance.values()],
            [after for _, after in advance.values()],
        )
        if moved := advance.keys() - {row[0] for row in rows}:
            raise CheckpointMoved(
                f"relay_checkpoint of partition {self._partition} is not where this relay left it, for {', '.join(sorted(moved))}: "
                "another relay was at work, or Postgres went back to an earlier state. The lane starts again from what Kafka holds."
            )


class RelayStore:
    """The outbox of one ledger."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def lane(self, partition: int) -> AsyncIterator[LaneLedger | None]:
        """Takes the partition's lock and keeps it, with one connection, while the block runs; None if another relay has it.

        It asks rather than waits: a statement that waits for hours would hold back vacuum all the while.
        The lock belongs to the session, so a connection pooler between must not share sessions among clients.
        """
        async with self._pool.acquire() as connection:
            # The pool takes both back when the connection returns to it.
            await connection.fetch(_SQL["begin_lane"], str(int(LANE_IDLE_SECONDS * 1000)))
            if await connection.fetchval(_SQL["try_lock"], LOCK_CLASS, partition):
                try:
                    yield LaneLedger(connection, partition)
                # So the driver says, at times, that a connection broke under a statement.
                except asyncpg.InternalClientError as error:
                    raise ConnectionLost(f"the connection of output partition {partition} broke: {error}") from error
            else:
                yield None

    async def backlog(self, partitions: int) -> Backlog:
        """What waits in the outbox of all partitions."""
        row = await self._pool.fetchrow(_SQL["backlog"], partitions, PENDING_COUNTED_MAX)
        return Backlog(row["pending"], row["oldest"]) if row else Backlog(0, None)

    async def waits_for(self, topic: str) -> bool:
        """Whether a message for this topic waits in the outbox."""
        return bool(await self._pool.fetchval(_SQL["waits_for"], topic))

    async def highest_partition(self) -> int | None:
        """The highest partition that a message waits for; None when none waits."""
        partition: int | None = await self._pool.fetchval(_SQL["highest_partition"])
        return partition


def _message(row: Row) -> PendingMessage:
    seq, message_id, topic, key, payload, headers, is_published = row
    return PendingMessage(
        seq, message_id, topic, key, payload, None if headers is None else headers_of(headers), is_published
    )
