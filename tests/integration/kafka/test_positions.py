"""What happens when the ledger's position and the log do not meet: retention, truncation, and batches that went missing inside us."""

import asyncio
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from typing_extensions import override

from services.adapters.kafka.errors import WorkerFailed
from services.adapters.kafka.producer import Publisher
from services.adapters.kafka.records import Batch, PartitionId
from services.adapters.kafka.transport import BatchScheduler

from .conftest import MakeTopic
from .support import Ledger, Seen, fill, running, until


async def delete_before(bootstrap: str, partition: PartitionId, offset: int) -> None:
    """Does at once what retention does in time."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(*partition): RecordsToDelete(before_offset=offset)})
    finally:
        await admin.close()


async def test_a_position_that_retention_has_overtaken_goes_to_the_log_start_and_is_reported(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic = await make_topic()
    partition = PartitionId(topic, 0)
    await fill(publisher, topic, 100)
    await delete_before(bootstrap, partition, 60)
    ledger, seen = Ledger({partition: 20}), Seen()
    async with running(bootstrap, [topic], ledger, seen=seen):
        await until(lambda: ledger.count == 40, "what is left is applied")
    assert seen.lost == [(partition, 20, 60)]
    assert ledger.applied[partition] == list(range(60, 100))
    assert (ledger.batches[0].start, ledger.batches[-1].end) == (20, 100)  # the ledger's chain has no hole


async def test_a_partition_never_read_starts_at_its_log_start_without_alarm(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic = await make_topic()
    partition = PartitionId(topic, 0)
    await fill(publisher, topic, 100)
    await delete_before(bootstrap, partition, 60)
    ledger, seen = Ledger(), Seen()
    async with running(bootstrap, [topic], ledger, seen=seen):
        await until(lambda: ledger.count == 40, "what is left is applied")
    assert seen.lost == []
    assert ledger.batches[0].start == 60


async def test_retention_that_overtakes_a_running_worker_is_reported(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic = await make_topic()
    partition = PartitionId(topic, 0)
    ledger, seen, go_on, entered = Ledger(), Seen(), asyncio.Event(), asyncio.Event()

    async def handle(batch: Batch) -> None:
        entered.set()
        await go_on.wait()
        ledger.apply(batch)

    await fill(publisher, topic, 1000)
    async with running(bootstrap, [topic], ledger, handle=handle, seen=seen, batch_size_max=10) as worker:
        await until(entered.is_set, "the first batch is in hand")
        # What the client has fetched in advance is forgotten, so that it must ask the broker again.
        thread = worker._consumer._thread
        await fill(publisher, topic, 1, first=1000)
        await delete_before(bootstrap, partition, 900)
        thread.thread_loop.call_soon_threadsafe(thread._consumer._fetcher._records.clear)
        go_on.set()
        await until(lambda: ledger.at.get(partition) == 1001, "the rest is applied")
    assert (partition, "out-of-range") in seen.reseeks
    ((_, position, log_start),) = seen.lost
    assert log_start == 900
    assert ledger.applied[partition] == [*range(position), *range(900, 1001)]


async def test_a_position_beyond_the_end_of_the_log_stops_the_partition(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic = await make_topic(partitions=2)
    broken, good = PartitionId(topic, 0), PartitionId(topic, 1)
    ledger, seen = Ledger({broken: 5000}), Seen()
    for partition in (broken, good):
        await fill(publisher, topic, 10, partition.partition)
    async with running(bootstrap, [topic], ledger, seen=seen) as worker:
        await until(lambda: ledger.at.get(good) == 10, "the good one is applied")
        assert worker.halted().keys() == {broken}
    assert "beyond the end" in seen.halts[0][1]
    assert ledger.at[broken] == 5000


async def test_a_batch_lost_between_client_and_lane_is_fetched_again(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await make_topic()
    partition = PartitionId(topic, 0)
    dropped: list[Any] = []
    iterate = BatchScheduler.iterate

    def forgetful(self: BatchScheduler, records: Mapping[Any, Any]) -> Iterator[tuple[Any, Any]]:
        for key, fetched in iterate(self, records):
            if not dropped and fetched.start > 0:
                dropped.append(fetched)
            else:
                yield key, fetched

    monkeypatch.setattr(BatchScheduler, "iterate", forgetful)
    await fill(publisher, topic, 500)
    ledger, seen = Ledger(), Seen()
    async with running(bootstrap, [topic], ledger, seen=seen, batch_size_max=50):
        await until(lambda: ledger.at.get(partition) == 500, "all are applied")
    assert dropped
    assert seen.reseeks == [(partition, "skipped")]
    assert ledger.applied[partition] == list(range(500))


async def test_a_ledger_that_went_back_is_followed_though_no_record_comes(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    """As after a crash of Postgres, which takes its last commits with it where nobody waited for the disk."""
    topic = await make_topic(partitions=3)
    lost, kept, never_read = (PartitionId(topic, number) for number in range(3))
    ledger, seen = Ledger(), Seen()
    for partition in (lost, kept):
        await fill(publisher, topic, 10, partition.partition)
    async with running(bootstrap, [topic], ledger, seen=seen, ledger_look_s=0.1) as worker:
        await until(lambda: ledger.count == 20, "all are applied")
        asked = ledger.asked
        await until(lambda: ledger.asked > asked + 2, "the ledger is looked at")
        assert seen.reseeks == []

        ledger.at[lost] = 7
        await until(lambda: ledger.at[lost] == 10, "what was lost is applied again")
        asked = ledger.asked
        await until(lambda: ledger.asked > asked + 2, "the ledger is looked at")
        assert worker.marks().keys() == {lost, kept, never_read}
    assert seen.reseeks == [(lost, "went-back")]
    assert ledger.applied[lost] == [*range(10), *range(7, 10)]
    assert ledger.applied[kept] == list(range(10))


async def test_a_hole_at_the_place_sought_is_accepted_and_reported(bootstrap: str, make_topic: MakeTopic) -> None:
    topic = await make_topic()
    partition = PartitionId(topic, 0)
    async with Publisher(bootstrap, transactional_id=topic) as publisher:
        for number in range(2):
            async with publisher.transaction():
                await fill(publisher, topic, 3, first=3 * number)
    ledger, seen = Ledger({partition: 3}), Seen()  # the offset of the first transaction's marker
    async with running(bootstrap, [topic], ledger, seen=seen) as worker:
        await until(lambda: ledger.count == 3, "the second transaction is applied")
        # Nothing waits behind the last marker: the watchdog must not take it for records.
        await until(lambda: worker.marks()[partition].applied_to == 8, "the last marker is passed")
    assert seen.gaps == [(partition, 3, 4)]
    assert seen.reseeks == []
    assert ledger.batches[0].start == 3


async def test_nothing_is_handed_over_while_positions_are_being_read(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic = await make_topic()
    partition, go_on = PartitionId(topic, 0), asyncio.Event()

    class SlowLedger(Ledger):
        @override
        async def positions(self, partitions: AbstractSet[PartitionId]) -> Mapping[PartitionId, int]:
            found = await super().positions(partitions)
            if self.asked > 1:
                await go_on.wait()
            return found

    ledger, seen = SlowLedger(), Seen()
    async with running(bootstrap, [topic], ledger, seen=seen) as worker:
        seek = asyncio.create_task(worker._consumer.perform_seek())
        await until(lambda: ledger.asked == 2, "the seek asks for positions")
        await fill(publisher, topic, 10)
        await until(lambda: worker._consumer.highwater(partition) == 10, "the client has fetched them")
        assert ledger.count == 0
        go_on.set()
        await seek
        await until(lambda: ledger.count == 10, "all are applied")
    assert seen.reseeks == []


async def test_positions_that_cannot_be_read_end_the_worker(bootstrap: str, make_topic: MakeTopic) -> None:
    topic = await make_topic()

    class BrokenLedger(Ledger):
        @override
        async def positions(self, partitions: AbstractSet[PartitionId]) -> Mapping[PartitionId, int]:
            raise ZeroDivisionError("an invariant of the test")

    with pytest.raises(WorkerFailed, match="an invariant of the test"):
        async with running(bootstrap, [topic], BrokenLedger()):
            pass


async def handed_over(
    bootstrap: str, publisher: Publisher, ledger: Ledger, records: int, **how: Any
) -> dict[PartitionId, tuple[int, int]]:
    """(start, offset of the first record) of the first batch of each partition that the ledger has, of 100 records each; waits until so
    many are handed over in all."""
    batches: list[Batch] = []

    async def handle(batch: Batch) -> None:
        batches.append(batch)

    for topic, partition in ledger.at:
        await fill(publisher, topic, 100, partition)
    async with running(bootstrap, [topic], ledger, handle=handle, lookback=20, **how):
        await until(lambda: sum(len(batch.records) for batch in batches) == records, "all are handed over")
    return {batch.partition: (batch.start, batch.records[0].offset) for batch in reversed(batches)}


async def test_lookback_hands_over_again_what_comes_just_before_the_position(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic, seen = await make_topic(partitions=2), Seen()
    far, near = PartitionId(topic, 0), PartitionId(topic, 1)
    first = await handed_over(bootstrap, publisher, Ledger({far: 50, near: 5}), 70 + 100, seen=seen)
    assert first == {far: (30, 30), near: (0, 0)}
    assert seen.lost == []


async def test_the_last_batch_is_handed_over_again_from_its_beginning(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    """Redis may not have heard of it: its worker may have been killed after the commit."""
    topic = await make_topic(partitions=2)
    large, small = PartitionId(topic, 0), PartitionId(topic, 1)

    async def batch_starts(_partitions: AbstractSet[PartitionId]) -> Mapping[PartitionId, int]:
        return {large: 7, small: 48}

    ledger = Ledger({large: 50, small: 50})
    first = await handed_over(bootstrap, publisher, ledger, 93 + 70, batch_starts=batch_starts)
    assert first == {large: (7, 7), small: (30, 30)}
