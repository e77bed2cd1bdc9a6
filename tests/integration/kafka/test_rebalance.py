"""Workers come and go, brokers die: nothing is lost, nothing is applied twice, and a replacement takes over at once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiokafka
import pytest
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from faust.types import TP
from typing_extensions import override

from services.adapters.kafka.admin import end_offsets, ensure_topics
from services.adapters.kafka.producer import Outgoing, Publisher
from services.adapters.kafka.records import Batch, PartitionId
from services.stack.server import Servers

from .conftest import MakeTopic, Topic
from .support import PATIENCE_S, Ledger, Seen, fill, members_of, new_group, running, until


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


async def test_one_worker_has_partitions_of_one_number_of_all_topics(bootstrap: str, make_topic: MakeTopic) -> None:
    topics = [await make_topic(partitions=4), await make_topic(partitions=4)]
    group, ledger = new_group(), Ledger()
    async with (
        running(bootstrap, topics, ledger, group=group) as one,
        running(bootstrap, topics, ledger, group=group) as two,
        running(bootstrap, topics, ledger, group=group) as three,
    ):
        workers = (one, two, three)
        await until(lambda: sorted(len(worker.assignment()) for worker in workers) == [2, 2, 4], "they share")
        for worker in workers:
            numbers = Counter(partition.partition for partition in worker.assignment())
            assert set(numbers.values()) == {2}
            coordinator: Any = worker._app.consumer._thread._consumer._coordinator  # type: ignore[union-attr]
            assert len(coordinator._assignors) == 1, "aiokafka sends a JoinGroup for each, and a group may never gather"


class Slow(aiokafka.ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka is untyped
    """A member that takes its time to let go of its partitions: so long the others of its group wait in JoinGroup."""

    def __init__(self) -> None:
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()
        self.go_on.set()

    @override
    async def on_partitions_revoked(self, revoked: object) -> None:
        self.asked.set()
        await self.go_on.wait()

    @override
    async def on_partitions_assigned(self, assigned: object) -> None:
        """Nothing to do."""


@asynccontextmanager
async def member(bootstrap: str, topic: str, group: str, listener: Slow) -> AsyncIterator[None]:
    """Another member of the group, which reads nothing. It is not waited for: it starts only when the others have let it in."""
    consumer = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        partition_assignment_strategy=[RoundRobinPartitionAssignor],
        heartbeat_interval_ms=300,
    )
    consumer.subscribe([topic], listener=listener)
    starting = asyncio.create_task(consumer.start())
    try:
        yield
    finally:
        listener.go_on.set()
        await starting
        await consumer.stop()


async def test_a_commit_in_a_rebalance_does_not_cause_the_next_one(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    topic, group, ledger, slow = await make_topic(partitions=6), new_group(), Ledger(), Slow()
    async with (
        member(bootstrap, topic, group, slow),
        running(bootstrap, [topic], ledger, group=group) as worker,
    ):
        await until(lambda: len(worker.assignment()) == 3, "they share")
        thread = worker._app.consumer._thread  # type: ignore[union-attr]
        slow.asked.clear()
        slow.go_on.clear()
        async with member(bootstrap, topic, group, Slow()):
            await asyncio.wait_for(slow.asked.wait(), PATIENCE_S)
            await until(lambda: thread._consumer._coordinator._performed_join_prepare, "the worker joins again")

            committing = asyncio.create_task(thread.commit({TP(topic, n): 0 for n in range(6)}))
            await until(lambda: committing.done() or _is_sent(thread), "the commit has been given up, or sent")
            slow.go_on.set()

            await committing
            await until(lambda: len(worker.assignment()) == 2, "three share")
            for partition in range(6):
                await fill(publisher, topic, 5, partition)
            await until(lambda: ledger.count >= 10, "the worker works")
    assert not [record.message for record in caplog.records if "will rejoin" in record.message]


def _is_sent(thread: Any) -> bool:
    """Whether an OffsetCommit waits for its answer, on the connection of the group's coordinator."""
    connections = thread._consumer._client._conns.values()
    return any(type(waiting[1]).__name__.startswith("OffsetCommit") for c in connections for waiting in c._requests)


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


async def test_a_batch_that_is_in_work_when_a_worker_joins_is_finished(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic, group, ledger = await make_topic(partitions=4), new_group(), Ledger()
    begun, ended, cancelled = Counter[PartitionId](), asyncio.Event(), list[PartitionId]()

    async def until_it_is_let_go(batch: Batch) -> None:
        begun[batch.partition] += 1
        try:
            await ended.wait()
        except asyncio.CancelledError:
            cancelled.append(batch.partition)
            raise
        ledger.apply(batch)

    for partition in range(4):
        await fill(publisher, topic, 10, partition)
    async with running(bootstrap, [topic], ledger, group=group, handle=until_it_is_let_go) as first:
        await until(lambda: len(begun) == 4, "the first has all partitions in hand")

        stretches = dict(first._consumer._thread.stretches)
        letting_go = asyncio.create_task(
            until(lambda: all(stretch.stopped for stretch in stretches.values()), "the first is asked to let go")
        )
        letting_go.add_done_callback(lambda _: ended.set())
        async with running(bootstrap, [topic], ledger, group=group):
            await letting_go
            await until(lambda: ledger.count == 40, "all are applied")
    assert cancelled == []
    assert begun == {PartitionId(topic, number): 1 for number in range(4)}


async def test_whoever_gives_partitions_up_says_what_is_done(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    """So that nobody has to look whether something of it was left to do."""
    topic, group, ledger = await make_topic(partitions=4), new_group(), Ledger()
    settled, each = dict[PartitionId, int](), {PartitionId(topic, number): 10 for number in range(4)}

    async def settle(offsets: Mapping[PartitionId, int]) -> None:
        settled.update(offsets)

    for partition in range(4):
        await fill(publisher, topic, 10, partition)
    async with running(bootstrap, [topic], ledger, group=group, settle=settle):
        await until(lambda: ledger.count == 40, "all are applied")
        async with running(bootstrap, [topic], ledger, group=group):
            assert settled == each, "when a second one has joined"
        settled.clear()
        await fill(publisher, topic, 1, 2, first=10)
        await until(lambda: ledger.count == 41, "one more is applied")
    assert settled == {PartitionId(topic, 2): 11}, "when it stops"


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
