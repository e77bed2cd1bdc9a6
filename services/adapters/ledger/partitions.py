"""The input partitions: which topic each account is of, which are stopped and why, what was lost, and letting them go on."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from .actions import By, record_action
from .connection import Connection, Pool
from .queries import queries
from .stops import StopReason

_SQL = queries("partitions")

Partition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a partition stands still, since when, and where."""

    topic: str
    partition: int
    reason: str
    detail: str
    since: datetime
    position: int

    @property
    def text(self) -> str:
        """What is wrong, and the command to go on."""
        return StopReason(self.reason).line(self.topic, self.partition, self.detail)

    @property
    def command(self) -> str:
        """The command that lets it go on."""
        return StopReason(self.reason).command(self.topic, self.partition)


@dataclass(frozen=True, slots=True)
class Account:
    """What a seek must know of a partition that was read before."""

    topic_id: UUID | None
    stop: Stop | None


@dataclass(frozen=True, slots=True)
class InputPartition:
    """How far a partition has been applied: the position, and how many offsets are accounted for up to it."""

    topic: str
    partition: int
    incarnation: int
    position: int
    accounted: int
    dead_letters: int
    lost: int
    updated_at: datetime
    stopped: str | None


@dataclass(frozen=True, slots=True)
class Restarted:
    """An account that was closed. `start` is where the new one begins; None when the topic has no such partition any more."""

    partition: int
    position: int
    start: int | None


class CannotResume(Exception):
    """The partition is not stopped, or would be stopped again at once."""


class PartitionTransaction:
    """What a seek changes, together or not at all."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def open(self, partition: Partition, start: int, topic_id: UUID | None) -> None:
        """Begins a partition's account, or notes the topic's id in one that does not know it yet."""
        await self._connection.execute(_SQL["open_account"], *partition, start, topic_id)

    async def stop(self, partition: Partition, position: int, reason: StopReason, detail: str) -> None:
        """Stops a partition, unless its position has moved from there."""
        await self._connection.execute(_SQL["stop"], *partition, reason, detail, position)

    async def note_loss(self, partition: Partition, position: int, start: int) -> None:
        """Notes that the records `[position, start)` are lost."""
        await self._connection.execute(_SQL["note_loss"], *partition, position, start)

    async def accept_losses(self, partition: Partition) -> int:
        """Moves the position behind the records that are noted as lost at it; returns how many they are."""
        return int(await self._connection.fetchval(_SQL["accept_losses"], *partition) or 0)


class PartitionStore:
    """The ledger's input partitions."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def stops(self) -> list[Stop]:
        """The partitions that are stopped. Cheap: asked every second."""
        return [Stop(*row) for row in await self._pool.fetch(_SQL["stops"])]

    async def listed(self) -> list[InputPartition]:
        """All partitions that were ever read."""
        return [InputPartition(*row) for row in await self._pool.fetch(_SQL["list"])]

    async def accounts(self, partitions: Sequence[Partition]) -> dict[Partition, Account]:
        """The accounts of these partitions; those never opened are absent."""
        rows = await self._pool.fetch(_SQL["accounts"], [t for t, _ in partitions], [p for _, p in partitions])
        return {
            (topic, partition): Account(topic_id, Stop(topic, partition, *stop) if stop[0] else None)
            for topic, partition, topic_id, *stop in rows
        }

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PartitionTransaction]:
        """Changes that a seek makes."""
        async with self._pool.acquire() as connection, connection.transaction():
            yield PartitionTransaction(connection)

    async def resume(self, topic: str, partition: int, by: By, *, accept: int = 0, accept_until: int = 0) -> Stop:
        """Lets a stopped partition go on from where it stands; returns what it was stopped for. Raises `CannotResume`.

        So many more bad records, and all before the offset `accept_until`, become dead letters without being counted. What is
        noted as lost at the position is passed over.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(_SQL["lock_stop"], topic, partition)
            if row is None:
                raise CannotResume(f"{topic}[{partition}] is not stopped")
            stop = Stop(*row)
            if StopReason(stop.reason).needs_restart:
                raise CannotResume(f"{topic}[{partition}] would be stopped again at once: {stop.text}")
            lost = await PartitionTransaction(connection).accept_losses((topic, partition))
            await connection.execute(_SQL["resume"], topic, partition)
            if accept or accept_until:
                await connection.execute(_SQL["accept"], topic, partition, accept, accept_until)
            told: Mapping[str, object] = {
                "topic": topic,
                "partition": partition,
                "position": stop.position,
                "stopped": stop.reason,
                "detail": stop.detail,
                "accept": accept,
                "accept_until": accept_until,
                "lost": lost,
            }
            await record_action(connection, "resume-partition", told, by)
        return stop

    async def restart(
        self, topic: str, starts: Mapping[int, int], topic_id: UUID | None, by: By, *, dry_run: bool = False
    ) -> list[Restarted]:
        """Closes the accounts of a topic that are of another one, or beyond their log's end, and opens new ones at `starts`.

        `starts` has where the log of each partition of today's topic begins. Accounts that fit are left alone.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            restarted = []
            for partition, position, known, stopped in await connection.fetch(_SQL["lock_topic"], topic):
                is_other = topic_id is not None and known is not None and known != topic_id
                if is_other or partition not in starts or (stopped and StopReason(stopped).needs_restart):
                    restarted.append(Restarted(partition, position, starts.get(partition)))
            if restarted and not dry_run:
                for account in restarted:
                    await _close(connection, topic, account, topic_id)
                told = {
                    "topic": topic,
                    "topic_id": str(topic_id),
                    "accounts": [[a.partition, a.position, a.start] for a in restarted],
                }
                await record_action(connection, "restart-topic", told, by)
        return restarted

    async def restart_output(self, topic: str, topic_id: UUID, by: By, *, dry_run: bool = False) -> list[int]:
        """Accepts that a topic out (without prefix) was made anew: the relay publishes to it from its beginning.

        Returns the partitions whose checkpoint was of another topic."""
        async with self._pool.acquire() as connection, connection.transaction():
            name = "other_output" if dry_run else "restart_output"
            partitions = sorted(row[0] for row in await connection.fetch(_SQL[name], topic, topic_id))
            if partitions and not dry_run:
                told = {"topic": topic, "topic_id": str(topic_id), "partitions": partitions}
                await record_action(connection, "restart-output-topic", told, by)
        return partitions


async def _close(connection: Connection, topic: str, account: Restarted, topic_id: UUID | None) -> None:
    await connection.execute(_SQL["close_account"], topic, account.partition)
    await connection.execute(_SQL["forget_brake"], topic, account.partition)
    if account.start is None:
        await connection.execute(_SQL["delete_account"], topic, account.partition)
    else:
        await connection.execute(_SQL["restart_account"], topic, account.partition, account.start, topic_id)
