"""Kafka's logs in memory: offsets, transactions with fencing, and what a `read_committed` reader sees."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, ProducerFenced, RequestTimedOutError
from typing_extensions import override

from mission_events import TOPICS_OUT, Topic
from services.adapters.kafka import transactional
from services.adapters.kafka.transactional import OutputTopics, Published, TopicShape, TransactionalWriter

from .weather import Calm, Fate, Weather

Headers = tuple[tuple[str, bytes | None], ...]


class Outcome(Enum):
    """What became of the transaction that a record belongs to."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


@dataclass(eq=False)
class KafkaTransaction:
    """One transaction of a transactional id."""

    epoch: int
    outcome: Outcome = Outcome.OPEN
    records: list["LogRecord"] = field(default_factory=list)


@dataclass(slots=True)
class LogRecord:
    """A record where it lies. Without a transaction it was committed when it came."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    transaction: KafkaTransaction | None = None
    timestamp_type: int = 0


class MemoryKafka:
    """The broker. A log holds records, and None where a transaction's marker lies."""

    def __init__(self, weather: Weather | None = None) -> None:
        self.weather = weather or Calm()
        self.logs: defaultdict[tuple[str, int], list[LogRecord | None]] = defaultdict(list)
        self.is_up = True
        self.on_commit: Any = lambda records: None
        self._epochs: defaultdict[str, int] = defaultdict(int)
        self._open: dict[str, KafkaTransaction] = {}

    async def befall(self, call: str) -> Fate:
        """The fate of a call; a broker that is away fails them all."""
        fate = await self.weather.befall("kafka", call)
        return fate if self.is_up else Fate.FAILS

    def open_writer(self, transactional_id: str) -> int:
        """A new epoch: fences the predecessor and aborts what it left open."""
        self._epochs[transactional_id] += 1
        self.end(transactional_id, Outcome.ABORTED)
        return self._epochs[transactional_id]

    def check(self, transactional_id: str, epoch: int) -> None:
        """Raises ProducerFenced unless this is the newest epoch."""
        if self._epochs[transactional_id] != epoch:
            raise ProducerFenced

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        timestamp: int = 0,
        transactional_id: str | None = None,
        epoch: int = 0,
    ) -> int:
        """Writes a record; returns its offset."""
        log = self.logs[topic, partition]
        transaction = None
        if transactional_id is not None:
            transaction = self._open.setdefault(transactional_id, KafkaTransaction(epoch))
        record = LogRecord(topic, partition, len(log), timestamp, key, value, headers, transaction)
        if transaction is not None:
            transaction.records.append(record)
        log.append(record)
        return record.offset

    def end(self, transactional_id: str, outcome: Outcome) -> None:
        """Ends the open transaction, if there is one, with a marker in each partition that it wrote to."""
        transaction = self._open.pop(transactional_id, None)
        if transaction is not None:
            transaction.outcome = outcome
            for place in {(record.topic, record.partition): None for record in transaction.records}:
                self.logs[place].append(None)
            if outcome is Outcome.COMMITTED:
                self.on_commit(transaction.records)

    def stable_end(self, topic: str, partition: int) -> int:
        """Up to where a `read_committed` reader may read: before the first record of an open transaction."""
        for record in self.logs[topic, partition]:
            if record is not None and record.transaction is not None and record.transaction.outcome is Outcome.OPEN:
                return record.offset
        return len(self.logs[topic, partition])

    def committed(self, topic: str, partition: int, start: int = 0) -> list[LogRecord]:
        """What a `read_committed` reader finds from an offset on."""
        end = self.stable_end(topic, partition)
        return [
            record
            for record in self.logs[topic, partition][start:end]
            if record is not None and (record.transaction is None or record.transaction.outcome is Outcome.COMMITTED)
        ]


class _Batch:
    """What the producer's `create_batch` makes."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes | None, bytes | None, Headers]] = []

    def record_count(self) -> int:
        return len(self.records)

    def append(self, *, timestamp: None, key: bytes | None, value: bytes | None, headers: Sequence[Any]) -> None:
        self.records.append((key, value, tuple(headers)))


@dataclass(frozen=True)
class _Metadata:
    offset: int


class MemoryProducer:
    """aiokafka's producer with a transactional id, as far as the writer uses it."""

    def __init__(self, broker: MemoryKafka, transactional_id: str) -> None:
        self._broker = broker
        self._id = transactional_id
        self._epoch = 0

    async def start(self) -> None:
        """Takes over the transactional id."""
        if await self._broker.befall("open") is Fate.FAILS:
            raise KafkaConnectionError("no broker answers")
        self._epoch = self._broker.open_writer(self._id)

    async def begin_transaction(self) -> None:
        """The broker hears of it with the first record only."""

    def create_batch(self) -> _Batch:
        """An empty batch."""
        return _Batch()

    async def send_batch(self, batch: _Batch, topic: str, *, partition: int) -> "asyncio.Future[_Metadata]":
        """Writes a batch; what comes of it is in the future."""
        answer: asyncio.Future[_Metadata] = asyncio.get_running_loop().create_future()
        fate = await self._broker.befall("send")
        try:
            if fate is Fate.FAILS:
                raise KafkaConnectionError("no broker answers")
            self._broker.check(self._id, self._epoch)
            offsets = [
                self._broker.append(topic, partition, *record, transactional_id=self._id, epoch=self._epoch)
                for record in batch.records
            ]
            if fate is Fate.ANSWER_LOST:
                raise RequestTimedOutError
        except Exception as error:  # noqa: BLE001 - handed on
            answer.set_exception(error)
        else:
            answer.set_result(_Metadata(offsets[0]))
        return answer

    async def commit_transaction(self) -> None:
        """Commits what was sent."""
        fate = await self._broker.befall("commit")
        if fate is Fate.FAILS:
            raise KafkaConnectionError("no broker answers")
        self._broker.check(self._id, self._epoch)
        self._broker.end(self._id, Outcome.COMMITTED)
        if fate is Fate.ANSWER_LOST:
            raise RequestTimedOutError

    async def abort_transaction(self) -> None:
        """Aborts what was sent."""
        self._broker.check(self._id, self._epoch)
        self._broker.end(self._id, Outcome.ABORTED)


class _Reader:
    """aiokafka's consumer, as far as a scan uses it: `read_committed`, assigned by hand."""

    def __init__(self, broker: MemoryKafka, since: Mapping[TopicPartition, int]) -> None:
        self._broker = broker
        self._at = {top: min(offset, len(broker.logs[top.topic, top.partition])) for top, offset in since.items()}
        self._ends: dict[TopicPartition, int] = {}

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[LogRecord]]:
        if await self._broker.befall("fetch") is Fate.FAILS:
            raise KafkaConnectionError("no broker answers")
        found = {}
        for top, start in self._at.items():
            stable = self._broker.stable_end(top.topic, top.partition)
            records = self._broker.committed(top.topic, top.partition, start)[:max_records]
            self._at[top] = records[-1].offset + 1 if len(records) == max_records else stable
            self._ends[top] = len(self._broker.logs[top.topic, top.partition])
            if records:
                found[top] = records
        if not found:
            await asyncio.sleep(timeout_ms / 1000)
        return found

    async def position(self, top: TopicPartition) -> int:
        return self._at[top]

    def highwater(self, top: TopicPartition) -> int | None:
        return self._ends.get(top)


class MemoryTopics(OutputTopics):
    """The topics out, on a broker in memory. Writer and scan are the adapter's own."""

    def __init__(self, broker: MemoryKafka, partitions: int, topics: Sequence[Topic] = TOPICS_OUT) -> None:
        super().__init__("memory", "", topics)
        self._broker = broker
        self._shapes = {topic.name: TopicShape(partitions, topic.max_message_bytes) for topic in topics}

    @override
    async def shapes(self) -> dict[str, TopicShape]:
        return self._shapes

    @override
    @asynccontextmanager
    async def writer(self, partition: int) -> AsyncIterator[TransactionalWriter]:
        producer: Any = MemoryProducer(self._broker, self.transactional_id(partition))
        with transactional._failures_of("open a transactional writer"):
            await producer.start()
        try:
            yield TransactionalWriter(producer, "", partition, self._shapes)
        except GeneratorExit:
            raise  # killed: the transaction stays open until the next writer ends it
        except BaseException:
            with contextlib.suppress(ProducerFenced):
                await producer.abort_transaction()
            raise

    @override
    async def published(
        self, partitions: Mapping[str, int], since: Mapping[str, int]
    ) -> AsyncGenerator[Published, None]:
        tops = {TopicPartition(name, partitions[name]): name for name in since}
        reader: Any = _Reader(self._broker, {top: since[name] for top, name in tops.items()})
        with transactional._failures_of("show what is published"):
            async with aclosing(transactional._scan(reader, tops)) as pieces:
                async for piece in pieces:
                    yield piece
