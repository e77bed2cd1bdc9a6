"""The relay's side of Kafka: a writer that publishes in transactions and fences its predecessor, and a reader of what is published."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    IllegalOperation,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
)

from mission_events import Topic
from mission_events.dead_letter import PREFIX as DEAD_LETTER_PREFIX

from .access import why_unreachable
from .acls import RELAY_IDS
from .clients import close_admin, close_consumer, close_producer, end_transactions_once, look_at, pace
from .errors import PublisherFenced, PublishFailed, TopicChanged, TopicsMissing
from .topic_ids import identities, topic_ids

DEAD_LETTER_TOPIC = "missions.dead-letter"
ID = "id"
DEAD_LETTER_ID = DEAD_LETTER_PREFIX + "id"
_LIMIT = "max.message.bytes"

ANSWER_SECONDS = 10.0
"""For each step of a transaction. Beyond it nobody knows what became of the step, and the writer is given up.
Far below the client's own request timeout, after which it would ask again while the first try may still be under way."""

REQUEST_SECONDS = 40.0

TRANSACTION_SECONDS = 30.0
"""The broker aborts a transaction that is open for longer. Above two steps' time; short, because readers wait for it."""

OPEN_SECONDS = 20.0
"""For opening a writer: long enough for the broker to end the predecessor's transaction first."""

SCAN_SILENCE_SECONDS = 20.0
"""A scan that gets no further for this long is stuck."""

BATCH_BYTES_MAX = 256 * 1024
"""Of one batch on the wire: few requests for many messages, and far below what any topic takes."""

SCAN_RECORDS_MAX = 1000
"""Records in one piece of a scan; each piece is one transaction in the ledger."""

BATCH_OVERHEAD_BYTES = 61
RECORD_OVERHEAD_BYTES = 36
"""The most that a record needs beyond its key, value and headers: lengths, timestamp, offset, counts."""
HEADER_OVERHEAD_BYTES = 10


class TooLarge(PublishFailed):
    """A message is larger than `topic` (without prefix) takes; nothing of its transaction was published."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"a message is larger than topic {topic} takes (max.message.bytes)")
        self.topic = topic


def id_header(topic: str) -> str:
    """The header that holds a message's id, in a topic named without prefix.

    A dead letter keeps the headers of the record that it was, and one of those may be called `id`; names with our prefix
    it cannot have.
    """
    return DEAD_LETTER_ID if topic == DEAD_LETTER_TOPIC else ID


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One message to publish. `topic` has no prefix; `headers` are complete."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]

    def bytes_at_most(self) -> int:
        """The most that it needs in a batch."""
        names = sum(len(name.encode()) + len(value or b"") + HEADER_OVERHEAD_BYTES for name, value in self.headers)
        return RECORD_OVERHEAD_BYTES + len(self.key or b"") + len(self.value or b"") + names


@dataclass(frozen=True, slots=True)
class TopicShape:
    """What Kafka says about a topic: its number of partitions, and the largest batch that it takes, in bytes."""

    partitions: int
    max_message_bytes: int
    topic_id: UUID | None = None
    """None where the broker knows no ids."""

    def partition_for(self, output_partition: int) -> int:
        """Where messages of an output partition go. Topics out have as many partitions, so it is the same number; a topic in
        that we publish to may have another count, and shares its partitions among ours when it has fewer."""
        return output_partition % self.partitions


@dataclass(frozen=True, slots=True)
class Published:
    """A piece of a scan: the ids of our messages in `topic` (without prefix), and the offset behind it."""

    topic: str
    message_ids: list[str]
    next_offset: int


@dataclass(frozen=True, slots=True)
class _Sent:
    topic: str
    future: Any
    count: int


class TransactionalWriter:
    """Publishes what belongs to one output partition. After any `PublishFailed` it is of no use any more."""

    def __init__(
        self, producer: AIOKafkaProducer, prefix: str, partition: int, shapes: Mapping[str, TopicShape]
    ) -> None:
        self._producer = producer
        self._prefix = prefix
        self.partitions: Mapping[str, int] = {name: shape.partition_for(partition) for name, shape in shapes.items()}
        """For each topic (without prefix) the partition that is written to."""
        self.limits: Mapping[str, int] = {name: shape.max_message_bytes for name, shape in shapes.items()}
        """For each topic (without prefix) the largest batch that it takes, in bytes."""
        self.topic_ids: Mapping[str, UUID] = {
            name: shape.topic_id for name, shape in shapes.items() if shape.topic_id is not None
        }
        """For each topic (without prefix) its id, where the broker knows ids."""
        self._counts = {name: shape.partitions for name, shape in shapes.items()}

    async def require_same_topics(self) -> None:
        """Raises TopicChanged when a topic was made anew, or has another number of partitions, since the writer was opened."""
        if not self.topic_ids:
            return
        with _failures_of("describe the topics out"):
            async with asyncio.timeout(ANSWER_SECONDS):
                client = self._producer.client
                names = [self._prefix + name for name in self._counts]
                found = await identities(lambda request: client.send(client.get_random_node(), request), names)
        for name, count in self._counts.items():
            now = found.get(self._prefix + name)
            if now is not None and now.topic_id != self.topic_ids.get(name, now.topic_id):
                raise TopicChanged.made_anew(self._prefix + name)
            if now is not None and now.partitions != count:
                raise TopicChanged.repartitioned(self._prefix + name, count, now.partitions)

    async def begin(self) -> None:
        """Opens a transaction."""
        with _failures_of("begin a transaction"):
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._producer.begin_transaction()

    async def send(self, messages: Sequence[OutgoingMessage]) -> dict[str, int]:
        """Writes the messages, in order, and waits until Kafka has them all. Returns for each topic the offset behind them,
        except where Kafka does not tell."""
        by_topic: dict[str, list[OutgoingMessage]] = {}
        for message in messages:
            by_topic.setdefault(message.topic, []).append(message)
        with _failures_of("publish"):
            async with asyncio.timeout(ANSWER_SECONDS):
                sent = [each for topic, group in by_topic.items() for each in await self._send_to(topic, group)]
                # A commit commits what has arrived, whatever has failed: so every batch is looked at first.
                return await _outcome(sent)

    async def commit(self) -> None:
        """Commits the transaction. After an error it may be committed or not: only a scan tells."""
        with _failures_of("commit a transaction"):
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._producer.commit_transaction()

    async def _send_to(self, topic: str, messages: Sequence[OutgoingMessage]) -> list[_Sent]:
        limit = min(BATCH_BYTES_MAX, self.limits[topic])
        sent = []
        batch, size = self._producer.create_batch(), BATCH_OVERHEAD_BYTES
        for message in messages:
            needed = message.bytes_at_most()
            if batch.record_count() and size + needed > limit:
                sent.append(await self._submit(topic, batch))
                batch, size = self._producer.create_batch(), BATCH_OVERHEAD_BYTES
            batch.append(timestamp=None, key=message.key, value=message.value, headers=list(message.headers))
            size += needed
        sent.append(await self._submit(topic, batch))
        return sent

    async def _submit(self, topic: str, batch: Any) -> _Sent:
        # Batches of our own making, because `send` takes no message without key and value, and such dead letters exist.
        future = await self._producer.send_batch(batch, self._prefix + topic, partition=self.partitions[topic])
        future.add_done_callback(look_at)
        return _Sent(topic, future, batch.record_count())


class OutputTopics:
    """The topics out of one deployment."""

    def __init__(
        self, bootstrap: str, prefix: str, topics: Sequence[Topic], *, security: Mapping[str, object] | None = None
    ) -> None:
        """`prefix` is put before the topics' names; `security` are the client's options for TLS and SASL."""
        self._bootstrap = bootstrap
        self._security = security
        self._client = {"bootstrap_servers": bootstrap, **(security or {})}
        self._prefix = prefix
        self._topics = {topic.name: topic for topic in topics}
        self._counts: dict[str, int] = {}

    @property
    def names(self) -> list[str]:
        """Names without prefix."""
        return list(self._topics)

    def full_name(self, name: str) -> str:
        """The name that Kafka knows it by."""
        return self._prefix + name

    def transactional_id(self, partition: int) -> str:
        """The identity of the one writer that a partition has."""
        return f"{self._prefix}{RELAY_IDS}{partition}"

    async def shapes(self) -> dict[str, TopicShape]:
        """What Kafka says about each topic, by name without prefix.

        Raises BrokerUnreachable, TopicsMissing, and TopicChanged when one has not the partitions that it had the first time.
        """
        admin = AIOKafkaAdminClient(**self._client, client_id="missions-relay")
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await admin.start()
                # All topics, because to ask for one by its name creates it in some clusters.
                found = {each["topic"]: len(each["partitions"]) for each in await admin.describe_topics()}
                if missing := [each for name in self._topics if (each := self._prefix + name) not in found]:
                    raise TopicsMissing(missing, self._bootstrap)
                limits = await self._limits(admin)
                ids = await topic_ids(admin._send_request, [self._prefix + name for name in self._topics])
        except (KafkaError, OSError, TimeoutError) as error:
            raise await why_unreachable(self._bootstrap, self._security, error) from error
        finally:
            await close_admin(admin)
        for name in self._topics:
            count = found[self._prefix + name]
            if self._counts.setdefault(name, count) != count:
                raise TopicChanged.repartitioned(self._prefix + name, self._counts[name], count)
        return {
            name: TopicShape(found[self._prefix + name], limits[name], ids.get(self._prefix + name))
            for name in self._topics
        }

    async def _limits(self, admin: AIOKafkaAdminClient) -> dict[str, int]:
        """`max.message.bytes` of each; where we may not read it, what we ask for when topics are made."""
        limits = {name: topic.max_message_bytes for name, topic in self._topics.items()}
        asked = [ConfigResource(ConfigResourceType.TOPIC, self._prefix + name, {_LIMIT: None}) for name in limits]
        for answer in await admin.describe_configs(asked):
            for _error, _message, _kind, name, entries in answer.resources:
                for entry in entries:
                    if entry[0] == _LIMIT and entry[1] is not None:
                        limits[name.removeprefix(self._prefix)] = int(entry[1])
        return limits

    @asynccontextmanager
    async def writer(self, partition: int) -> AsyncIterator[TransactionalWriter]:
        """Opens the partition's writer. Its predecessor is fenced from then on, and what that had begun has ended:
        committed, if it had got as far, else aborted. Raises BrokerUnreachable, TopicsMissing and PublishFailed."""
        shapes = await self.shapes()
        producer = AIOKafkaProducer(
            **self._client,
            client_id=f"missions-relay-{partition}",
            transactional_id=self.transactional_id(partition),
            transaction_timeout_ms=int(TRANSACTION_SECONDS * 1000),
            request_timeout_ms=int(REQUEST_SECONDS * 1000),
            max_batch_size=BATCH_BYTES_MAX,
        )
        pace(producer.client)
        end_transactions_once(producer)
        try:
            with _failures_of("open a transactional writer"):
                async with asyncio.timeout(OPEN_SECONDS):
                    await producer.start()
            yield TransactionalWriter(producer, self._prefix, partition, shapes)
        finally:
            await close_producer(producer)

    async def published(
        self, partitions: Mapping[str, int], since: Mapping[str, int]
    ) -> AsyncGenerator[Published, None]:
        """What is published in each topic's partition (a writer's `partitions`), from the given offsets to the end of the log, in pieces.

        Aborted messages are passed over. Open the writer first: then nothing of ours is still undecided. A piece may have
        no ids; each topic's last piece has the end of its log. An offset that is not in the log any more (retention, a
        topic made again) means its beginning.
        """
        consumer = AIOKafkaConsumer(
            **self._client,
            client_id="missions-relay-look",
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=100,
        )
        pace(consumer._client)
        try:
            with _failures_of("show what is published (if another producer has a transaction open there, end it)"):
                async with asyncio.timeout(OPEN_SECONDS):
                    await consumer.start()
                tops = {TopicPartition(self._prefix + name, partitions[name]): name for name in since}
                consumer.assign(list(tops))
                # A broker that has just become leader may not know yet how much is committed, and a fetch shows less
                # than there is. Asked for the end it answers only once it knows.
                await consumer.end_offsets(list(tops))
                for top, name in tops.items():
                    consumer.seek(top, since[name])
                async for piece in _scan(consumer, tops):
                    yield piece
        finally:
            await close_consumer(consumer)


async def _scan(consumer: AIOKafkaConsumer, tops: Mapping[TopicPartition, str]) -> AsyncGenerator[Published, None]:
    """Reads every partition up to the end that its first answer tells."""
    reached: dict[TopicPartition, int] = {}
    ends: dict[TopicPartition, int] = {}
    while any(top not in ends or reached[top] < ends[top] for top in tops):
        async with asyncio.timeout(SCAN_SILENCE_SECONDS):
            moved = False
            fetched: Mapping[TopicPartition, Sequence[ConsumerRecord]] = {}
            while not moved:
                fetched = await consumer.getmany(timeout_ms=100, max_records=SCAN_RECORDS_MAX)
                for top in tops:
                    position = await consumer.position(top)
                    if (end := consumer.highwater(top)) is not None and top not in ends:
                        # To the end and not to the last stable offset: behind another producer's open transaction there
                        # may be messages of ours, and to miss one is to publish it twice. So that is waited for.
                        ends[top] = end
                        moved = True
                    moved = moved or reached.get(top) != position
                    reached[top] = position
        for top, name in tops.items():
            yield Published(name, _ids(name, fetched.get(top, [])), reached[top])


def _ids(topic: str, records: Sequence[ConsumerRecord]) -> list[str]:
    """The ids in the records' headers; a record without one is not ours."""
    header = id_header(topic)
    ids = []
    for record in records:
        value = next((value for name, value in record.headers if name == header), None)
        if value is not None:
            with contextlib.suppress(ValueError):
                ids.append(str(UUID(value.decode("ascii", "replace"))))
    return ids


async def _outcome(sent: Sequence[_Sent]) -> dict[str, int]:
    outcomes = await asyncio.gather(*(each.future for each in sent), return_exceptions=True)
    ends: dict[str, int] = {}
    for each, outcome in zip(sent, outcomes, strict=True):
        if isinstance(outcome, MessageSizeTooLargeError | RecordListTooLargeError):
            raise TooLarge(each.topic) from outcome
        if isinstance(outcome, BaseException):
            raise outcome
        if outcome.offset >= 0:  # a repeated request may be answered without the offset
            ends[each.topic] = outcome.offset + each.count
    return ends


@contextmanager
def _failures_of(doing: str) -> Iterator[None]:
    """Whatever the client raises becomes a PublishFailed that says what was being done."""
    try:
        yield
    except ProducerFenced as error:
        raise PublisherFenced(
            f"Kafka refused to {doing}: another relay has opened this partition's writer since"
        ) from error
    except TimeoutError as error:
        raise PublishFailed(f"Kafka did not answer in time when asked to {doing}") from error
    # The client also says by assertions, and by an error that is no KafkaError, that its state is not the one for a call:
    # after an error in the background, such as that it was fenced.
    except (KafkaError, IllegalOperation, OSError, AssertionError) as error:
        raise PublishFailed(f"Kafka could not {doing}: {error!r}") from error
