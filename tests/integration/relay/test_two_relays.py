"""Relays run in several copies: they share the partitions, take over from each other, and a stalled one is fenced."""

import asyncio
import signal

import pytest

from services.adapters.ledger import relay_store
from services.adapters.ledger.relay_store import RelayStore
from services.adapters.metrics import RELAY_ERRORS
from services.relay.publication import Step
from services.relay.relay import Relay
from tests.integration.relay.world import PARTITIONS, World, assert_once_and_in_order, messages, until


def held(*relays: Relay) -> list[int]:
    """Partitions that these relays publish."""
    return sorted(lane.partition for relay in relays for lane in relay.lanes if lane.held)


async def test_two_relays_publish_each_message_once_and_one_takes_over_when_the_other_ends(world: World) -> None:
    put = messages(users=40, each=60)
    async with world.relay() as second:
        async with world.relay() as first:
            for start in range(0, 1800, 200):
                await world.put(put[start : start + 200])
            await world.drained()
            assert held(first, second) == list(range(PARTITIONS))
            assert first.trouble() is None
            assert second.trouble() is None
        await world.put(put[1800:])
        await world.drained()

        async def the_second_has_all() -> bool:
            return held(second) == list(range(PARTITIONS))

        await until(the_second_has_all)
    assert_once_and_in_order(await world.read(), put)


async def _stall_and_take_over(world: World, stalled_at: Step) -> None:
    put = messages(users=40, each=30)
    await world.put(put)
    stalled: set[asyncio.Task[object] | None] = set()
    go_on = asyncio.Event()

    async def on_step(step: Step) -> None:
        if step == stalled_at and not go_on.is_set():
            stalled.add(asyncio.current_task())
            await go_on.wait()

    async with world.relay(on_step) as first:

        async def all_lanes_are_stalled() -> bool:
            return len(stalled) == PARTITIONS

        await until(all_lanes_are_stalled)
        async with world.relay() as second:
            await world.drained()
            assert held(second) == list(range(PARTITIONS))
            go_on.set()

            async def the_first_has_noticed() -> bool:
                return held(first) == []

            await until(the_first_has_noticed)
            more = messages(users=40, each=5, start=30)
            await world.put(more)
            await world.drained()
    assert_once_and_in_order(await world.read(), put + more)


@pytest.fixture
def noticed_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stalled lane's lock is given to others after two seconds."""
    monkeypatch.setattr(relay_store, "LANE_IDLE_SECONDS", 2.0)


@pytest.mark.usefixtures("noticed_soon")
async def test_a_relay_stalled_before_it_sends_is_fenced(world: World) -> None:
    await _stall_and_take_over(world, "durable")


@pytest.mark.usefixtures("noticed_soon")
async def test_a_relay_stalled_between_send_and_commit_is_fenced_and_publishes_nothing(world: World) -> None:
    fenced = RELAY_ERRORS.labels("PublisherFenced")
    before = fenced._value.get()
    await _stall_and_take_over(world, "sent")
    assert fenced._value.get() >= before + PARTITIONS


@pytest.mark.usefixtures("noticed_soon")
async def test_a_relay_stalled_between_commit_and_mark_leads_to_no_repeat(world: World) -> None:
    await _stall_and_take_over(world, "published")


@pytest.mark.usefixtures("noticed_soon")
async def test_a_relay_frozen_between_the_messages_of_one_statement_loses_its_lock_too(world: World) -> None:
    store = RelayStore(world.pool)
    async with store.lane(0) as frozen:
        assert frozen is not None
        # The driver asks for a plan, and leaves the server waiting for what comes next.
        await frozen._connection.prepare("select 1")

        async def another_one_gets_it() -> bool:
            async with store.lane(0) as lane:
                return lane is not None

        await until(another_one_gets_it)


async def test_a_frozen_relay_loses_its_partitions_and_publishes_nothing_when_it_wakes(world: World) -> None:
    put = messages(users=60, each=150)
    frozen = await world.start_process("--name", "frozen", "--idle-seconds", "2")
    try:
        await world.put(put)

        async def it_is_at_work() -> bool:
            return await world.waiting() < len(put)

        await until(it_is_at_work)
        frozen.send_signal(signal.SIGSTOP)
        async with world.relay():
            await world.drained()
            assert "frozen" not in await world.holders()
            frozen.send_signal(signal.SIGCONT)
            more = messages(users=60, each=5, start=150)
            await world.put(more)
            await world.drained()
        # Alone again, it goes on where the other one has stopped.
        last = messages(users=60, each=1, start=155)
        await world.put(last)
        await world.drained()
    finally:
        frozen.kill()
        await frozen.wait()
    assert_once_and_in_order(await world.read(), put + more + last)
