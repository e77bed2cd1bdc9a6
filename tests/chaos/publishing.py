"""Publishes a load at a steady pace, with producers that try again until every record is acknowledged, as upstream services do."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from random import Random
from time import monotonic
from typing import Any

import aiokafka
from aiokafka.errors import KafkaError

from services.adapters.kafka.errors import KafkaProblem
from services.adapters.kafka.producer import Outgoing, Publisher

CHUNK_SECONDS = 0.1
"""Records of so long a time are sent together."""
CHUNK_RECORDS_MAX = 500
RETRY_SECONDS = 0.5
PLAIN_SHARE = 0.3
"""Chunks that go out by a producer that is not idempotent."""
ACKNOWLEDGED_SECONDS = 15
"""A chunk that is not acknowledged by then is sent again: some of it may be in the log already."""


class Upstream:
    """Publishes records in their order; counts what it sent, and what it sent again."""

    def __init__(self, bootstrap: str, chance: Random) -> None:
        self.records = 0
        self.repeated = 0
        """Records in chunks that were sent more than once, since nobody knew what had become of them."""
        self._bootstrap = bootstrap
        self._chance = chance
        self._idempotent: Publisher | None = None
        self._plain: Any = None
        self._left: set[asyncio.Task[None]] = set()
        """Producers that were given up: they go on trying in the background, and what they still send comes late."""

    async def publish(self, records: Iterator[Outgoing], pace: Callable[[], float] | None = None) -> None:
        """Publishes all; as fast as it goes, or about as many each second as `pace` says at the time."""
        while True:
            per_second = pace() if pace else 0.0
            size = max(1, round(per_second * CHUNK_SECONDS)) if pace else CHUNK_RECORDS_MAX
            start = monotonic()
            chunk = list(islice(records, size))
            if not chunk:
                return
            await self._until_acknowledged(chunk)
            self.records += len(chunk)
            if pace:
                await asyncio.sleep(max(0.0, start + len(chunk) / per_second - monotonic()))

    async def close(self) -> None:
        """Disconnects, and waits until the producers that were given up have nothing more to send."""
        self._give_up()
        await asyncio.gather(*self._left)

    def _give_up(self) -> None:
        producers = (self._idempotent, self._plain)
        self._idempotent = self._plain = None
        for producer in producers:
            if producer is not None:
                task = asyncio.create_task(_stop(producer))
                self._left.add(task)
                task.add_done_callback(self._left.discard)

    async def _until_acknowledged(self, chunk: Sequence[Outgoing]) -> None:
        is_plain = self._chance.random() < PLAIN_SHARE
        while True:
            try:
                async with asyncio.timeout(ACKNOWLEDGED_SECONDS):
                    await (self._send_plain(chunk) if is_plain else self._send(chunk))
                return
            except (KafkaError, KafkaProblem, OSError, TimeoutError):
                self.repeated += len(chunk)
                self._give_up()
                await asyncio.sleep(RETRY_SECONDS)

    async def _send(self, chunk: Sequence[Outgoing]) -> None:
        if self._idempotent is None:
            publisher = Publisher(self._bootstrap, client_id="upstream")
            await publisher.start()
            self._idempotent = publisher
        await self._idempotent.publish_all(chunk)

    async def _send_plain(self, chunk: Sequence[Outgoing]) -> None:
        if self._plain is None:
            producer = aiokafka.AIOKafkaProducer(
                bootstrap_servers=self._bootstrap, client_id="old-upstream", linger_ms=2
            )
            await producer.start()
            self._plain = producer
        sent = [
            await self._plain.send(r.topic, value=r.value, key=r.key, partition=r.partition, headers=list(r.headers))
            for r in chunk
        ]
        await asyncio.gather(*sent)


async def _stop(producer: Any) -> None:
    with suppress(KafkaError, KafkaProblem, OSError):
        await producer.stop()
