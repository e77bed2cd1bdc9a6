"""Publishing: keys decide as in Java's clients, transactions appear whole or not at all, a second owner fences the first."""

from contextlib import aclosing

import pytest
from confluent_kafka import Producer

from services.adapters.kafka.errors import PublisherFenced, TopicsMissing
from services.adapters.kafka.producer import Outgoing, Publisher, partition_for
from services.adapters.kafka.reader import read_from

from .conftest import MakeTopic
from .support import fill, fill_in_vain


async def values(bootstrap: str, topic: str, start: dict[int, int] | None = None) -> list[bytes | None]:
    return [record.value async for _, record in read_from(bootstrap, topic, start)]


async def test_keys_decide_the_partition_as_in_other_clients(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic = await make_topic(partitions=5)
    keys = [f"user-{n}".encode() for n in range(200)]
    await publisher.publish_all(Outgoing(topic, key, b"ours") for key in keys)
    other = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
    for key in keys:
        other.produce(topic, key=key, value=b"theirs")
    assert other.flush(30) == 0
    where = {(record.key, p.partition) async for p, record in read_from(bootstrap, topic)}
    assert where == {(key, partition_for(key, 5)) for key in keys}


async def test_publish_tells_where_the_record_is(bootstrap: str, make_topic: MakeTopic, publisher: Publisher) -> None:
    topic = await make_topic(partitions=2)
    await publisher.publish(topic, None, b"first", partition=1)
    written = await publisher.publish(topic, b"key", b"second", [("id", b"7")], partition=1)
    assert (written.topic, written.partition, written.offset) == (topic, 1, 1)
    ((_, record),) = [found async for found in read_from(bootstrap, topic, {1: 1})]
    assert (record.key, record.value, tuple(record.headers)) == (b"key", b"second", (("id", b"7"),))


async def test_a_transaction_is_read_whole_or_not_at_all(bootstrap: str, make_topic: MakeTopic) -> None:
    topic = await make_topic()
    async with Publisher(bootstrap, transactional_id=topic) as publisher:
        async with publisher.transaction():
            await fill(publisher, topic, 3)
            assert await values(bootstrap, topic) == []
        await fill_in_vain(publisher, topic, 3, first=100)
        async with publisher.transaction():
            await fill(publisher, topic, 1, first=3)
    assert await values(bootstrap, topic) == [b"0", b"1", b"2", b"3"]


async def test_a_new_owner_of_the_transactional_id_fences_the_old_one(bootstrap: str, make_topic: MakeTopic) -> None:
    topic = await make_topic()
    async with Publisher(bootstrap, transactional_id=topic) as old:
        async with old.transaction():
            await fill(old, topic, 1)
        async with Publisher(bootstrap, transactional_id=topic) as new:
            with pytest.raises(PublisherFenced):
                async with old.transaction():
                    await fill(old, topic, 1, first=100)
            async with new.transaction():
                await fill(new, topic, 1, first=1)
    assert await values(bootstrap, topic) == [b"0", b"1"]


async def test_the_reader_starts_where_it_is_told_and_ends_at_the_end(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic = await make_topic(partitions=3)
    for partition in range(3):
        await fill(publisher, topic, 10, partition, first=100 * partition)
    assert len(await values(bootstrap, topic)) == 30
    assert await values(bootstrap, topic, {1: 8}) == [b"108", b"109"]
    assert await values(bootstrap, topic, {1: 10}) == []
    assert await values(bootstrap, topic, {}) == []


async def test_a_following_reader_waits_for_more(bootstrap: str, make_topic: MakeTopic, publisher: Publisher) -> None:
    topic, seen = await make_topic(), list[bytes | None]()
    await fill(publisher, topic, 1)
    async with aclosing(read_from(bootstrap, topic, follow=True)) as records:
        async for _, record in records:
            seen.append(record.value)
            if len(seen) == 3:
                break
            await fill(publisher, topic, 1, first=len(seen))
    assert seen == [b"0", b"1", b"2"]


async def test_reading_a_missing_topic_says_the_remedy(bootstrap: str) -> None:
    with pytest.raises(TopicsMissing, match=r"nobody\.made-this"):
        await values(bootstrap, "nobody.made-this")
