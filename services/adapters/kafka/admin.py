"""Topics: which there are, making those that are missing, and where their logs end. Never deletes anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from .access import why_unreachable
from .errors import KafkaProblem, TopicsMissing
from .records import PartitionId
from .topic_ids import topic_ids

REQUEST_TIMEOUT_MS: Final = 15_000
REPLICAS_MAX: Final = 3
"""Copies of each partition where there are that many brokers."""


KNOWN_PAUSE_S: Final = 0.1
KNOWN_TRIES: Final = 100
"""Ten seconds: metadata spreads in milliseconds, on a busy broker in a second or two."""


class TopicSpec(Protocol):
    """A topic as it should be."""

    @property
    def name(self) -> str:
        """Its name, with any prefix."""

    @property
    def partitions(self) -> int:
        """How many partitions it should have."""

    @property
    def config(self) -> Mapping[str, str]:
        """Topic configuration by Kafka's names."""


@dataclass(frozen=True, slots=True)
class PartitionMismatch:
    """A topic that exists with another number of partitions than it should have. It is left as it is: keys would move."""

    topic: str
    wanted: int
    found: int


@dataclass(frozen=True, slots=True)
class TopicsReport:
    """What `ensure_topics` has found and done."""

    created: tuple[str, ...]
    existing: tuple[str, ...]
    mismatched: tuple[PartitionMismatch, ...]


async def ensure_topics(
    bootstrap: str, topics: Sequence[TopicSpec], *, security: Mapping[str, object] | None = None
) -> TopicsReport:
    """Creates the topics that are missing. Raises BrokerUnreachable, and KafkaProblem when the broker refuses one."""
    async with _admin(bootstrap, security) as admin:
        found = await _partition_counts(admin)
        replicas = min(REPLICAS_MAX, len((await admin.describe_cluster())["brokers"]))
        missing = [topic for topic in topics if topic.name not in found]
        if missing:
            response = await admin.create_topics(
                [
                    NewTopic(t.name, t.partitions, replicas, topic_configs={k: str(v) for k, v in t.config.items()})
                    for t in missing
                ]
            )
            _raise_refused(response.topic_errors)
    if missing:
        names = [topic.name for topic in missing]
        await _until_known(bootstrap, names, security)
        # A broker answers "created" before it leads the partitions. Asking for their ends waits until it does.
        await end_offsets(bootstrap, names, security=security)
    existing = [topic for topic in topics if topic.name in found]
    return TopicsReport(
        created=tuple(topic.name for topic in missing),
        existing=tuple(topic.name for topic in existing),
        mismatched=tuple(
            PartitionMismatch(topic.name, topic.partitions, found[topic.name])
            for topic in existing
            if topic.partitions != found[topic.name]
        ),
    )


async def _until_known(bootstrap: str, names: Sequence[str], security: Mapping[str, object] | None) -> None:
    """Waits until the brokers name the topics in their metadata, which is a moment after they were created.

    Raises TopicsMissing when they do not.
    """
    async with _admin(bootstrap, security) as admin:
        unknown = set(names)
        for _ in range(KNOWN_TRIES):
            unknown -= set(await _partition_counts(admin))
            if not unknown:
                return
            await asyncio.sleep(KNOWN_PAUSE_S)
    raise TopicsMissing(sorted(unknown), bootstrap)


async def missing_topics(
    bootstrap: str, names: Iterable[str], *, security: Mapping[str, object] | None = None
) -> list[str]:
    """Those of the names that are no topics, sorted. Raises BrokerUnreachable."""
    async with _admin(bootstrap, security) as admin:
        return sorted(set(names) - set(await _partition_counts(admin)))


async def partition_counts(bootstrap: str, *, security: Mapping[str, object] | None = None) -> dict[str, int]:
    """Number of partitions of every topic. Raises BrokerUnreachable."""
    async with _admin(bootstrap, security) as admin:
        return await _partition_counts(admin)


async def end_offsets(
    bootstrap: str, topics: Iterable[str], *, security: Mapping[str, object] | None = None
) -> dict[PartitionId, int]:
    """Where each partition's log ends for a `read_committed` reader: the offset after the last one it may read.

    Raises BrokerUnreachable and TopicsMissing.
    """
    wanted = set(topics)
    counts = await partition_counts(bootstrap, security=security)
    if wanted - counts.keys():
        raise TopicsMissing(sorted(wanted - counts.keys()), bootstrap)
    partitions = [PartitionId(topic, number) for topic in sorted(wanted) for number in range(counts[topic])]
    async with _reader(bootstrap, security) as consumer:
        ends = await consumer.end_offsets([aiokafka.TopicPartition(*p) for p in partitions])
    return {PartitionId(tp.topic, tp.partition): end for tp, end in ends.items()}


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as it is now: its id, None where the broker knows none, and where the log of each partition begins."""

    topic_id: UUID | None
    starts: Mapping[int, int]


async def topic_state(bootstrap: str, topic: str, *, security: Mapping[str, object] | None = None) -> TopicState:
    """Raises BrokerUnreachable and TopicsMissing."""
    async with _admin(bootstrap, security) as admin:
        counts = await _partition_counts(admin)
        ids = await topic_ids(admin._send_request, [topic])
    if topic not in counts:
        raise TopicsMissing([topic], bootstrap)
    async with _reader(bootstrap, security) as consumer:
        starts = await consumer.beginning_offsets([aiokafka.TopicPartition(topic, n) for n in range(counts[topic])])
    return TopicState(ids.get(topic), {tp.partition: start for tp, start in starts.items()})


@asynccontextmanager
async def _reader(bootstrap: str, security: Mapping[str, object] | None) -> AsyncIterator[Any]:
    consumer = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", enable_auto_commit=False, **(security or {})
    )
    try:
        await consumer.start()
        yield consumer
    except KafkaError as error:
        raise await why_unreachable(bootstrap, security, error) from error
    finally:
        await consumer.stop()


@asynccontextmanager
async def _admin(bootstrap: str, security: Mapping[str, object] | None) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=REQUEST_TIMEOUT_MS, **(security or {}))
    try:
        await admin.start()
        yield admin
    except KafkaError as error:
        raise await why_unreachable(bootstrap, security, error) from error
    finally:
        await admin.close()


async def _partition_counts(admin: Any) -> dict[str, int]:
    # All topics: asking for one by name would make it on a broker that creates topics by itself.
    return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}


def _raise_refused(topic_errors: Iterable[tuple[Any, ...]]) -> None:
    refused = [
        f"{topic}: {details[0] if details and details[0] else for_code(code).__name__}"
        for topic, code, *details in topic_errors
        if code not in (0, TopicAlreadyExistsError.errno)
    ]
    if refused:
        raise KafkaProblem(f"Kafka refused to create topics: {'; '.join(refused)}")
