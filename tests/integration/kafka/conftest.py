"""Fixtures: a broker, topics of one's own, and something that publishes into them."""

import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import pytest

from services.adapters.kafka.admin import ensure_topics
from services.adapters.kafka.producer import Publisher

MakeTopic = Callable[..., Awaitable[str]]


@dataclass(frozen=True)
class Topic:
    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)


@pytest.fixture(scope="session")
def bootstrap(request: pytest.FixtureRequest) -> str:
    """A broker: the one that the environment names, else the session's own."""
    if "MISSIONS_KAFKA_BOOTSTRAP" in os.environ:
        return os.environ["MISSIONS_KAFKA_BOOTSTRAP"]
    address: str = request.getfixturevalue("addresses").kafka_bootstrap
    return address


@pytest.fixture(scope="session")
def make_topic(bootstrap: str) -> MakeTopic:
    """`await make_topic(partitions=2, **config)` creates a topic and gives its name."""

    async def make(partitions: int = 1, **config: str) -> str:
        name = f"t-{uuid.uuid4().hex[:12]}"
        spec = Topic(name, partitions, {key.replace("_", "."): value for key, value in config.items()})
        await ensure_topics(bootstrap, [spec])
        return name

    return make


@pytest.fixture(scope="session")
async def publisher(bootstrap: str) -> AsyncIterator[Publisher]:
    async with Publisher(bootstrap) as publisher:
        yield publisher
