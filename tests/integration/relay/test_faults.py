"""Servers go away and come back: the relay waits, says so, and goes on."""

import asyncio

from services.stack.server import Servers
from tests.integration.relay.world import World, assert_once_and_in_order, messages, until


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
