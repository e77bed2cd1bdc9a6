"""Reads topics from their beginning to their end, with a client library that the system does not use."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, TopicPartition

CHUNK, CHUNK_SECONDS = 5000, 0.1
"""Records taken at once: as many as are there, since the client waits that long for more."""

IDLE_SECONDS_MAX = 30
"""A broker that gives nothing for so long will not give the rest."""

Headers = Sequence[tuple[str, bytes | None]]


class Raw(NamedTuple):
    """A record as it lies in the log."""

    offset: int
    at: datetime
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass
class Log:
    """One partition: all records between `first` and `end`, which is behind the last one."""

    topic: str
    """Without prefix."""
    partition: int
    first: int
    end: int
    records: list[Raw] = field(default_factory=list)


class LogUnreadable(Exception):
    """A topic that is not there, or a broker that does not answer."""


def read_topics(bootstrap: str, topics: Sequence[str], prefix: str, *, committed: bool) -> list[Log]:
    """All partitions of these topics (named without the prefix), without those of uncommitted transactions unless asked.

    Raises `LogUnreadable`.
    """
    settings: dict[str, Any] = {
        "bootstrap.servers": bootstrap,
        "group.id": f"verifier-{secrets.token_hex(4)}",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed" if committed else "read_uncommitted",
    }
    consumer = Consumer(settings)
    try:
        logs = [log for topic in topics for log in _bounds(consumer, topic, prefix)]
        _read(consumer, logs, prefix)
    finally:
        consumer.close()
    return logs


def _bounds(consumer: Any, topic: str, prefix: str) -> list[Log]:
    found = consumer.list_topics(prefix + topic, timeout=IDLE_SECONDS_MAX).topics[prefix + topic]
    if found.error is not None:
        raise LogUnreadable(f"topic {prefix + topic}: {found.error}; is --prefix right?")
    logs = []
    for partition in sorted(found.partitions):
        first, end = consumer.get_watermark_offsets(TopicPartition(prefix + topic, partition), timeout=IDLE_SECONDS_MAX)
        logs.append(Log(topic, partition, first, end))
    return logs


def _read(consumer: Any, logs: list[Log], prefix: str) -> None:
    open_logs = {(prefix + log.topic, log.partition): log for log in logs if log.end > log.first}
    consumer.assign([TopicPartition(topic, partition, log.first) for (topic, partition), log in open_logs.items()])
    heard = monotonic()
    while open_logs:
        messages = consumer.consume(CHUNK, timeout=CHUNK_SECONDS)
        heard = monotonic() if messages else heard
        if monotonic() > heard + IDLE_SECONDS_MAX:
            waiting = ", ".join(f"{topic}/{partition}" for topic, partition in open_logs)
            raise LogUnreadable(f"nothing came for {IDLE_SECONDS_MAX} s of {waiting}")
        for message in messages:
            place = (message.topic(), message.partition())
            log = open_logs.get(place)
            error = message.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise LogUnreadable(f"{place}: {error}")
                open_logs.pop(place, None)
            elif log is not None and message.offset() < log.end:
                at = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
                headers = message.headers() or ()
                log.records.append(Raw(message.offset(), at, message.key(), message.value(), headers))
