"""What the worker relies on in Faust and aiokafka beyond their documentation. A new version must pass this before it is used."""

import asyncio
import inspect
from collections.abc import Awaitable
from importlib.metadata import version
from typing import Any

import pytest
from aiokafka.consumer.consumer import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher
from faust.transport.consumer import ConsumerThread
from faust.transport.drivers import aiokafka as driver
from mode.threads import ServiceThread

from services.adapters.kafka.consumer_thread import BatchConsumerThread
from services.adapters.kafka.producer import Publisher
from services.adapters.kafka.records import Batch, PartitionId
from services.adapters.kafka.transport import BatchConsumer
from services.adapters.kafka.worker import Worker

from .conftest import MakeTopic
from .support import Ledger, fill, new_group, running, until


def test_the_versions_are_those_that_were_read() -> None:
    assert {name: version(name) for name in ("faust-streaming", "mode-streaming", "aiokafka")} == {
        "faust-streaming": "0.15.3",
        "mode-streaming": "0.7.1",
        "aiokafka": "0.14.0",
    }


@pytest.mark.parametrize(
    ("ours", "base", "added"),
    [
        (
            BatchConsumerThread, driver.AIOKafkaConsumerThread,
            {"_account", "_assignment", "_behind", "_count", "_end_stretches", "_is_settled", "_limit_of", "_room_of", "_seek_from",
             "_state_of", "_take", "_topic_ids", "_wake", "_with_room", "freed", "has_room", "is_held_back", "position_of",
             "seek_from", "topic_ids"},
        ),
        (BatchConsumer, driver.Consumer, {"applied_to", "confirmed", "hold", "is_held_back", "out_of_range", "seek_from",
                                                     "topic_ids"}),
    ],
)  # fmt: skip
def test_every_override_overrides_something(ours: type, base: type, added: set[str]) -> None:
    methods = {name for name, member in vars(ours).items() if inspect.isfunction(member)}
    assert {name for name in methods if not hasattr(base, name)} == added


def test_the_internals_that_are_called_exist() -> None:
    assert {"fetched_records", "_notify"} <= vars(Fetcher).keys()
    assert "_fetch_waiters" in inspect.getsource(Fetcher.__init__)
    assert {"position", "commit", "beginning_offsets", "end_offsets"} <= vars(AIOKafkaConsumer).keys()
    assert list(inspect.signature(driver.AIOKafkaConsumerThread._seek_wait).parameters) == [
        "self",
        "consumer",
        "partitions",
    ]
    assert "if partitions and tp not in partitions" in inspect.getsource(Fetcher.fetched_records)
    assert "max_records" in inspect.signature(driver.AIOKafkaConsumerThread._fetch_records).parameters
    assert "_close_thread_loop_on_stop" in inspect.getsource(ServiceThread.__init__)
    assert issubclass(driver.AIOKafkaConsumerThread, ConsumerThread)


async def test_the_stream_yields_events_and_acknowledges_none(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, group, events = await make_topic(partitions=3), new_group(), list[Any]()

    def only_listen(worker: Worker) -> None:
        monkeypatch.setattr(worker, "deliver", lambda _fetched, event: events.append(event))

    for partition in range(3):
        await fill(publisher, topic, 10, partition)
    async with running(bootstrap, [topic], Ledger(), group=group, prepare=only_listen) as worker:
        await until(lambda: len(events) == 3, "one event for each partition has come")
        assert [len(event.value.records) for event in events] == [10, 10, 10]
        assert not [event for event in events if event.message.acked]
        assert events[0].message.refcount == 1
        await worker._consumer.commit()
        assert await committed(worker) == {0: 0, 1: 0, 2: 0}
        events[0].ack()
        await worker._consumer.commit()
        offsets = await committed(worker)
        assert offsets.pop(events[0].message.partition) == 10
        assert set(offsets.values()) == {0}


async def test_every_seek_of_faust_asks_the_ledger(bootstrap: str, make_topic: MakeTopic, publisher: Publisher) -> None:
    topic, ledger = await make_topic(), Ledger()
    await fill(publisher, topic, 10)
    async with running(bootstrap, [topic], ledger) as worker:
        await until(lambda: ledger.count == 10, "all are applied")
        assert ledger.asked == 1
        ledger.at[PartitionId(topic, 0)] = 4
        await worker._consumer.perform_seek()
        await until(lambda: ledger.count == 16, "what comes after the new position is applied again")
        assert ledger.asked == 2


async def test_what_faust_has_read_does_not_hide_what_a_seek_delivers_again(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic, ledger = await make_topic(), Ledger()
    async with running(bootstrap, [topic], ledger) as worker:
        (partition,) = worker._consumer.assignment()
        worker._consumer._read_offset[partition] = 1_000_000  # as a late batch from before the seek leaves it
        await fill(publisher, topic, 10)
        await until(lambda: ledger.count == 10, "all are applied")


async def test_nothing_is_taken_from_an_assignment_before_it_is_sought(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, ledger = await make_topic(), Ledger()
    async with running(bootstrap, [topic], ledger) as worker:
        thread, partition = worker._consumer._thread, PartitionId(topic, 0)
        assert thread.has_room(partition)
        with monkeypatch.context() as patch:
            patch.setattr(thread._consumer._subscription.subscription, "_assignment", object())
            assert not thread.has_room(partition)
        assert thread.has_room(partition)


async def test_kafka_never_hears_of_more_than_the_ledger_has_confirmed(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic, ledger, entered, go_on = await make_topic(), Ledger(), asyncio.Event(), asyncio.Event()

    async def handle(batch: Batch) -> None:
        if batch.start >= 20:
            entered.set()
            await go_on.wait()
        ledger.apply(batch)

    await fill(publisher, topic, 50)
    async with running(bootstrap, [topic], ledger, handle=handle, batch_size_max=10) as worker:
        await until(entered.is_set, "the third batch is in hand")
        (partition,) = worker._consumer.assignment()
        assert await worker._consumer._commit({partition: 50})
        assert await committed(worker) == {0: 20}
        go_on.set()
        await until(lambda: ledger.count == 50, "all are applied")
        await worker._consumer.commit()
        assert await committed(worker) == {0: 50}


async def test_a_commit_that_fails_does_not_crash_the_worker(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, ledger = await make_topic(), Ledger()

    def refuse(*_: object) -> Awaitable[None]:
        raise driver.CommitFailedError("the group has moved on")

    async with running(bootstrap, [topic], ledger) as worker:
        monkeypatch.setattr(worker._consumer._thread._consumer, "commit", refuse)
        await fill(publisher, topic, 10)
        await until(lambda: ledger.count == 10, "the first are applied")
        assert not await worker._consumer.commit()
        await fill(publisher, topic, 10, first=10)
        await until(lambda: ledger.count == 20, "the rest is applied")


async def committed(worker: Worker) -> dict[int, int | None]:
    """What Kafka holds for the worker's group."""
    thread = worker._consumer._thread
    return {
        partition.partition: await thread.call_thread(thread._consumer.committed, partition)
        for partition in sorted(worker._consumer.assignment())
    }
