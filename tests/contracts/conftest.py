"""The adapters twice: on the servers in memory that the simulator uses, and on real ones."""

import uuid
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from mission_events import TOPICS_OUT
from services.adapters.kafka.admin import ensure_topics
from services.adapters.kafka.transactional import OutputTopics
from services.adapters.ledger.connection import Pool
from services.adapters.projection import Projection
from services.stack.server import Addresses
from tests.integration.relay.world import WantedTopic
from tests.support.memory.connection import MemoryPool
from tests.support.memory.kafka import MemoryKafka, MemoryTopics
from tests.support.memory.postgres import Postgres
from tests.support.memory.redis import MemoryRedis

BOTH = ("memory", "real")
PARTITIONS = 2

TopicsFactory = Callable[[], Awaitable[OutputTopics]]
"""Makes new topics."""


@pytest.fixture(params=BOTH)
def ledger_pool(request: pytest.FixtureRequest) -> Pool:
    """Connections to an empty ledger, with the event log's days around today."""
    if request.param == "real":
        found: Pool = request.getfixturevalue("pool")
        return found
    server = Postgres()
    today = datetime.now(UTC).date()
    server.event_log_days = {today + timedelta(days=n) for n in range(-36, 3)}
    return MemoryPool(server).as_pool()


@pytest.fixture(params=BOTH)
def any_projection(request: pytest.FixtureRequest) -> Projection:
    """An empty projection."""
    if request.param == "real":
        found: Projection = request.getfixturevalue("projection")
        return found
    return MemoryRedis().projection()


@pytest.fixture(params=BOTH)
def any_topics(request: pytest.FixtureRequest) -> Iterator[TopicsFactory]:
    """Makes the topics out; call it once."""
    if request.param == "memory":

        async def in_memory() -> OutputTopics:
            return MemoryTopics(MemoryKafka(), PARTITIONS)

        yield in_memory
        return
    addresses: Addresses = request.getfixturevalue("addresses")

    async def on_a_broker() -> OutputTopics:
        prefix = f"c{uuid.uuid4().hex[:8]}."
        wanted = [WantedTopic(prefix + topic.name, PARTITIONS, topic.config()) for topic in TOPICS_OUT]
        await ensure_topics(addresses.kafka_bootstrap, wanted)
        return OutputTopics(addresses.kafka_bootstrap, prefix, TOPICS_OUT)

    yield on_a_broker
