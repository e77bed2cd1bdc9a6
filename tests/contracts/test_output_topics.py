"""What the relay relies on in Kafka, on a broker in memory and on a real one."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from uuid import UUID

import pytest

from services.adapters.kafka.errors import PublishFailed
from services.adapters.kafka.transactional import OutgoingMessage, OutputTopics, TransactionalWriter
from tests.contracts.conftest import PARTITIONS, TopicsFactory

COMPLETED, GRANTED = "missions.mission-completed", "missions.reward-granted"


def message(number: int, topic: str = COMPLETED) -> OutgoingMessage:
    return OutgoingMessage(topic, b"key", b"value", [("id", message_id(number).encode())])


def message_id(number: int) -> str:
    return str(UUID(int=number))


async def publish(writer: TransactionalWriter, *messages: OutgoingMessage) -> Mapping[str, int]:
    await writer.begin()
    ends = await writer.send(messages)
    await writer.commit()
    return ends


async def found(topics: OutputTopics, since: Mapping[str, int], partition: int = 0) -> dict[str, tuple[list[str], int]]:
    """Ids and end of each topic's scan."""
    ids: dict[str, list[str]] = {topic: [] for topic in since}
    ends = dict(since)
    async with aclosing(topics.published(dict.fromkeys(since, partition), since)) as pieces:
        async for piece in pieces:
            ids[piece.topic] += piece.message_ids
            ends[piece.topic] = piece.next_offset
    return {topic: (ids[topic], ends[topic]) for topic in since}


def named(numbers: Sequence[int]) -> list[str]:
    return [message_id(number) for number in numbers]


async def test_what_is_committed_is_found_from_where_one_looks(any_topics: TopicsFactory) -> None:
    topics = await any_topics()
    assert (await topics.shapes())[COMPLETED].partitions == PARTITIONS
    async with topics.writer(0) as writer:
        first = await publish(writer, message(1), message(2, GRANTED), message(3))
        second = await publish(writer, message(4))
    assert first == {COMPLETED: 2, GRANTED: 1}
    assert second == {COMPLETED: 4}, "a marker of the first transaction lies between"

    assert await found(topics, {COMPLETED: 0, GRANTED: 0}) == {
        COMPLETED: (named([1, 3, 4]), 5),
        GRANTED: (named([2]), 2),
    }
    assert await found(topics, {COMPLETED: 1}) == {COMPLETED: (named([3, 4]), 5)}
    assert await found(topics, {COMPLETED: 5}) == {COMPLETED: ([], 5)}
    assert await found(topics, {COMPLETED: 0}, partition=1) == {COMPLETED: ([], 0)}


async def test_a_new_writer_ends_what_its_predecessor_had_begun_and_fences_it(any_topics: TopicsFactory) -> None:
    topics = await any_topics()
    async with topics.writer(0) as stalled:
        await stalled.begin()
        await stalled.send([message(1)])
        async with topics.writer(0) as writer, topics.writer(1) as neighbour:
            await publish(writer, message(2))
            await publish(neighbour, message(3))
            with pytest.raises(PublishFailed):
                await stalled.commit()
            with pytest.raises(PublishFailed):
                await publish(stalled, message(4))
            await publish(writer, message(5))

    [(ids, _)] = (await found(topics, {COMPLETED: 0})).values()
    assert ids == named([2, 5])
    [(ids, _)] = (await found(topics, {COMPLETED: 0}, partition=1)).values()
    assert ids == named([3])


async def test_what_was_not_committed_is_not_found(any_topics: TopicsFactory) -> None:
    topics = await any_topics()
    with suppress(RuntimeError):
        async with topics.writer(0) as writer:
            await writer.begin()
            await writer.send([message(1)])
            raise RuntimeError
    async with topics.writer(0) as writer:
        await publish(writer, message(2))

    [(ids, end)] = (await found(topics, {COMPLETED: 0})).values()
    assert (ids, end) == (named([2]), 4)
