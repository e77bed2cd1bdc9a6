"""Batches of different partitions overlap in time, those of one never do; a stopped partition stops alone."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection

import pytest

from services.adapters.kafka.consumer_thread import _Only
from services.adapters.kafka.producer import Publisher
from services.adapters.kafka.records import Batch, Fenced, Halt, Handle, PartitionId
from services.adapters.kafka.worker import Worker

from .conftest import MakeTopic
from .support import Ledger, Seen, fill, running, until


async def test_partitions_overlap(bootstrap: str, make_topic: MakeTopic, publisher: Publisher) -> None:
    topic = await make_topic(partitions=3)
    ledger, meeting = Ledger(), asyncio.Barrier(3)

    async def handle(batch: Batch) -> None:
        await meeting.wait()  # passes only when the handlers of all three partitions are inside
        ledger.apply(batch)

    for partition in range(3):
        await fill(publisher, topic, 10, partition)
    async with running(bootstrap, [topic], ledger, handle=handle):
        await until(lambda: ledger.count == 30, "all are applied")


async def test_batches_of_one_partition_never_overlap(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic = await make_topic(partitions=2)
    ledger, inside = Ledger(), Counter[PartitionId]()

    async def handle(batch: Batch) -> None:
        inside[batch.partition] += 1
        assert inside[batch.partition] == 1
        await asyncio.sleep(0)
        ledger.apply(batch)
        inside[batch.partition] -= 1

    for partition in range(2):
        await fill(publisher, topic, 400, partition)
    async with running(bootstrap, [topic], ledger, handle=handle, batch_size_max=20):
        await until(lambda: ledger.count == 800, "all are applied")
    assert len(ledger.batches) >= 40


async def test_what_waits_for_a_slow_handler_is_bounded_and_the_other_partition_goes_on(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic = await make_topic(partitions=2)
    slow, quick = PartitionId(topic, 0), PartitionId(topic, 1)
    ledger, go_on, waiting = Ledger(), asyncio.Event(), asyncio.Event()

    async def handle(batch: Batch) -> None:
        if batch.partition == slow:
            waiting.set()
            await go_on.wait()
        ledger.apply(batch)

    await fill(publisher, topic, 500, slow.partition)
    async with running(bootstrap, [topic], ledger, handle=handle, batch_size_max=10) as worker:
        await until(waiting.is_set, "the slow one is in work")
        await fill(publisher, topic, 500, quick.partition)
        await until(lambda: len(ledger.applied[quick]) == 500, "the quick one is applied")
        assert 0 < worker._consumer._thread.stretches[slow].outstanding <= 30
        assert worker.lag()[slow] == 500
        go_on.set()
        await until(lambda: len(ledger.applied[slow]) == 500, "the slow one is applied too")


def one_by_one(ledger: Ledger, go_on: asyncio.Event) -> Handle:
    """Applies one batch at a time, once it may."""
    one_at_a_time = asyncio.Lock()

    async def handle(batch: Batch) -> None:
        await go_on.wait()
        async with one_at_a_time:
            await asyncio.sleep(0.02)  # its work: longer in all than Kafka may take to send more of a partition
            ledger.apply(batch)

    return handle


def at_once(ledger: Ledger, go_on: asyncio.Event) -> Handle:
    """Applies every batch as it comes, once it may."""

    async def handle(batch: Batch) -> None:
        await go_on.wait()
        ledger.apply(batch)

    return handle


def sent_by_kafka(worker: Worker) -> Collection[object]:
    """Partitions of which the client holds records that nobody has taken yet."""
    found: Collection[object] = worker._consumer._thread._consumer._fetcher._records
    return found


async def apart_at_most(
    bootstrap: str,
    make_topic: MakeTopic,
    publisher: Publisher,
    handling: Callable[[Ledger, asyncio.Event], Handle],
    records_in_memory_max: int,
) -> int:
    """How many records six partitions were ever apart, while 500 of each were applied."""
    topic = await make_topic(partitions=6)
    ledger, go_on = Ledger(), asyncio.Event()
    for partition in range(6):
        await fill(publisher, topic, 500, partition)
    handle = handling(ledger, go_on)
    async with running(
        bootstrap, [topic], ledger, handle=handle, batch_size_max=20, records_in_memory_max=records_in_memory_max
    ) as worker:
        await until(lambda: len(sent_by_kafka(worker)) == 6, "Kafka has sent some of each")
        go_on.set()
        await until(lambda: ledger.count == 3000, "all are applied")
    done, apart = dict.fromkeys((PartitionId(topic, number) for number in range(6)), 0), 0
    for batch in ledger.batches:
        done[batch.partition] += len(batch.records)
        apart = max(apart, max(done.values()) - min(done.values()))
    return apart


async def test_no_partition_is_left_behind_while_memory_is_full(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    """Under a backlog one partition after the other was worked off while the rest stood still, long enough to look stalled."""
    apart = await apart_at_most(bootstrap, make_topic, publisher, one_by_one, records_in_memory_max=60)
    assert apart <= 250, "half of a partition"


async def test_no_partition_is_left_behind_by_a_handler_that_never_fills_memory(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    """What waits is more than memory holds, but little of it is in memory: Kafka's client served one partition after the other."""
    apart = await apart_at_most(bootstrap, make_topic, publisher, at_once, records_in_memory_max=600)
    assert apart <= 250, "half of a partition"


async def test_the_more_waits_in_a_partition_the_more_is_applied_of_it(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    """While memory is full, so that a backlog of all topics is through everywhere at about the same time."""
    topic = await make_topic(partitions=3)
    ledger, go_on = Ledger(), asyncio.Event()
    most, *others = (PartitionId(topic, number) for number in range(3))
    for partition, records in ((0, 900), (1, 150), (2, 150)):
        await fill(publisher, topic, records, partition)
    handle = one_by_one(ledger, go_on)
    async with running(
        bootstrap, [topic], ledger, handle=handle, batch_size_max=20, records_in_memory_max=90
    ) as worker:
        await until(lambda: len(sent_by_kafka(worker)) == 3, "Kafka has sent some of each")
        go_on.set()
        await until(lambda: all(len(ledger.applied[each]) == 150 for each in others), "those with little are through")
        assert len(ledger.applied[most]) >= 400, "with equal shares it would be at 150 or little more"
        await until(lambda: ledger.count == 1200, "all are applied")


async def test_a_rebalance_in_the_middle_of_a_look_ends_it(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await make_topic(partitions=3)
    ledger = Ledger()
    async with running(bootstrap, [topic], ledger, records_in_memory_max=1) as worker:
        thread = worker._consumer._thread
        for partition in range(3):
            await fill(publisher, topic, 5, partition)
        await until(lambda: ledger.count == 15, "all are applied")
        asked: list[object] = []

        async def revoke(_consumer: object, room: object, *_limits: object, **_named: object) -> dict[object, object]:
            asked.append(room)
            thread._end_stretches(list(thread.stretches))
            return {}

        with monkeypatch.context() as patch:
            patch.setattr(thread, "_take", revoke)
            patch.setattr(thread, "_crowded", True)
            patch.setattr(thread, "_count", lambda: None)
            patch.setattr(thread, "_shares", dict.fromkeys(thread.stretches, 5))
            found = await thread.call_thread(thread._fetch_records, thread._consumer, None, max_records=5, timeout=0)
        assert found == {}
        # The worker's own looks come in between: whoever is first asks for one partition, and then nobody has room.
        assert sum(isinstance(room, _Only) for room in asked) == 1


async def test_who_waits_for_memory_does_not_count_as_standing_still(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic = await make_topic(partitions=4)
    ledger, go_on, begun = Ledger(), asyncio.Event(), 0

    async def handle(batch: Batch) -> None:
        nonlocal begun
        begun += 1
        await go_on.wait()
        ledger.apply(batch)

    for partition in range(4):
        await fill(publisher, topic, 5, partition)
    async with running(bootstrap, [topic], ledger, handle=handle, batch_size_max=5, records_in_memory_max=1) as worker:
        await until(lambda: begun == 1, "one is in work, and memory is full")
        assert len(worker.marks()) == 4
        await until(lambda: all(mark.busy for mark in worker.marks().values()), "the others wait for memory")
        go_on.set()
        await until(lambda: ledger.count == 20, "all are applied")
        await until(lambda: not any(mark.busy for mark in worker.marks().values()), "nobody is busy any more")


async def test_halt_stops_one_partition_until_it_is_resumed(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic = await make_topic(partitions=2)
    bad, good = PartitionId(topic, 0), PartitionId(topic, 1)
    ledger, seen, mended = Ledger(), Seen(), False

    async def handle(batch: Batch) -> None:
        if batch.partition == bad and not mended:
            raise Halt("too many bad records")
        ledger.apply(batch)

    for partition in (bad, good):
        await fill(publisher, topic, 50, partition.partition)
    async with running(bootstrap, [topic], ledger, handle=handle, seen=seen) as worker:
        await until(lambda: seen.halts, "the bad one is stopped")
        await fill(publisher, topic, 50, bad.partition, first=50)
        await fill(publisher, topic, 50, good.partition, first=50)
        await until(lambda: len(ledger.applied[good]) == 100, "the good one goes on")
        assert ledger.applied[bad] == []
        assert worker.halted() == {bad: "too many bad records"}
        assert worker.lag()[bad] == 100
        mended = True
        worker.resume(bad)
        await until(lambda: len(ledger.applied[bad]) == 100, "the bad one is applied after all")
        assert worker.halted() == {}
    assert seen.halts == [(bad, "too many bad records")]


async def test_fenced_goes_back_to_where_the_ledger_is(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic = await make_topic(partitions=2)
    moved, other = PartitionId(topic, 0), PartitionId(topic, 1)
    ledger, seen, fenced = Ledger(), Seen(), False

    async def handle(batch: Batch) -> None:
        nonlocal fenced
        if batch.partition == moved and batch.start >= 100 and not fenced:
            fenced = True
            ledger.at[moved] = 300  # as another worker would do it
            raise Fenced("moved")
        ledger.apply(batch)

    for partition in (moved, other):
        await fill(publisher, topic, 500, partition.partition)
    async with running(bootstrap, [topic], ledger, handle=handle, seen=seen, batch_size_max=50):
        await until(lambda: ledger.at.get(moved) == 500 and ledger.at.get(other) == 500, "both are at the end")
    assert ledger.applied[moved] == [*range(100), *range(300, 500)]
    assert ledger.applied[other] == list(range(500))
    assert seen.reseeks == [(moved, "fenced")]


async def test_a_ledger_that_lost_its_last_transactions_is_given_them_again(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic = await make_topic()
    partition = PartitionId(topic, 0)
    ledger, seen = Ledger(), Seen()
    await fill(publisher, topic, 200)
    async with running(bootstrap, [topic], ledger, seen=seen):
        await until(lambda: ledger.at.get(partition) == 200, "all are applied")
        ledger.at[partition] = 120
        del ledger.applied[partition][120:]
        await fill(publisher, topic, 1, first=200)
        await until(lambda: ledger.at[partition] == 201, "the rest is applied again")
    assert ledger.applied[partition] == list(range(201))
    assert (partition, "fenced") in seen.reseeks


async def test_a_handler_that_is_cancelled_half_way_is_given_its_records_again(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic = await make_topic()
    ledger, cancelled, entered = Ledger(), asyncio.Event(), asyncio.Event()

    async def handle(batch: Batch) -> None:
        if not cancelled.is_set():
            entered.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise
        ledger.apply(batch)

    await fill(publisher, topic, 100)
    async with running(bootstrap, [topic], ledger, handle=handle) as worker:
        await until(entered.is_set, "the handler is inside")
        await worker._consumer.perform_seek()
        await until(lambda: ledger.count == 100, "all are applied")
    assert cancelled.is_set()
    assert ledger.applied[PartitionId(topic, 0)] == list(range(100))
