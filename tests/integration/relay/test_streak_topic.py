"""Derived streaks go to a topic in, which has partitions of its own number: each message once, in order, through crashes."""

import asyncio

import confluent_kafka
import pytest
from typing_extensions import override

from mission_events import TOPICS_OUT
from services.adapters.kafka.admin import ensure_topics
from services.adapters.kafka.producer import Publisher
from services.adapters.kafka.transactional import OutputTopics
from services.adapters.ledger.outbox import OutboxMessage
from services.adapters.ledger.relay_store import RelayStore
from services.missions.streaks import StreakSource
from services.relay import app
from tests.integration.relay.world import (
    PARTITIONS,
    PATIENCE_SECONDS,
    Read,
    WantedTopic,
    World,
    _as_read,
    assert_once_and_in_order,
    message,
)

STREAKS = app.STREAK_TOPIC.name


class StreakWorld(World):
    """A deployment whose relay publishes streaks too."""

    @override
    def topics(self) -> OutputTopics:
        return OutputTopics(self.bootstrap, self.prefix, (*TOPICS_OUT, app.STREAK_TOPIC))

    async def make_streak_topic(self, partitions: int) -> None:
        """The topic in, with so many partitions."""
        wanted = WantedTopic(self.prefix + STREAKS, partitions, app.STREAK_TOPIC.config())
        await ensure_topics(self.bootstrap, [wanted])

    async def read_streaks(self) -> list[Read]:
        """All that a `read_committed` consumer finds in the topic of streaks."""
        return await asyncio.to_thread(self._read_streaks)

    def _read_streaks(self) -> list[Read]:
        consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "not-used",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        topic = self.prefix + STREAKS
        try:
            partitions = consumer.list_topics(topic, timeout=PATIENCE_SECONDS).topics[topic].partitions
            consumer.assign([confluent_kafka.TopicPartition(topic, p, 0) for p in partitions])
            found, left = [], set(partitions)
            while left:
                record = consumer.poll(PATIENCE_SECONDS)
                assert record is not None, f"no end of {left}"
                if record.error() is not None:
                    left.discard(record.partition())
                else:
                    found.append(_as_read(record, self.prefix))
            return found
        finally:
            consumer.close()


@pytest.fixture
def streak_world(world: World) -> StreakWorld:
    """A deployment with an empty ledger and empty topics out."""
    return StreakWorld(world.dsn, world.bootstrap, world.prefix, world.pool)


def streak_messages(users: int, each: int) -> list[OutboxMessage]:
    return [message(user, number, STREAKS) for number in range(each) for user in range(users)]


@pytest.mark.parametrize("partitions", [1, 3, PARTITIONS, 9])
async def test_streaks_reach_a_topic_of_any_number_of_partitions(streak_world: StreakWorld, partitions: int) -> None:
    await streak_world.make_streak_topic(partitions)
    streaks, others = streak_messages(30, 20), [message(user, 99) for user in range(30)]
    await streak_world.put([*streaks, *others])
    async with streak_world.relay():
        await streak_world.drained()
    found = await streak_world.read_streaks()
    assert_once_and_in_order(found, streaks)
    assert_once_and_in_order(await streak_world.read(), others)
    places = {(record.key, record.partition) for record in found}
    assert len(places) == 30, "one user's streaks stay in one partition"


@pytest.mark.parametrize("partitions", [2, 9])
async def test_a_relay_cut_off_at_any_step_repeats_no_streak(streak_world: StreakWorld, partitions: int) -> None:
    await streak_world.make_streak_topic(partitions)
    put = streak_messages(60, 60)
    await streak_world.put(put)
    await streak_world.cut_off_at_every_step()
    async with streak_world.relay():
        await streak_world.drained()
    assert_once_and_in_order(await streak_world.read_streaks(), put)


async def test_streaks_of_other_services_in_the_topic_do_not_disturb(streak_world: StreakWorld) -> None:
    await streak_world.make_streak_topic(2)
    topic = streak_world.prefix + STREAKS
    async with Publisher(streak_world.bootstrap) as other:
        for number in range(50):
            await other.publish(topic, b"user-1", b"theirs-%d" % number, partition=number % 2)
    put = streak_messages(20, 5)
    await streak_world.put(put)
    async with streak_world.relay() as relay:
        await streak_world.drained()
        assert relay.trouble() is None
    found = await streak_world.read_streaks()
    assert_once_and_in_order([record for record in found if record.headers], put)
    assert sum(not record.headers for record in found) == 50


async def test_the_topic_is_published_to_where_streaks_are_derived_or_some_still_wait(world: World) -> None:
    store = RelayStore(world.pool)
    assert await app.topics_to_publish(StreakSource.UPSTREAM, store) == TOPICS_OUT
    assert await app.topics_to_publish(StreakSource.DERIVED, store) == (*TOPICS_OUT, app.STREAK_TOPIC)
    await world.put(streak_messages(1, 1))
    assert await app.topics_to_publish(StreakSource.UPSTREAM, store) == (*TOPICS_OUT, app.STREAK_TOPIC)


async def test_a_relay_of_derived_streaks_starts_on_any_number_of_their_partitions(streak_world: StreakWorld) -> None:
    await streak_world.make_streak_topic(7)
    await app.require_partitions(streak_world.topics(), RelayStore(streak_world.pool), PARTITIONS)
