"""Fixtures of the relay's tests."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from services.adapters.ledger.connection import open_pool
from services.adapters.ledger.migrate import migrate
from services.stack.server import Addresses
from tests.integration.relay.world import World
from tests.support.stack import DatabaseFactory, dropped_after


@pytest.fixture(scope="session")
async def migrated_template(postgres_dsn_factory: DatabaseFactory) -> str:
    """Name of a migrated database that tests clone."""
    dsn = await postgres_dsn_factory()
    await migrate(dsn, datetime.now(UTC).date())
    return dsn.rpartition("/")[2]


@pytest.fixture
async def bare_world(
    addresses: Addresses, postgres_dsn_factory: DatabaseFactory, migrated_template: str
) -> AsyncIterator[World]:
    """A deployment without topics."""
    async with dropped_after(await postgres_dsn_factory(template=migrated_template)) as dsn:
        pool = await open_pool(dsn, size=4, application="test")
        yield World(dsn, addresses.kafka_bootstrap, f"t{uuid.uuid4().hex[:8]}.", pool)
        await pool.close()


@pytest.fixture
async def world(bare_world: World) -> World:
    """A deployment with an empty ledger and empty topics."""
    await bare_world.make_topics()
    return bare_world
