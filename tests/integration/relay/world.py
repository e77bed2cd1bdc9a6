"""A ledger and topics of a test's own, what the test puts into the outbox, and what a consumer reads."""

import asyncio
import contextlib
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import get_args

import confluent_kafka
from msgspec import structs

from mission_events import TOPICS_OUT, Topic
from services.adapters.kafka.admin import ensure_topics
from services.adapters.kafka.errors import TopicsMissing
from services.adapters.kafka.producer import partition_for
from services.adapters.kafka.transactional import OutputTopics
from services.adapters.ledger.connection import Pool, open_pool
from services.adapters.ledger.outbox import OutboxMessage, insert_outbox
from services.adapters.ledger.relay_store import LANE_PLANNER_SETTINGS, RelayStore
from services.relay.publication import OnStep, Step, no_hook
from services.relay.relay import Relay

PARTITIONS = 4
PATIENCE_SECONDS = 60.0
COMPLETED = "missions.mission-completed"
GRANTED = "missions.reward-granted"
DEAD_LETTER = "missions.dead-letter"


@dataclass(frozen=True)
class WantedTopic:
    """A topic to be made."""

    name: str
    partitions: int
    config: dict[str, str]


@dataclass(frozen=True)
class Read:
    """A record as a consumer gets it; `topic` without prefix."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    @property
    def id(self) -> str:
        """The id by which consumers know it."""
        name = "dead_letter_id" if self.topic == DEAD_LETTER else "id"
        return next(value.decode() for header, value in self.headers if header == name and value is not None)


@dataclass(frozen=True)
class World:
    """One deployment: a migrated database and topics under a prefix."""

    dsn: str
    bootstrap: str
    prefix: str
    pool: Pool

    async def make_topics(self, topics: Sequence[Topic] = TOPICS_OUT, partitions: int = PARTITIONS) -> None:
        """Creates these topics."""
        wanted = [WantedTopic(self.prefix + t.name, partitions, t.config()) for t in topics]
        # A new topic is known to the brokers a moment later only.
        with contextlib.suppress(TopicsMissing):
            await ensure_topics(self.bootstrap, wanted)
        await until(lambda: self._are_there([topic.name for topic in wanted]))

    async def _are_there(self, names: Iterable[str]) -> bool:
        consumer = confluent_kafka.Consumer({"bootstrap.servers": self.bootstrap, "group.id": "none"})
        try:
            found = (await asyncio.to_thread(consumer.list_topics, timeout=30)).topics
            return all(name in found and found[name].error is None for name in names)
        finally:
            consumer.close()

    async def put(self, messages: Sequence[OutboxMessage]) -> None:
        """Puts messages into the outbox in one transaction, which does not wait for the disk, as the processor's do not."""
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute("set local synchronous_commit = off")
            await insert_outbox(connection, messages, lambda key: partition_for(key, PARTITIONS))

    async def break_locks(self) -> None:
        """Ends the connections that hold lanes' locks, as a host's end or a lost network does after a while."""
        await self.pool.execute(
            "select pg_terminate_backend(l.pid) from pg_locks l join pg_database d on d.oid = l.database "
            "where l.locktype = 'advisory' and d.datname = current_database()"
        )

    async def start_process(self, *options: str) -> asyncio.subprocess.Process:
        """A relay in a process of its own: `options` are those of `tests.integration.relay.program`."""
        command = [sys.executable, "-m", "tests.integration.relay.program", self.dsn, self.bootstrap, self.prefix]
        return await asyncio.create_subprocess_exec(*command, *options)

    async def holders(self) -> set[str]:
        """Application names of those that hold lanes' locks now."""
        rows = await self.pool.fetch(
            "select distinct a.application_name from pg_locks l join pg_stat_activity a using (pid) "
            "where l.locktype = 'advisory' and a.datname = current_database()"
        )
        return {row[0] for row in rows}

    async def waiting(self) -> int:
        """Messages in the outbox."""
        count: int = await self.pool.fetchval("select count(*) from outbox")
        return count

    async def found(self) -> int:
        """Ids that relays found published and that did not wait in the outbox."""
        count: int = await self.pool.fetchval("select count(*) from found_published")
        return count

    async def drained(self) -> None:
        """Waits until the outbox is empty."""

        async def is_empty() -> bool:
            return await self.waiting() == 0

        await until(is_empty)

    async def read(self) -> list[Read]:
        """All that a `read_committed` consumer of another make finds in the topics out, in the order of each partition."""
        return await asyncio.to_thread(_read_all, self.bootstrap, self.prefix)

    def topics(self) -> OutputTopics:
        """The topics as a relay takes them."""
        return OutputTopics(self.bootstrap, self.prefix, TOPICS_OUT)

    async def cut_off_at_every_step(self) -> None:
        """Runs one relay after the other, each ended without a drain as soon as one of its lanes comes to a step."""
        for step in get_args(Step):
            reached = asyncio.Event()

            async def on_step(now: Step, wanted: str = step, reached: asyncio.Event = reached) -> None:
                if now == wanted:
                    reached.set()
                    await asyncio.Event().wait()

            async with self.relay(on_step, cut_off=True):
                await reached.wait()

    @asynccontextmanager
    async def relay(self, on_step: OnStep = no_hook, *, cut_off: bool = False) -> AsyncIterator[Relay]:
        """A relay with connections of its own, at work while the block runs; `cut_off` ends it without a drain."""
        pool = await open_pool(
            self.dsn, size=PARTITIONS + 2, application=f"relay-{uuid.uuid4().hex[:8]}", planner=LANE_PLANNER_SETTINGS
        )
        relay = Relay(self.topics(), RelayStore(pool), PARTITIONS, on_step)
        stopping = asyncio.Event()
        running = asyncio.create_task(relay.run(stopping))
        try:
            yield relay
            if not cut_off:
                stopping.set()
                await running
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            await pool.close()


@asynccontextmanager
async def quiet_log_writer(world: World) -> AsyncIterator[None]:
    """Postgres brings nothing to disk by itself while the block runs: a crash takes back all that nobody waited for."""
    await world.pool.execute("alter system set wal_writer_delay = '10s'")
    await world.pool.execute("select pg_reload_conf()")
    try:
        yield
    finally:
        await world.pool.execute("alter system reset wal_writer_delay")
        await world.pool.execute("select pg_reload_conf()")


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Waits until `condition` is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not so within {PATIENCE_SECONDS:g} s")
        await asyncio.sleep(0.02)


def message(user: int, number: int, topic: str = COMPLETED) -> OutboxMessage:
    """A user's `number`-th message: id, key and payload follow from the arguments."""
    message_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{topic}/{user}/{number}"))
    return OutboxMessage(topic, message_id, f"user-{user}".encode(), f'{{"user":{user},"number":{number}}}'.encode())


def messages(users: int, each: int, start: int = 0) -> list[OutboxMessage]:
    """For each user `each` messages, users taking turns, over two topics."""
    return [
        message(user, number, GRANTED if number % 5 == 4 else COMPLETED)
        for number in range(start, start + each)
        for user in range(users)
    ]


def dead_letter(number: int, value: bytes | None, headers: str = "[]", key: bytes | None = None) -> OutboxMessage:
    """A dead letter with these bytes."""
    letter = message(0, number, DEAD_LETTER)
    return structs.replace(letter, key=key, payload=value, headers=headers)


def assert_once_and_in_order(found: Sequence[Read], put: Sequence[OutboxMessage]) -> None:
    """Each message was read exactly once, as it was put, and each key's messages of a topic in the order in which they were put."""
    counts = Counter(record.id for record in found)
    twice = {message_id: count for message_id, count in counts.items() if count > 1}
    assert not twice, f"read more than once: {twice}"
    assert counts.keys() == {m.message_id for m in put}
    by_id = {m.message_id: m for m in put}
    for record in found:
        m = by_id[record.id]
        assert (record.topic, record.key, record.value) == (m.topic, m.key, m.payload)
    for key in {(m.topic, m.key) for m in put}:
        wanted = [m.message_id for m in put if (m.topic, m.key) == key]
        assert [r.id for r in found if (r.topic, r.key) == key] == wanted


def _read_all(bootstrap: str, prefix: str) -> list[Read]:
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "not-used",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    left = {(prefix + t.name, p) for t in TOPICS_OUT for p in range(PARTITIONS)}
    consumer.assign([confluent_kafka.TopicPartition(topic, p, 0) for topic, p in sorted(left)])
    found = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while left:
            assert time.monotonic() < deadline, f"no end of {left}"
            record = consumer.poll(1.0)
            if record is None:
                continue
            if error := record.error():
                assert error.code() == confluent_kafka.KafkaError._PARTITION_EOF, error
                left.discard((record.topic(), record.partition()))
                continue
            found.append(_as_read(record, prefix))
    finally:
        consumer.close()
    return found


def _as_read(record: confluent_kafka.Message, prefix: str) -> Read:
    topic, partition, offset = record.topic(), record.partition(), record.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    received = record.headers() or []
    assert isinstance(received, list)
    headers = []
    for name, value in received:
        assert value is None or isinstance(value, bytes)
        headers.append((name, value))
    return Read(topic.removeprefix(prefix), partition, offset, record.key(), record.value(), tuple(headers))
