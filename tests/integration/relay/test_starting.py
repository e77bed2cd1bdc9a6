"""`missions relay` as a process: what it refuses, what its inside port shows, and how it ends."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from mission_events import TOPICS_OUT
from services.adapters.kafka.errors import TopicsMissing
from services.operations.startup import StartError
from services.relay import app
from services.relay.settings import RelaySettings
from tests.integration.relay.world import (
    COMPLETED,
    PARTITIONS,
    World,
    assert_once_and_in_order,
    message,
    messages,
    until,
)
from tests.support.stack import free_port


def settings(world: World, output_partitions: int = PARTITIONS) -> RelaySettings:
    """Settings of a relay of this world."""
    return RelaySettings.model_validate(
        {
            "kafka_bootstrap": world.bootstrap,
            "postgres_dsn": world.dsn,
            "redis_url": "redis://127.0.0.1:1/0",
            "topic_prefix": world.prefix,
            "output_partitions": output_partitions,
            "inside_port": 0,
        }
    )


async def test_it_refuses_to_start_without_its_topics_and_names_them(bare_world: World) -> None:
    await bare_world.make_topics([topic for topic in TOPICS_OUT if topic.name != COMPLETED])
    with pytest.raises(TopicsMissing, match="missions topics apply") as refused:
        await app.run(settings(bare_world))
    assert refused.value.topics == [bare_world.prefix + COMPLETED]


async def test_it_refuses_to_start_on_another_number_of_partitions(bare_world: World) -> None:
    await bare_world.make_topics(partitions=3)
    with pytest.raises(StartError, match=r"MISSIONS_OUTPUT_PARTITIONS is 4, but .*missions\.dead-letter has 3"):
        await app.run(settings(bare_world))


async def test_it_refuses_to_start_when_messages_wait_for_a_partition_that_it_would_not_serve(
    bare_world: World,
) -> None:
    await bare_world.make_topics(partitions=1)
    await bare_world.put(messages(users=20, each=1))
    with pytest.raises(StartError, match="MISSIONS_OUTPUT_PARTITIONS is 1"):
        await app.run(settings(bare_world, output_partitions=1))


@asynccontextmanager
async def relay_process(world: World, inside_port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """`missions relay`, killed at the end if it still runs."""
    environment = os.environ | {
        "MISSIONS_KAFKA_BOOTSTRAP": world.bootstrap,
        "MISSIONS_POSTGRES_DSN": world.dsn,
        "MISSIONS_REDIS_URL": "redis://127.0.0.1:1/0",
        "MISSIONS_TOPIC_PREFIX": world.prefix,
        "MISSIONS_INSIDE_PORT": str(inside_port),
    }
    command = Path(sys.executable).with_name("missions")
    process = await asyncio.create_subprocess_exec(command, "relay", env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _ready(inside: httpx.AsyncClient) -> bool:
    try:
        return (await inside.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


async def test_the_process_publishes_shows_it_on_its_inside_port_and_ends_well_on_sigterm(world: World) -> None:
    put = messages(users=30, each=40)
    await world.put(put)
    port = free_port()
    async with (
        relay_process(world, port) as process,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as inside,
    ):
        await until(lambda: _ready(inside))
        await world.drained()
        shown = dict(
            line.rsplit(" ", 1) for line in (await inside.get("/metrics")).text.splitlines() if not line.startswith("#")
        )
        assert float(shown["mission_relay_lanes_held"]) == PARTITIONS
        published = [float(shown[f'mission_relay_published_total{{topic="{m}"}}']) for m in {m.topic for m in put}]
        assert sum(published) == len(put)
        assert {"mission_outbox_pending", "mission_outbox_oldest_timestamp_seconds"} <= shown.keys()
        more = [message(user, 40) for user in range(30)]
        await world.put(more)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    async with world.relay():
        await world.drained()
    assert_once_and_in_order(await world.read(), put + more)
