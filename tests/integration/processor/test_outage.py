"""While the ledger is away lanes wait longer and longer; when it is back they come back together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from typing_extensions import override

from services.adapters.ledger.batch import BatchLedger, BatchTransaction
from services.adapters.ledger.connection import Pool
from services.adapters.projection import Projection
from services.operations.catalogue import CatalogueWatcher
from services.processor.apply_batch import ApplyBatch
from services.processor.retries import RETRY_SECONDS_FIRST
from tests.integration.processor.test_apply_batch import XP, batch, event
from tests.support.events import xp
from tests.support.ledger import partition_of

LANES = 3


class AwayAtFirst(BatchLedger):
    """Refuses the first transaction of each lane."""

    refused = 0

    @override
    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[BatchTransaction]:
        if self.refused < LANES:
            self.refused += 1
            raise ConnectionRefusedError
        async with super().transaction() as transaction:
            yield transaction


async def test_the_first_lane_that_is_through_after_an_outage_brings_the_others_back(
    pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.processor.turns.LITTLE_RECORDS", 1)  # each part has a lane of its own
    ledger = AwayAtFirst(pool, partition_of)
    apply = ApplyBatch(ledger, projection, live_catalogue, lanes_max=LANES)
    true_sleep, sleepers = apply.retries.sleep, 0

    async def sleep(_seconds: float) -> None:
        """All but one would wait for an hour."""
        nonlocal sleepers
        sleepers += 1
        if sleepers < LANES:
            await true_sleep(3600)
        else:
            await true_sleep(2 * RETRY_SECONDS_FIRST)

    monkeypatch.setattr(apply.retries, "sleep", sleep)
    async with asyncio.timeout(30):
        await asyncio.gather(*(apply(batch(XP, 0, event(f"u{n}", xp(1)), partition=n)) for n in range(LANES)))

    assert sleepers == LANES
    assert await pool.fetchval("select sum(applied) from input_position") == LANES
