"""A record that can't be applied is kept with its reason, and its neighbours count: on a real ledger, without Kafka."""

from dataclasses import replace

import pytest

from services.adapters.ledger.batch import BatchLedger
from services.adapters.ledger.connection import Pool
from services.adapters.projection import Projection
from services.operations.catalogue import CatalogueWatcher
from services.processor.apply_batch import ApplyBatch
from tests.integration.processor.test_apply_batch import XP, FakeRecord, batch, event, progress, tally
from tests.support.events import xp
from tests.support.ledger import partition_of


@pytest.fixture
async def apply(pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher) -> ApplyBatch:
    return ApplyBatch(BatchLedger(pool, partition_of), projection, live_catalogue, lanes_max=8)


async def test_bad_records_are_kept_and_their_neighbours_count(apply: ApplyBatch, pool: Pool) -> None:
    await apply(batch(XP, 0, event("ann", xp(1)), (b"ann", b"{nonsense"), (b"ann", None), event("ann", xp(2))))

    assert (await progress(pool, "ann"))["daily-xp-20"] == 3
    assert await tally(pool, XP) == {"next_offset": 4, "applied": 2, "dead_letter": 2}
    letters = await pool.fetch('select "offset", reason, value from dead_letter order by 1')
    assert [tuple(row) for row in letters] == [(1, "not_json", b"{nonsense"), (2, "tombstone", None)]
    published = await pool.fetch("select payload from outbox where topic = 'missions.dead-letter' order by seq")
    assert [row[0] for row in published] == [b"{nonsense", None]


@pytest.mark.parametrize("timestamp", [2**62, 253_402_300_800_000, -(2**62)])
async def test_a_record_whose_timestamp_is_beyond_the_calendar_is_kept_and_its_neighbours_count(
    apply: ApplyBatch, pool: Pool, timestamp: int
) -> None:
    good = batch(XP, 0, event("ann", xp(5)), event("ann", xp(7)))
    strange = replace(good, records=[FakeRecord(0, *event("ann", xp(5))[::-1], timestamp), good.records[1]])

    await apply(strange)

    assert await tally(pool, XP) == {"next_offset": 2, "applied": 1, "dead_letter": 1}
    assert (await progress(pool, "ann"))["daily-xp-20"] == 7


@pytest.mark.usefixtures("thirteen_breaks_the_core")
async def test_a_record_that_breaks_the_core_becomes_a_dead_letter_alone(apply: ApplyBatch, pool: Pool) -> None:
    await apply(batch(XP, 0, *(event("ann", xp(amount)) for amount in (1, 2, 13, 3, 4))))

    assert (await progress(pool, "ann"))["daily-xp-20"] == 10
    assert await tally(pool, XP) == {"next_offset": 5, "applied": 4, "dead_letter": 1}
    letter = await pool.fetchrow('select "offset", reason, detail from dead_letter')
    assert letter is not None
    assert (letter["offset"], letter["reason"]) == (2, "unprocessable")
    assert "thirteen" in letter["detail"]
