"""A topic out that is not the one that was published to: the relay stops by name, and goes on when an operator says so."""

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from mission_events import TOPICS_OUT
from services.adapters.kafka.admin import topic_state
from services.adapters.kafka.errors import KafkaProblem
from services.adapters.ledger.actions import By
from services.adapters.ledger.partitions import PartitionStore
from services.relay.relay import Relay

from .world import COMPLETED, PARTITIONS, World, message, until


async def _trouble(relay: Relay, text: str) -> bool:
    return text in (relay.trouble() or "")


async def _admin(world: World) -> AIOKafkaAdminClient:
    client = AIOKafkaAdminClient(bootstrap_servers=world.bootstrap)
    await client.start()
    return client


async def test_a_topic_made_anew_is_not_published_to_until_it_is_accepted(world: World) -> None:
    [topic] = [each for each in TOPICS_OUT if each.name == COMPLETED]
    name = world.prefix + COMPLETED
    await world.put([message(user, 0) for user in range(8)])
    async with world.relay():
        await world.drained()
    before = (await topic_state(world.bootstrap, name)).topic_id
    client = await _admin(world)
    await client.delete_topics([name])
    await client.close()

    async def is_new() -> bool:
        try:
            await world.make_topics([topic])
            return (await topic_state(world.bootstrap, name)).topic_id != before
        except KafkaProblem:  # the broker is still deleting
            return False

    await until(is_new)
    await world.put([message(user, 1) for user in range(8)])
    async with world.relay() as relay:
        await until(lambda: _trouble(relay, f"missions partitions restart {name} --confirm"))
        assert await world.waiting() == 8
        topic_id = (await topic_state(world.bootstrap, name)).topic_id
        assert topic_id is not None
        store = PartitionStore(world.pool)
        assert await store.restart_output(COMPLETED, topic_id, By("olga"), dry_run=True) == list(range(PARTITIONS))
        await store.restart_output(COMPLETED, topic_id, By("olga"))
        await world.drained()
    assert len([record for record in await world.read() if record.topic == COMPLETED]) == 8


async def test_another_number_of_partitions_stops_a_running_relay(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.relay.lane.TOPICS_SECONDS", 0.2)
    async with world.relay() as relay:
        await world.put([message(user, 0) for user in range(8)])
        await world.drained()
        client = await _admin(world)
        await client.create_partitions({world.prefix + COMPLETED: NewPartitions(PARTITIONS + 2)})
        await client.close()
        await until(lambda: _trouble(relay, f"MISSIONS_OUTPUT_PARTITIONS={PARTITIONS + 2}"))
        await world.put([message(user, 1) for user in range(8)])
        assert await world.waiting() == 8
