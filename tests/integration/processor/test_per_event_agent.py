"""The agent that `make bench` compares the processor with makes the same writes: otherwise the comparison would say nothing."""

import secrets
from collections import Counter
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from redis.asyncio import Redis

from benchmarks.per_event_agent import PerEventAgent
from mission_events import LearningData
from services.adapters.ledger.connection import Pool
from services.adapters.projection import Projection
from services.operations.catalogue import CatalogueWatcher
from services.processor.apply_batch import ApplyBatch
from services.stack.server import Addresses
from tests.support.events import answer, lesson, xp

from .test_apply_batch import ANSWERS, LESSONS, XP, apply, batch, event, progress, state_of

__all__ = ["apply"]

EVENTS: list[tuple[str, LearningData]] = [
    (LESSONS, lesson()),
    (XP, xp(15)),
    (ANSWERS, answer("loops-1", correct=False)),
    (ANSWERS, answer("loops-1", correct=True)),
    (XP, xp(30)),
]


@pytest.fixture
async def redis(addresses: Addresses) -> "AsyncIterator[Redis]":
    client: Redis = Redis.from_url(addresses.redis_url)
    yield client
    await client.aclose()


async def test_it_ends_as_the_processor_does(
    apply: ApplyBatch, pool: Pool, redis: "Redis", addresses: Addresses, live_catalogue: CatalogueWatcher
) -> None:
    prefix = f"agent-{secrets.token_hex(3)}-"
    agent = PerEventAgent(pool, redis, live_catalogue.current(), prefix)
    ends = Counter[str]()
    for topic, data in EVENTS:
        offset = ends[topic]
        ends[topic] += 1
        await apply(batch(topic, offset, event("by-batch", data), partition=1))
        one = batch(topic, offset, event("by-event", data)).records[0]
        message: Any = SimpleNamespace(
            timestamp=one.timestamp / 1000,
            value=one.value,
            headers=(),
            topic=topic,
            partition=0,
            offset=offset,
            tp=topic,
        )
        await agent.apply(message)
        await agent.apply(message)  # again: it counts once

    assert await progress(pool, "by-event") == await progress(pool, "by-batch")
    assert (await progress(pool, "by-event"))["daily-xp-20"] == 20
    rows = "select question_id, answers, correct_answers from user_question where user_id = $1"
    assert await pool.fetch(rows, "by-event") == await pool.fetch(rows, "by-batch")
    shown = Projection.connect(addresses.redis_url, prefix)
    assert await shown.load(["by-event"]) == {"by-event": await state_of(pool, "by-event")}
    await shown.close()
