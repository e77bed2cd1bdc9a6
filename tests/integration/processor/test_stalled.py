"""Faust's best-known fault, in a real processor: the consumer stands still without a word. The process ends, and its successor goes on."""

import asyncio
import os
import secrets
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.adapters.kafka.admin import ensure_topics
from services.adapters.kafka.producer import Outgoing, Publisher
from services.adapters.ledger.connection import Pool
from services.adapters.watchdog import EXIT_STALLED
from services.cli.topics import wanted_topics
from services.stack.server import Addresses
from tests.integration.processor.test_apply_batch import event
from tests.support.events import xp

START_SECONDS = 150
"""For a processor to start on a machine where everything runs at once, and to apply a few records."""


@asynccontextmanager
async def processor(addresses: Addresses, dsn: str, prefix: str, log: Path, *command: str) -> AsyncIterator[Process]:
    """A processor's process; what it says goes into `log`, and is shown when the test fails."""
    variables = {
        "MISSIONS_KAFKA_BOOTSTRAP": addresses.kafka_bootstrap,
        "MISSIONS_POSTGRES_DSN": dsn,
        "MISSIONS_REDIS_URL": addresses.redis_url,
        "MISSIONS_TOPIC_PREFIX": prefix,
        "MISSIONS_INSIDE_PORT": "0",
        "MISSIONS_STALL_SECONDS": "6",
    }
    with log.open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *command, env={**os.environ, **variables}, stderr=said
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
            print(log.read_text()[-3000:])  # noqa: ASYNC240 - the test has nothing else to do


@pytest.mark.timeout(2 * START_SECONDS + 60)
async def test_a_consumer_that_stands_still_ends_its_process_and_the_next_one_goes_on(
    addresses: Addresses, ledger_dsn: str, pool: Pool, tmp_path: Path
) -> None:
    prefix = f"stalled-{secrets.token_hex(4)}."
    topic = f"{prefix}learning.xp-earned"
    await ensure_topics(addresses.kafka_bootstrap, wanted_topics(prefix, 1))

    async def publish(events: int) -> None:
        values = [event("ann", xp(1), at=datetime.now(UTC))[1] for _ in range(events)]
        await publisher.publish_all(Outgoing(topic, b"ann", value, partition=0) for value in values)

    async def reaches(position: int) -> None:
        reached = None
        async with asyncio.timeout(START_SECONDS):
            while reached != position:
                await asyncio.sleep(0.05)
                reached = await pool.fetchval("select max(next_offset) from input_position where topic = $1", topic)

    async with Publisher(addresses.kafka_bootstrap) as publisher:
        await publish(3)
        log = tmp_path / "frozen.log"
        async with processor(addresses, ledger_dsn, prefix, log, "tests.integration.processor.frozen") as frozen:
            await reaches(3)
            await publish(4)
            assert await frozen.wait() == EXIT_STALLED
        assert f"{topic}[0] stands still at 3 while records wait" in log.read_text()
        log = tmp_path / "successor.log"
        async with processor(addresses, ledger_dsn, prefix, log, "services.cli.main", "processor") as successor:
            await reaches(7)
            successor.terminate()
            assert await successor.wait() == 0
