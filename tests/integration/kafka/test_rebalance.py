"""Workers come and go, brokers die: nothing is lost, nothing is applied twice, and a replacement takes over at once."""

import asyncio

import pytest

from services.adapters.kafka.admin import end_offsets, ensure_topics
from services.adapters.kafka.producer import Outgoing, Publisher
from services.adapters.kafka.records import Batch, PartitionId
from services.stack.server import Servers

from .conftest import MakeTopic, Topic
from .support import Ledger, Seen, fill, members_of, new_group, running, until


async def slowly(ledger: Ledger, batch: Batch) -> None:
    """Leaves room for a rebalance in the middle of a batch."""
    await asyncio.sleep(0.01)
    ledger.apply(batch)


async def test_workers_that_join_and_leave_lose_nothing_and_repeat_nothing(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topics = [await make_topic(partitions=4), await make_topic(partitions=4)]
    group, ledger, first_seen = new_group(), Ledger(), Seen()
    published, enough = 0, asyncio.Event()

    async def publish() -> None:
        nonlocal published
        while not enough.is_set():
            records = [Outgoing(topics[n % 2], f"user-{n % 97}".encode(), b"x") for n in range(200)]
            await publisher.publish_all(records)
            published += len(records)
            await asyncio.sleep(0.01)

    def handle(batch: Batch) -> asyncio.Task[None]:
        return asyncio.ensure_future(slowly(ledger, batch))

    producing = asyncio.create_task(publish())
    async with running(bootstrap, topics, ledger, group=group, handle=handle, seen=first_seen) as first:
        await until(lambda: len(first.assignment()) == 8, "the first has all partitions")
        async with running(bootstrap, topics, ledger, group=group, handle=handle) as second:
            await until(lambda: len(second.assignment()) == len(first.assignment()) == 4, "they share")
            assert first.assignment().isdisjoint(second.assignment())
            before = ledger.count
            await until(lambda: ledger.count > before + 2000, "both work")
        await until(lambda: len(first.assignment()) == 8, "the first has all partitions again")
        async with running(bootstrap, topics, ledger, group=group, handle=handle):
            before = ledger.count
            await until(lambda: ledger.count > before + 2000, "another one has joined")
        enough.set()
        await producing
        await until(lambda: ledger.count >= published, "all are applied")
    ends = await end_offsets(bootstrap, topics)
    assert {p: list(range(end)) for p, end in ends.items() if end} == dict(ledger.applied)
    assert first_seen.revoked


async def test_a_partition_is_let_go_before_its_next_owner_gets_it(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic, group, ledger = await make_topic(partitions=4), new_group(), Ledger()
    inside, overlaps, others = set[PartitionId](), list[PartitionId](), list[PartitionId]()

    async def hold_on(batch: Batch) -> None:
        inside.add(batch.partition)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.3)  # a transaction that takes its time to roll back
            inside.discard(batch.partition)

    async def take_over(batch: Batch) -> None:
        overlaps.extend(inside & {batch.partition})
        others.append(batch.partition)
        ledger.apply(batch)

    for partition in range(4):
        await fill(publisher, topic, 10, partition)
    async with running(bootstrap, [topic], ledger, group=group, handle=hold_on):
        await until(lambda: len(inside) == 4, "the first has all partitions in hand")
        async with running(bootstrap, [topic], ledger, group=group, handle=take_over):
            await until(lambda: len(others) == 2, "the second has taken over two")
    assert overlaps == []


async def test_a_worker_that_stops_leaves_its_group_at_once(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic, group, ledger = await make_topic(partitions=2), new_group(), Ledger()
    await fill(publisher, topic, 10)
    async with running(bootstrap, [topic], ledger, group=group):
        await until(lambda: ledger.count == 10, "all are applied")
        assert await members_of(bootstrap, group) == 1
    assert await members_of(bootstrap, group) == 0


async def test_a_worker_carries_on_by_itself_when_the_broker_dies_and_comes_back(servers: Servers) -> None:
    if servers.kafka.pid is None:
        pytest.skip("the broker is not ours to kill")
    bootstrap, topic = servers.addresses.kafka_bootstrap, f"t-{new_group()}"
    await ensure_topics(bootstrap, [Topic(topic, 1)])
    ledger = Ledger()
    async with running(bootstrap, [topic], ledger) as worker:
        async with Publisher(bootstrap) as publisher:
            await fill(publisher, topic, 100)
            await until(lambda: ledger.count == 100, "the first are applied")
        await asyncio.to_thread(servers.kafka.kill_hard)
        await asyncio.to_thread(servers.kafka.start)
        async with Publisher(bootstrap) as publisher:
            await fill(publisher, topic, 100, first=100)
        await until(lambda: ledger.count == 200, "the rest is applied")
        assert worker.assignment() == {PartitionId(topic, 0)}
    assert ledger.applied[PartitionId(topic, 0)] == list(range(200))
