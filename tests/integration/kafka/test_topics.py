"""Topics are made when they are missing, reported when they differ, and never touched otherwise."""

import pytest

from services.adapters.kafka.admin import (
    PartitionMismatch,
    end_offsets,
    ensure_topics,
    missing_topics,
    partition_counts,
)
from services.adapters.kafka.errors import BrokerUnreachable, KafkaProblem, TopicsMissing
from services.adapters.kafka.producer import Publisher
from services.adapters.kafka.records import PartitionId
from tests.support.stack import free_port

from .conftest import MakeTopic, Topic
from .support import fill, new_group


async def test_missing_topics_are_created_once(bootstrap: str) -> None:
    topics = [Topic(f"a-{new_group()}", 3, {"retention.ms": "3600000"}), Topic(f"b-{new_group()}", 1)]
    names = tuple(topic.name for topic in topics)
    assert await missing_topics(bootstrap, names) == sorted(names)
    first = await ensure_topics(bootstrap, topics)
    assert (first.created, first.existing, first.mismatched) == (names, (), ())
    second = await ensure_topics(bootstrap, topics)
    assert (second.created, second.existing, second.mismatched) == ((), names, ())
    assert await missing_topics(bootstrap, names) == []
    counts = await partition_counts(bootstrap)
    assert [counts[name] for name in names] == [3, 1]


async def test_another_number_of_partitions_is_reported_and_left(bootstrap: str, make_topic: MakeTopic) -> None:
    name = await make_topic(partitions=2)
    report = await ensure_topics(bootstrap, [Topic(name, 8)])
    assert report.mismatched == (PartitionMismatch(name, wanted=8, found=2),)
    assert (await partition_counts(bootstrap))[name] == 2


async def test_a_refused_configuration_is_said(bootstrap: str) -> None:
    with pytest.raises(KafkaProblem, match=r"no\.such\.setting"):
        await ensure_topics(bootstrap, [Topic(f"c-{new_group()}", 1, {"no.such.setting": "1"})])


async def test_end_offsets_are_those_that_a_committed_reader_reaches(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic = await make_topic(partitions=2)
    await fill(publisher, topic, 7, partition=1)
    async with Publisher(bootstrap, transactional_id=topic) as transactional, transactional.transaction():
        await fill(transactional, topic, 3, partition=1)
        assert await end_offsets(bootstrap, [topic]) == {PartitionId(topic, 0): 0, PartitionId(topic, 1): 7}
    with pytest.raises(TopicsMissing, match="missions topics apply"):
        await end_offsets(bootstrap, [topic, "nobody.made-this"])


async def test_an_unreachable_broker_is_named() -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokerUnreachable, match=f"no Kafka broker answers at {nowhere}"):
        await missing_topics(nowhere, ["any"])
    with pytest.raises(BrokerUnreachable, match="MISSIONS_KAFKA_BOOTSTRAP"):
        await Publisher(nowhere).start()
