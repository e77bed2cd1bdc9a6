"""A worker's process: how it drains on a signal, how it ends when an invariant breaks, and what it says when it can't start."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.adapters.kafka.producer import Publisher

from .conftest import MakeTopic
from .support import PATIENCE_S, fill, members_of, new_group


@asynccontextmanager
async def program(bootstrap: str, topic: str, group: str, mode: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.kafka.program", bootstrap, topic, group, mode, stdout=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def hear(process: Process, word: str) -> None:
    """Waits until the process has said the word."""
    assert process.stderr is not None
    said = []
    async with asyncio.timeout(PATIENCE_S):
        async for line in process.stderr:
            said.append(line.decode())
            if line.strip() == word.encode():
                return
    raise AssertionError(f"it ended without saying {word!r}: {''.join(said)}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_leaves_the_group(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher, number: signal.Signals
) -> None:
    topic, group = await make_topic(), new_group()
    await fill(publisher, topic, 10)
    async with program(bootstrap, topic, group, "finish") as process:
        await hear(process, "entered")
        process.send_signal(number)
        await hear(process, "finished")  # the running batch was not cut off
        await hear(process, "drained")
        output, _ = await process.communicate()
        assert process.returncode == 0
        assert output == b""
    assert await members_of(bootstrap, group) == 0


async def test_a_batch_that_does_not_end_is_abandoned(
    bootstrap: str, make_topic: MakeTopic, publisher: Publisher
) -> None:
    topic, group = await make_topic(), new_group()
    await fill(publisher, topic, 10)
    async with program(bootstrap, topic, group, "hang") as process:
        await hear(process, "entered")
        process.send_signal(signal.SIGTERM)
        await hear(process, "cancelled")
        await process.communicate()
        assert process.returncode == 0
    assert await members_of(bootstrap, group) == 0


async def test_a_signal_before_anything_came_ends_the_process(bootstrap: str, make_topic: MakeTopic) -> None:
    topic, group = await make_topic(), new_group()
    async with program(bootstrap, topic, group, "apply") as process:
        await hear(process, "ready")
        process.send_signal(signal.SIGTERM)
        await hear(process, "drained")
        await process.communicate()
        assert process.returncode == 0


async def test_a_broken_invariant_ends_the_process(bootstrap: str, make_topic: MakeTopic, publisher: Publisher) -> None:
    topic = await make_topic()
    await fill(publisher, topic, 10)
    async with program(bootstrap, topic, new_group(), "break") as process:
        _, said = await process.communicate()
    assert process.returncode == 70
    assert b"an invariant of the test" in said


async def test_missing_topics_are_named_with_the_remedy(bootstrap: str) -> None:
    async with program(bootstrap, "nobody.made-this", new_group(), "apply") as process:
        _, said = await process.communicate()
    assert process.returncode == 1
    assert f"refused: Kafka at {bootstrap} lacks the topics nobody.made-this" in said.decode()
    assert "run `missions topics apply`" in said.decode()
