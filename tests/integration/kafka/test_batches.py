"""Whole batches of each partition arrive in order, every record once, from the ledger's positions, whatever the codec or producer."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest

from services.adapters.kafka.admin import end_offsets
from services.adapters.kafka.producer import Compression, Outgoing, Publisher
from services.adapters.kafka.records import Batch, PartitionId

from .conftest import MakeTopic
from .support import Ledger, Seen, fill, fill_in_vain, new_group, running, until


def assert_chained(batches: Sequence[Batch]) -> None:
    """Batches of each partition join without a hole or an overlap."""
    for partition in {batch.partition for batch in batches}:
        chain = [batch for batch in batches if batch.partition == partition]
        for before, after in pairwise(chain):
            assert before.end == after.start


async def test_every_record_of_every_partition_arrives_once_and_in_order(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topics = [await make_topic(partitions=3), await make_topic(partitions=2)]
    records = [Outgoing(topics[n % 2], f"user-{n % 50}".encode(), str(n).encode()) for n in range(6000)]
    await publisher.publish_all(records)
    ledger = Ledger()
    async with running(bootstrap, topics, ledger, batch_size_max=500) as worker:
        await until(lambda: ledger.count == 6000, "all are applied")
        await until(lambda: worker.lag() == dict.fromkeys(worker.assignment(), 0), "nothing lags")
        assert worker.last_batch_at().keys() == ledger.applied.keys()
    ends = await end_offsets(bootstrap, topics)
    assert {p: list(range(end)) for p, end in ends.items() if end} == dict(ledger.applied)
    assert sorted(int(value or b"") for value in ledger.values) == list(range(6000))
    assert max(len(batch.records) for batch in ledger.batches) <= 500
    assert_chained(ledger.batches)


async def test_small_fetches_that_gather_behind_a_slow_handler_become_one_batch(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic = await make_topic()
    ledger = Ledger()
    go_on = asyncio.Event()

    async def handle(batch: Batch) -> None:
        await go_on.wait()
        ledger.apply(batch)

    async with running(bootstrap, [topic], ledger, handle=handle) as worker:
        partition = PartitionId(topic, 0)
        for number in range(5):
            await fill(publisher, topic, 1, first=number)
            await until(lambda: worker._consumer._thread.stretches[partition].due == number + 1, "it is fetched")  # noqa: B023
        go_on.set()
        await until(lambda: ledger.count == 5, "all are applied")
    assert [len(batch.records) for batch in ledger.batches] == [1, 4]
    assert_chained(ledger.batches)


async def test_positions_decide_where_to_start_and_not_the_offsets_committed_in_kafka(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic, group = await make_topic(partitions=3), new_group()
    for partition in range(3):
        await fill(publisher, topic, 100, partition)
    ledger = Ledger()
    async with running(bootstrap, [topic], ledger, group=group) as worker:
        await until(lambda: ledger.count == 300, "all are applied")
        consumer = worker._consumer
        await consumer.commit()
        committed = await consumer._thread.call_thread(
            consumer._thread._consumer.committed, next(iter(consumer.assignment()))
        )
    assert committed == 100
    again = Ledger({PartitionId(topic, 0): 40, PartitionId(topic, 1): 0})
    async with running(bootstrap, [topic], again, group=group):
        await until(lambda: again.count == 60 + 100 + 100, "what comes after the positions is applied")
    assert again.applied[PartitionId(topic, 0)] == list(range(40, 100))
    assert again.applied[PartitionId(topic, 1)] == list(range(100))
    assert again.applied[PartitionId(topic, 2)] == list(range(100))


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_compressed_records_are_read(bootstrap: str, make_topic: MakeTopic, codec: Compression) -> None:
    topic = await make_topic()
    async with Publisher(bootstrap, compression=codec) as publisher:
        await fill(publisher, topic, 1000)
    ledger = Ledger()
    async with running(bootstrap, [topic], ledger):
        await until(lambda: ledger.count == 1000, "all are applied")
    assert [int(value or b"") for value in ledger.values] == list(range(1000))


async def test_a_record_above_one_mebibyte_is_read_with_its_neighbours(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic = await make_topic(max_message_bytes="2000000")
    values = [b"before", b"x" * (1024 * 1024 + 100_000), b"after"]
    for value in values:
        await publisher.publish(topic, None, value)
    ledger = Ledger()
    async with running(bootstrap, [topic], ledger):
        await until(lambda: ledger.count == 3, "all are applied")
    assert ledger.values == values


async def test_records_are_handed_on_as_they_are(bootstrap: str, make_topic: MakeTopic, publisher: Publisher) -> None:
    topic = await make_topic()
    headers = (("ce_id", b"1"), ("ce_id", b"\xff"), ("nothing", None))
    await publisher.publish_all(
        [Outgoing(topic, b"\x00key", None, headers, timestamp_ms=1_700_000_000_123), Outgoing(topic, None, b"")]
    )
    ledger = Ledger()
    async with running(bootstrap, [topic], ledger):
        await until(lambda: ledger.count == 2, "both are applied")
    first, second = [record for batch in ledger.batches for record in batch.records]
    assert (first.key, first.value, tuple(first.headers)) == (b"\x00key", None, headers)
    assert (first.timestamp, first.offset) == (1_700_000_000_123, 0)
    assert (second.key, second.value, second.offset) == (None, b"", 1)


async def test_transactions_are_read_when_they_are_committed_and_their_markers_cost_no_seek(
    bootstrap: str, make_topic: MakeTopic
) -> None:
    topic, ledger, seen = await make_topic(), Ledger(), Seen()
    async with running(bootstrap, [topic], ledger, seen=seen, batch_size_max=3) as worker:
        asked = ledger.asked
        async with Publisher(bootstrap, transactional_id=topic) as publisher:
            for number in range(20):
                async with publisher.transaction():
                    await fill(publisher, topic, 2, first=2 * number)
            await fill_in_vain(publisher, topic, 5, first=1000)
            async with publisher.transaction():
                await fill(publisher, topic, 1, first=40)
        await until(lambda: ledger.count == 41, "what was committed is applied")
        await until(lambda: worker.lag() == {PartitionId(topic, 0): 0}, "markers do not count as lag")
        assert ledger.asked == asked
    assert [int(value or b"") for value in ledger.values] == list(range(41))
    assert seen.reseeks == []
    assert_chained(ledger.batches)
    ends = await end_offsets(bootstrap, [topic])
    assert ends[PartitionId(topic, 0)] > ledger.count


async def test_an_idle_partition_does_not_hold_up_a_busy_one(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic = await make_topic(partitions=2)
    ledger = Ledger()
    async with running(bootstrap, [topic], ledger, batch_size_max=10):
        await fill(publisher, topic, 500, partition=1)
        await until(lambda: ledger.count == 500, "all are applied")
    assert list(ledger.applied) == [PartitionId(topic, 1)]
