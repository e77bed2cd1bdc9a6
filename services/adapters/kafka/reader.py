"""Reads a topic as a `read_committed` consumer without a group: for the relay's look at what is published, for tests and the demo."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiokafka
from aiokafka.errors import KafkaError

from .access import why_unreachable
from .admin import partition_counts
from .clients import pace
from .errors import TopicsMissing
from .records import PartitionId, Record
from .settings import FETCH_BYTES_MAX, FETCH_WAIT_MAX_MS

POLL_MS: Final = 200


async def read_from(
    bootstrap: str,
    topic: str,
    start: Mapping[int, int] | None = None,
    *,
    follow: bool = False,
    security: Mapping[str, object] | None = None,
) -> AsyncGenerator[tuple[PartitionId, Record], None]:
    """Yields (partition, record), in order for each partition.

    `start` maps partition numbers to offsets and chooses the partitions; None reads all of them from the beginning. An offset
    before the log's beginning reads from there. Ends at the end that the logs have now, or never with `follow`. Who breaks off
    should read inside `contextlib.aclosing`, so that the connection is closed at once.
    Raises BrokerUnreachable and TopicsMissing.
    """
    counts = await partition_counts(bootstrap, security=security)
    if topic not in counts:
        raise TopicsMissing([topic], bootstrap)
    numbers = range(counts[topic]) if start is None else sorted(start)
    if not numbers:
        return
    async with _consumer(bootstrap, security) as consumer:
        chosen = [aiokafka.TopicPartition(topic, number) for number in numbers]
        consumer.assign(chosen)
        first = await consumer.beginning_offsets(chosen)
        ends = await consumer.end_offsets(chosen)
        for tp in chosen:
            consumer.seek(tp, max(first[tp], (start or {}).get(tp.partition, 0)))
        while follow or [tp for tp in chosen if await consumer.position(tp) < ends[tp]]:
            for tp, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
                for record in records:
                    if follow or record.offset < ends[tp]:
                        yield PartitionId(topic, tp.partition), record


@asynccontextmanager
async def _consumer(bootstrap: str, security: Mapping[str, object] | None) -> AsyncIterator[Any]:
    consumer = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES_MAX,
        fetch_max_wait_ms=FETCH_WAIT_MAX_MS,
        **(security or {}),
    )
    pace(consumer._client)
    try:
        await consumer.start()
        yield consumer
    except KafkaError as error:
        raise await why_unreachable(bootstrap, security, error) from error
    finally:
        await consumer.stop()
