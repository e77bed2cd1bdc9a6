"""Publishing to Kafka: idempotent always, in transactions when a transactional id is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

import aiokafka
from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.partitioner import murmur2

from .access import why_unreachable
from .errors import PublisherFenced, PublishFailed

Compression = Literal["gzip", "snappy", "lz4", "zstd"]

REQUEST_BYTES_MAX: Final = 2 * 1024 * 1024
LINGER_MS: Final = 5
"""Waits so long for more records before it sends: a relay or a generator has the next one ready."""
TRANSACTION_TIMEOUT_MS: Final = 15_000
"""A publisher that dies in a transaction holds up `read_committed` readers for this long, unless a new one fences it first."""


def partition_for(key: bytes | None, count: int) -> int:
    """The partition of a key among `count`, as Java's clients and aiokafka choose it (murmur2); 0 without a key."""
    return 0 if key is None else (murmur2(key) & 0x7FFFFFFF) % count


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to publish. Without a partition, its key decides."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    partition: int | None = None
    timestamp_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """Where a record was written."""

    topic: str
    partition: int
    offset: int


class Publisher:
    """An idempotent producer: acknowledged by all replicas, no duplicate from its own retries, order kept per partition.

    With a `transactional_id` everything is published inside `transaction()`, and starting it fences whoever had the id before.
    After PublishFailed its state is unknown: stop it and start a new one.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        client_id: str = "missions",
        compression: Compression | None = None,
        transactional_id: str | None = None,
        security: Mapping[str, object] | None = None,
    ) -> None:
        self._bootstrap = bootstrap
        self._security = security
        self._options: dict[str, Any] = {
            "bootstrap_servers": bootstrap,
            "client_id": client_id,
            "acks": "all",
            "enable_idempotence": True,
            "compression_type": compression,
            "max_request_size": REQUEST_BYTES_MAX,
            "linger_ms": LINGER_MS,
            **(security or {}),
        }
        if transactional_id is not None:
            self._options |= {
                "transactional_id": transactional_id,
                "transaction_timeout_ms": TRANSACTION_TIMEOUT_MS,
            }
        self._producer: Any = None

    async def start(self) -> None:
        """Connects; with a transactional id, ends what an earlier publisher left open. Raises BrokerUnreachable."""
        producer = aiokafka.AIOKafkaProducer(**self._options)
        try:
            await producer.start()
        except KafkaError as error:
            await producer.stop()
            raise await why_unreachable(self._bootstrap, self._security, error) from error
        self._producer = producer

    async def stop(self) -> None:
        """Sends what is still buffered and disconnects; harmless when it has not started."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def publish(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        partition: int | None = None,
    ) -> Published:
        """Publishes one record and waits until it is written. Raises PublishFailed."""
        return (await self.publish_all([Outgoing(topic, key, value, headers, partition)]))[0]

    async def publish_all(self, records: Iterable[Outgoing]) -> list[Published]:
        """Publishes records, in this order for each partition, and waits until all are written. Raises PublishFailed."""
        with _failures():
            sent = [
                await self._producer.send(
                    record.topic,
                    value=record.value,
                    key=record.key,
                    partition=record.partition,
                    headers=list(record.headers),
                    timestamp_ms=record.timestamp_ms,
                )
                for record in records
            ]
            written = await asyncio.gather(*sent)
        return [Published(w.topic, w.partition, w.offset) for w in written]

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """What is published inside becomes readable all at once, or never when the block raises. Raises PublishFailed."""
        with _failures():
            async with self._producer.transaction():
                yield


class _failures:  # noqa: N801 - reads as a keyword
    """Turns the client's errors into ours."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, ProducerFenced):
            raise PublisherFenced("another publisher has taken over this transactional id") from error
        if isinstance(error, KafkaError):
            raise PublishFailed(f"not known whether it was published: {error!r}") from error
