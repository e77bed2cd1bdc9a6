"""Killed at any step, or on a ledger that has lost its newest commits: nothing is lost, and no consumer reads anything twice."""

import asyncio
import signal
from typing import get_args

import asyncpg
import pytest
from msgspec import structs

from mission_events import TOPICS_OUT
from services.adapters.ledger.relay_store import FOUND_KEPT, RelayStore
from services.relay.publication import Step
from services.stack.server import Servers
from tests.integration.relay.world import (
    PARTITIONS,
    World,
    assert_once_and_in_order,
    messages,
    quiet_log_writer,
    until,
)


async def killed_at(world: World, step: str, count: int) -> None:
    """Runs a relay that dies when it comes to `step` for the `count`-th time."""
    process = await world.start_process("--dies-at", step, "--count", str(count))
    assert await process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("step", get_args(Step))
async def test_a_relay_killed_at_any_step_loses_and_repeats_nothing(world: World, step: Step) -> None:
    put = messages(users=60, each=150)
    await world.put(put)
    await killed_at(world, step, 1)
    await killed_at(world, step, 3)
    assert await world.waiting() > 0
    async with world.relay():
        await world.drained()
    assert_once_and_in_order(await world.read(), put)


async def test_a_relay_cut_off_in_the_middle_loses_and_repeats_nothing(world: World) -> None:
    put = messages(users=60, each=80)
    await world.put(put)
    await world.cut_off_at_every_step()
    async with world.relay():
        await world.drained()
    assert_once_and_in_order(await world.read(), put)


async def _checkpoints(world: World) -> dict[tuple[str, int], int]:
    rows = await world.pool.fetch("select topic, partition, next_offset from relay_checkpoint")
    return {(topic, partition): offset for topic, partition, offset in rows}


async def _publish_and_go_back(world: World, *, with_outbox: bool) -> dict[tuple[str, int], int]:
    """Lets a relay publish what waits, then takes its checkpoints back to before, and the outbox too if asked: what a
    standby shows that takes over without the last commits. Returns the checkpoints that there were."""
    before = [
        tuple(row) for row in await world.pool.fetch("select partition, message_id, topic, key, payload from outbox")
    ]
    async with world.relay():
        await world.drained()
        checkpoints = await _checkpoints(world)
        async with world.pool.acquire() as connection, connection.transaction():
            await connection.execute("update relay_checkpoint set next_offset = 0")
            if with_outbox:
                await _put_back(connection, before)
        if with_outbox:
            await world.drained()
    return checkpoints


async def _put_back(
    connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]", rows: list[tuple[object, ...]]
) -> None:
    await connection.executemany(
        "insert into outbox (partition, message_id, topic, key, payload) values ($1, $2, $3, $4, $5)", rows
    )


async def test_a_ledger_that_went_back_to_before_the_marks_leads_to_no_repeat(world: World) -> None:
    put = messages(users=20, each=20)
    await world.put(put)
    await _publish_and_go_back(world, with_outbox=True)
    more = messages(users=20, each=5, start=20)
    await world.put(more)
    async with world.relay():
        await world.drained()
    assert_once_and_in_order(await world.read(), put + more)


@pytest.mark.parametrize("restarts", [False, True])
async def test_messages_that_a_ledger_lost_and_decides_again_are_not_published_again(
    world: World, restarts: bool
) -> None:
    put = messages(users=20, each=20)
    await world.put(put)
    before = await _publish_and_go_back(world, with_outbox=False)

    async def the_lanes_have_looked() -> bool:
        now = await _checkpoints(world)
        return all(now[place] >= offset for place, offset in before.items())

    if restarts:
        async with world.relay():
            await until(the_lanes_have_looked)
    async with world.relay():
        await until(the_lanes_have_looked)
        more = messages(users=20, each=5, start=20)
        await world.put([structs.replace(m, payload=b'{"decided":"again"}') for m in put] + more)
        await world.drained()
    assert_once_and_in_order(await world.read(), put + more)
    async with RelayStore(world.pool).lane(0) as lane:
        assert lane is not None
        await world.pool.execute("update found_published set found_at = found_at - $1::interval", FOUND_KEPT)
        await lane.checkpoints([])
    assert await world.found() == 0, "ids that nothing can bring back are forgotten"


async def test_what_a_crash_of_postgres_takes_back_was_not_published(world: World, servers: Servers) -> None:
    published = asyncio.Semaphore(0)
    go_on = asyncio.Event()

    async def on_step(step: Step) -> None:
        if step == "published":
            published.release()
            await go_on.wait()

    put = messages(users=40, each=20)
    async with quiet_log_writer(world), world.relay(on_step) as relay:

        async def the_lanes_are_open() -> bool:
            return len(await _checkpoints(world)) == PARTITIONS * len(TOPICS_OUT)

        await until(the_lanes_are_open)
        await world.put(put)
        for _ in relay.lanes:
            await published.acquire()
        await world.put(messages(users=40, each=20, start=20))
        await asyncio.to_thread(servers.postgres.kill_hard)
        await asyncio.to_thread(servers.postgres.start)
        assert {m.message_id for m in put} <= {
            str(row[0]) for row in await world.pool.fetch("select message_id from outbox")
        }
        go_on.set()
        lost = [structs.replace(m, payload=b'{"decided":"again"}') for m in messages(users=40, each=20, start=20)]
        await world.pool.execute("delete from outbox where message_id = any($1)", [m.message_id for m in lost])
        await world.put(lost)
        await world.drained()
        assert await world.found() == 0
    assert_once_and_in_order(await world.read(), put + lost)


async def test_a_lane_whose_lock_is_lost_takes_it_again_and_goes_on(world: World) -> None:
    put = messages(users=40, each=100)
    await world.put(put[:2000])
    async with world.relay() as relay:
        for start in range(2000, 4000, 500):
            await world.break_locks()
            await world.put(put[start : start + 500])
        await world.drained()
        assert len(relay.lanes) == 4
    assert_once_and_in_order(await world.read(), put)
