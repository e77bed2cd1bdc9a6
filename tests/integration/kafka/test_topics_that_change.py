"""Topics that change under the processor: real broker, real ledger. Counts stay right, or the partition stops and says how to go on."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from services.adapters.kafka.admin import ensure_topics, topic_state
from services.adapters.kafka.errors import KafkaProblem
from services.adapters.kafka.producer import Outgoing, Publisher
from services.adapters.kafka.records import Batch, PartitionId
from services.adapters.kafka.settings import WorkerSettings
from services.adapters.kafka.worker import Worker, build_worker
from services.adapters.ledger.actions import By
from services.adapters.ledger.batch import BatchLedger
from services.adapters.ledger.connection import Pool
from services.adapters.ledger.partitions import CannotResume, PartitionStore
from services.adapters.projection import Projection
from services.operations.catalogue import CatalogueWatcher
from services.processor.apply_batch import ApplyBatch
from services.processor.guard import OnLoss, PartitionGuard
from tests.integration.processor.test_apply_batch import event
from tests.support.events import xp
from tests.support.ledger import partition_of
from tests.support.system import until

from .conftest import MakeTopic, Topic
from .support import new_group
from .test_positions import delete_before

OLGA = By("olga")
BAD = b"no event"


class Processor:
    """The processor's worker, handler and guard, on one topic."""

    def __init__(self, bootstrap: str, pool: Pool, apply: ApplyBatch) -> None:
        self.bootstrap = bootstrap
        self.pool = pool
        self.store = PartitionStore(pool)
        self._ledger = BatchLedger(pool, partition_of)
        self._apply = apply

    @asynccontextmanager
    async def running(
        self, topic: str, on_loss: OnLoss = OnLoss.CONTINUE, group: str | None = None
    ) -> AsyncIterator[Worker]:
        guard = PartitionGuard(self.store, on_loss, follow_seconds=0.1)
        settings = WorkerSettings(self.bootstrap, group or new_group(), metadata_age_s=1)

        async def positions(partitions: AbstractSet[PartitionId]) -> Mapping[PartitionId, int]:
            found = await self._ledger.positions(list(partitions))
            return {PartitionId(*key): offset for key, offset in found.items()}

        async def handle(batch: Batch) -> None:
            await self._apply(batch)

        worker = build_worker(settings, [topic], handle, positions, None, guard.review)
        run = asyncio.create_task(worker.run(own_process=False))
        follow = asyncio.create_task(guard.follow(worker))
        try:
            yield worker
        finally:
            follow.cancel()
            worker.stop()
            await run

    async def account(self, topic: str, partition: int = 0) -> dict[str, Any]:
        row = await self.pool.fetchrow(
            "select * from input_position where topic = $1 and partition = $2", topic, partition
        )
        return dict(row) if row else {}

    async def reaches(self, topic: str, position: int, partition: int = 0) -> None:
        async def there() -> bool:
            return bool((await self.account(topic, partition)).get("next_offset") == position)

        await until(there, f"{topic}[{partition}] at {position}")

    async def stops(self, reason: str) -> None:
        async def stopped() -> bool:
            return reason in [stop.reason for stop in await self.store.stops()]

        await until(stopped, f"a stop for {reason}")

    async def restart(self, topic: str) -> None:
        state = await topic_state(self.bootstrap, topic)
        await self.store.restart(topic, state.starts, state.topic_id, OLGA)


@pytest.fixture
def processor(bootstrap: str, pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher) -> Processor:
    apply = ApplyBatch(BatchLedger(pool, partition_of), projection, live_catalogue, lanes_max=4)
    return Processor(bootstrap, pool, apply)


Publish = Callable[..., Awaitable[None]]


@pytest.fixture
def publish(bootstrap: str) -> Publish:
    """`await publish(topic, values, partition)`: publishes them, or so many events that nobody has seen.

    With a client of its own each time: one that knew the topic before does not know what it has become."""

    async def send(topic: str, values: int | Sequence[bytes], partition: int = 0) -> None:
        if isinstance(values, int):
            values = [event("ann", xp(1), at=datetime.now(UTC))[1] for _ in range(values)]
        async with Publisher(bootstrap) as publisher:
            await publisher.publish_all(Outgoing(topic, b"ann", value, partition=partition) for value in values)

    return send


@asynccontextmanager
async def admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def make_anew(bootstrap: str, topic: str) -> None:
    """Deletes the topic and makes it again."""
    before = (await topic_state(bootstrap, topic)).topic_id
    async with admin(bootstrap) as client:
        await client.delete_topics([topic])

    async def is_new() -> bool:
        with contextlib.suppress(KafkaProblem):  # the broker is still deleting
            await ensure_topics(bootstrap, [Topic(topic, 1)])
            return (await topic_state(bootstrap, topic)).topic_id != before
        return False

    await until(is_new, "the topic is there again")


async def test_new_partitions_are_read_from_their_beginning(
    processor: Processor, make_topic: MakeTopic, publish: Publish
) -> None:
    topic = await make_topic()
    await publish(topic, 3)
    async with processor.running(topic):
        await processor.reaches(topic, 3)
        async with admin(processor.bootstrap) as client:
            await client.create_partitions({topic: NewPartitions(2)})
        await publish(topic, 4, 1)
        await processor.reaches(topic, 4, 1)
    account = await processor.account(topic, 1)
    assert (account["first_offset"], account["applied"]) == (0, 4)


async def test_a_topic_made_anew_stops_and_its_restart_counts_nothing_twice(
    processor: Processor, make_topic: MakeTopic, publish: Publish
) -> None:
    topic = await make_topic()
    again = [event("ann", xp(1), f"again-{number}-{secrets.token_hex(4)}", datetime.now(UTC))[1] for number in range(5)]
    await publish(topic, [*again, BAD])
    async with processor.running(topic):
        await processor.reaches(topic, 6)
    await make_anew(processor.bootstrap, topic)
    await publish(topic, again)
    await publish(topic, 4)
    await publish(topic, [BAD])  # ten records: the old position is inside the new log
    async with processor.running(topic) as worker:
        await processor.stops("topic_recreated")
        assert (await processor.account(topic))["next_offset"] == 6
        await until(lambda: _now(bool(worker.halted())), "the worker knows")
        assert f"missions partitions restart {topic}" in worker.halted()[PartitionId(topic, 0)]
        await processor.restart(topic)
        await processor.reaches(topic, 10)
    account = await processor.account(topic)
    assert (account["incarnation"], account["applied"], account["duplicate"], account["dead_letter"]) == (2, 4, 5, 1)
    closed = await processor.pool.fetchrow("select next_offset, applied from closed_position where topic = $1", topic)
    assert closed is not None
    assert tuple(closed) == (6, 5)
    assert await processor.pool.fetchval("select count(*) from dead_letter where topic = $1", topic) == 2


async def test_a_topic_made_anew_under_a_running_worker_stops_it(
    processor: Processor, make_topic: MakeTopic, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.processor.guard.TOPIC_IDS_SECONDS", 0.2)
    topic = await make_topic()
    await publish(topic, 3)
    async with processor.running(topic):
        await processor.reaches(topic, 3)
        await make_anew(processor.bootstrap, topic)
        await processor.stops("topic_recreated")
    assert (await processor.account(topic))["next_offset"] == 3


async def test_a_log_that_was_cut_off_stops_and_is_read_again_from_its_beginning(
    processor: Processor, make_topic: MakeTopic, publish: Publish
) -> None:
    topic = await make_topic()
    await publish(topic, 4)
    async with processor.running(topic):
        await processor.reaches(topic, 4)
    await processor.pool.execute(
        "update input_position set next_offset = next_offset + 100, skipped = 100 where topic = $1", topic
    )
    async with processor.running(topic):
        await processor.stops("log_truncated")
        with pytest.raises(CannotResume, match=f"missions partitions restart {topic}"):
            await processor.store.resume(topic, 0, OLGA)
        await processor.restart(topic)
        await processor.reaches(topic, 4)
    assert (await processor.account(topic))["duplicate"] == 4


@pytest.mark.parametrize("on_loss", OnLoss)
async def test_records_that_retention_took_are_counted_and_named(
    processor: Processor, make_topic: MakeTopic, publish: Publish, on_loss: OnLoss
) -> None:
    topic = await make_topic()
    await publish(topic, 3)
    async with processor.running(topic):
        await processor.reaches(topic, 3)
    await publish(topic, 7)
    await delete_before(processor.bootstrap, PartitionId(topic, 0), 8)
    async with processor.running(topic, on_loss):
        if on_loss is OnLoss.STOP:
            await processor.stops("records_lost")
            assert (await processor.account(topic))["next_offset"] == 3
            await processor.store.resume(topic, 0, OLGA)
        await processor.reaches(topic, 10)
    account = await processor.account(topic)
    assert (account["applied"], account["lost"], account["skipped"]) == (5, 5, 0)
    loss = await processor.pool.fetchrow("select from_offset, to_offset from data_loss where topic = $1", topic)
    assert loss is not None
    assert tuple(loss) == (3, 8)


async def test_a_flood_stays_stopped_on_the_next_owner_until_an_operator_says_so(
    processor: Processor, make_topic: MakeTopic, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.processor.brake.RUN_MAX", 3)
    topic, group = await make_topic(partitions=2), new_group()
    await publish(topic, [BAD] * 10)
    async with processor.running(topic, group=group):
        await processor.stops("dead_letter_flood")
    await publish(topic, 5)
    await publish(topic, 5, 1)
    async with processor.running(topic, group=group):
        await processor.reaches(topic, 5, 1)
        assert (await processor.account(topic))["next_offset"] == 3
        await processor.store.resume(topic, 0, OLGA, accept_until=10)
        await processor.reaches(topic, 15)
    account = await processor.account(topic)
    assert (account["applied"], account["dead_letter"]) == (5, 10)


async def _now(answer: bool) -> bool:
    return answer
