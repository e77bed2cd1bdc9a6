"""Migrated ledgers with the default catalogue, and projections of their own, for tests of single adapters and use cases."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from services.adapters.catalogue_files import default_missions
from services.adapters.kafka.producer import partition_for
from services.adapters.ledger.catalogue import CatalogueStore
from services.adapters.ledger.connection import BATCH_PLANNER_SETTINGS, Pool, open_pool
from services.adapters.ledger.migrate import migrate
from services.adapters.projection import Projection
from services.operations.catalogue import CatalogueWatcher
from services.stack.server import Addresses
from tests.support.stack import DatabaseFactory, dropped_after

PARTITIONS = 4


def partition_of(key: bytes | None) -> int:
    """Output partition of a key."""
    return partition_for(key, PARTITIONS)


@pytest.fixture(scope="session")
async def ledger_template(postgres_dsn_factory: DatabaseFactory) -> str:
    """Name of a migrated database with the default catalogue, to clone."""
    dsn = await postgres_dsn_factory()
    await migrate(dsn, datetime.now(UTC).date())
    pool = await open_pool(dsn, size=1, application="test")
    await CatalogueStore(pool).publish(default_missions())
    await pool.close()
    return urlsplit(dsn).path.removeprefix("/")


@pytest.fixture
async def ledger_dsn(postgres_dsn_factory: DatabaseFactory, ledger_template: str) -> AsyncIterator[str]:
    """A ledger of the test's own: migrated, with the default catalogue."""
    async with dropped_after(await postgres_dsn_factory(template=ledger_template)) as dsn:
        yield dsn


@pytest.fixture
async def pool(ledger_dsn: str) -> AsyncIterator[Pool]:
    """Connections to `ledger_dsn`, as the processor has them."""
    opened = await open_pool(ledger_dsn, size=8, application="test", planner=BATCH_PLANNER_SETTINGS)
    yield opened
    await opened.close()


@pytest.fixture
async def projection(addresses: Addresses) -> AsyncIterator[Projection]:
    """A projection under a prefix of the test's own."""
    opened = Projection.connect(addresses.redis_url, f"test-{uuid.uuid4().hex[:8]}-", timeout_seconds=5)
    yield opened
    await opened.close()


@pytest.fixture
async def live_catalogue(pool: Pool) -> CatalogueWatcher:
    """The ledger's catalogue, loaded."""
    watcher = CatalogueWatcher(CatalogueStore(pool))
    await watcher.load()
    return watcher
