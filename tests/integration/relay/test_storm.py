"""Two relays under continuous load while everything around them and they themselves die: each message once, in order.

`make relay-storm RUNS=20 FAULTS=30 SEED=…` for longer ones.
"""

import asyncio
import os
import random
import secrets

import pytest

from services.stack.server import Servers
from tests.integration.relay.storm import Storm, Stream
from tests.integration.relay.world import World, assert_once_and_in_order, quiet_log_writer

RUNS = int(os.environ.get("MISSIONS_STORM_RUNS") or 1)
FAULTS = int(os.environ.get("MISSIONS_STORM_FAULTS") or 5)
SEED = os.environ.get("MISSIONS_STORM_SEED") or secrets.token_hex(4)


@pytest.mark.timeout(180 + 30 * FAULTS)
# Named without the seed: two workers that share the tests must find the same names.
@pytest.mark.parametrize("seed", [f"{SEED}-{run}" for run in range(RUNS)], ids=[f"run{run}" for run in range(RUNS)])
async def test_in_a_storm_each_message_is_published_once_and_in_order(
    world: World, servers: Servers, seed: str
) -> None:
    chosen, _, run = seed.rpartition("-")
    print(f"storm: make relay-storm RUNS={int(run) + 1} FAULTS={FAULTS} SEED={chosen} ARGS='-k run{run}'")
    chance = random.Random(seed)
    storm, stream = Storm(world, servers, chance), Stream(world)
    await stream.begin()
    stopping = asyncio.Event()
    async with quiet_log_writer(world), storm.over():
        running = asyncio.create_task(stream.run(stopping))
        names = sorted(storm.faults)
        # Each kind once before any comes again.
        order = [name for _ in range(FAULTS // len(names) + 1) for name in chance.sample(names, len(names))][:FAULTS]
        await storm.publishes()
        for name in order:
            print("storm:", name)
            await storm.faults[name]()
            await asyncio.sleep(chance.uniform(0, 1))
            await storm.publishes()
        stopping.set()
        await running
        await stream.settle()
        await world.drained()
    print(f"storm: {len(stream.put)} messages, {len(order)} faults")
    # A payload of an earlier try would show that something was published which Postgres then took back.
    assert_once_and_in_order(await world.read(), stream.put)
