"""Servers go away and come back: the relay waits, says so, and goes on."""

import asyncio
import itertools
import logging
import time

import aiokafka
import confluent_kafka
import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.transaction import EndTxnRequest

from services.adapters.kafka import transactional
from services.adapters.kafka.clients import close_consumer, pace
from services.adapters.kafka.errors import PublishFailed
from services.relay.publication import Step
from services.stack.server import Servers
from tests.integration.relay.world import COMPLETED, PARTITIONS, World, assert_once_and_in_order, messages, until

STRANGER = b"stranger"
"""The key of records that are not ours."""


async def test_a_broker_that_is_away_for_a_while_loses_and_repeats_nothing(world: World, servers: Servers) -> None:
    put = messages(users=40, each=60)
    await world.put(put[:800])
    async with world.relay() as relay:
        await asyncio.to_thread(servers.kafka.stop)
        try:
            await world.put(put[800:1600])

            async def it_says_so() -> bool:
                return relay.trouble() is not None

            await until(it_says_so)
            assert await world.waiting() >= 800
        finally:
            await asyncio.to_thread(servers.kafka.start)
        await world.put(put[1600:])
        await world.drained()

        async def all_is_well() -> bool:
            return relay.trouble() is None and all(lane.held for lane in relay.lanes)

        await until(all_is_well)
    assert_once_and_in_order(await world.read(), put)


async def test_a_broker_killed_while_it_is_written_to_loses_and_repeats_nothing(world: World, servers: Servers) -> None:
    put = messages(users=60, each=200)
    await world.put(put)
    async with world.relay():

        async def half_is_published() -> bool:
            return await world.waiting() < len(put) // 2

        await until(half_is_published)
        await asyncio.to_thread(servers.kafka.kill_hard)
        await asyncio.to_thread(servers.kafka.start)
        await world.drained()
    assert_once_and_in_order(await world.read(), put)


async def test_postgres_restarted_in_the_middle_loses_and_repeats_nothing(world: World, servers: Servers) -> None:
    put = messages(users=60, each=100)
    await world.put(put)
    async with world.relay():

        async def half_is_published() -> bool:
            return await world.waiting() < len(put) // 2

        await until(half_is_published)
        await asyncio.to_thread(servers.postgres.restart)
        await world.drained()
    assert_once_and_in_order(await world.read(), put)


async def test_a_relay_that_can_not_reach_the_broker_ends_when_it_is_told_to(world: World, servers: Servers) -> None:
    await asyncio.to_thread(servers.kafka.stop)
    try:
        async with world.relay() as relay:

            async def it_says_so() -> bool:
                return all(lane.trouble is not None for lane in relay.lanes)

            await until(it_says_so)
    finally:
        await asyncio.to_thread(servers.kafka.start)


def open_transaction_everywhere(world: World) -> confluent_kafka.Producer:
    """Another producer's transaction in every partition of one topic, neither committed nor aborted yet."""
    stranger = confluent_kafka.Producer(
        {"bootstrap.servers": world.bootstrap, "transactional.id": world.prefix + "stranger"}
    )
    stranger.init_transactions()
    stranger.begin_transaction()
    for partition in range(PARTITIONS):
        stranger.produce(world.prefix + COMPLETED, b"not ours", key=STRANGER, partition=partition)
    stranger.flush()
    return stranger


async def test_a_broker_that_ends_during_a_scan_is_an_error_and_no_cancellation(
    world: World, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactional, "SCAN_SILENCE_SECONDS", 3.0)
    topics = world.topics()
    # So that the scan can't come to its end.
    await asyncio.to_thread(open_transaction_everywhere, world)
    try:
        async with topics.writer(0) as writer:
            pieces = topics.published(writer.partitions, dict.fromkeys(topics.names, 0))
            await anext(pieces)
            await asyncio.to_thread(servers.kafka.stop)
            with pytest.raises(PublishFailed):
                await anext(piece async for piece in pieces if piece.next_offset < 0)
    finally:
        await asyncio.to_thread(servers.kafka.start)


async def test_messages_behind_another_producers_open_transaction_are_not_overlooked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactional, "SCAN_SILENCE_SECONDS", 2.0)
    put = messages(users=40, each=4)
    await world.put(put)
    all_are_there, published = asyncio.Barrier(PARTITIONS), asyncio.Semaphore(0)
    strangers: list[confluent_kafka.Producer] = []

    async def on_step(step: Step) -> None:
        if step == "durable":
            # A lane that still looks at what is published would wait there for the stranger, and never publish.
            if await all_are_there.wait() == 0:
                strangers.append(await asyncio.to_thread(open_transaction_everywhere, world))
            await all_are_there.wait()
        elif step == "published":
            published.release()
            await asyncio.Event().wait()

    async with world.relay(on_step, cut_off=True):
        for _ in range(PARTITIONS):
            await published.acquire()
    async with world.relay() as relay:

        async def it_waits_or_has_gone_on() -> bool:
            return all(lane.trouble for lane in relay.lanes) or await world.waiting() == 0

        await until(it_waits_or_has_gone_on)
        await asyncio.to_thread(strangers[0].commit_transaction)
        await world.drained()
    assert_once_and_in_order([record for record in await world.read() if record.key != STRANGER], put)


async def test_a_commit_whose_answer_is_lost_is_not_asked_again_but_looked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first asking might be held up on its way and end the next transaction half way."""
    send = AIOKafkaClient.send
    lost: set[tuple[int, int]] = set()
    asked_again: list[tuple[int, int]] = []
    ends = itertools.count(1)

    async def lose_some_answers(client: AIOKafkaClient, node: int, request: object, **options: object) -> object:
        if not isinstance(request, EndTxnRequest):
            return await send(client, node, request, **options)
        writer = (request._producer_id, request._producer_epoch)
        if writer in lost:
            asked_again.append(writer)
        answer = await send(client, node, request, **options)
        if next(ends) % 3 == 0:
            lost.add(writer)
            raise KafkaConnectionError("the connection broke before the answer came")
        return answer

    monkeypatch.setattr(AIOKafkaClient, "send", lose_some_answers)
    put = messages(users=60, each=150)
    await world.put(put)
    async with world.relay():
        await world.drained()
    assert lost
    assert not asked_again
    assert_once_and_in_order(await world.read(), put)


async def test_a_client_that_does_not_know_its_leader_asks_an_absent_broker_with_pauses(
    world: World, servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    asked = 20
    consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=world.bootstrap, enable_auto_commit=False)
    pace(consumer._client)
    await consumer.start()
    try:
        await asyncio.to_thread(servers.kafka.stop)
        with caplog.at_level(logging.ERROR, "aiokafka"):
            start = time.monotonic()
            consumer.assign([aiokafka.TopicPartition(world.prefix + "missions.mission-completed", 0)])

            async def it_has_asked_often() -> bool:
                return sum("Unable to update metadata" in record.message for record in caplog.records) >= asked

            await until(it_has_asked_often)
            # Without pauses this takes a few milliseconds, on however slow a machine.
            assert time.monotonic() - start > 1
    finally:
        await close_consumer(consumer)
        await asyncio.to_thread(servers.kafka.start)
