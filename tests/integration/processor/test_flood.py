"""Floods and copies of bad records, on a real ledger: a flood stops its partition alone, a copy that is bad again is no new letter."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from services.adapters.kafka.records import Batch, Halt
from services.adapters.ledger.actions import By
from services.adapters.ledger.batch import BatchLedger
from services.adapters.ledger.connection import Pool
from services.adapters.ledger.dead_letters import COPY_OF, DeadLetterStore, LetterFilter, LetterState
from services.adapters.ledger.partitions import CannotResume, PartitionStore
from services.adapters.projection import Projection
from services.operations.catalogue import CatalogueWatcher
from services.processor.apply_batch import ApplyBatch
from services.processor.brake import RUN_MAX
from tests.integration.processor.test_apply_batch import LESSONS, XP, FakeRecord, batch, event, tally
from tests.support.events import lesson, xp
from tests.support.ledger import partition_of

BAD = (b"ann", b'{"no": "event"}')
OLGA = By("olga", "a test")


@pytest.fixture
async def apply(pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher) -> ApplyBatch:
    return ApplyBatch(BatchLedger(pool, partition_of), projection, live_catalogue, lanes_max=8)


async def test_a_flood_stops_its_partition_and_keeps_what_came_before(apply: ApplyBatch, pool: Pool) -> None:
    with pytest.raises(Halt, match="dead_letter_flood"):
        await apply(batch(XP, 0, event("ann", xp(5)), *[BAD] * (RUN_MAX + 50), event("ann", xp(7))))
    await apply(batch(LESSONS, 0, event("ann", lesson())))

    assert await tally(pool, XP) == {"next_offset": 1 + RUN_MAX, "applied": 1, "dead_letter": RUN_MAX}
    assert await pool.fetchval("select count(*) from dead_letter") == RUN_MAX
    assert await pool.fetchval("select count(*) from outbox where topic = 'missions.dead-letter'") == RUN_MAX
    (stop,) = await PartitionStore(pool).stops()
    assert (stop.topic, stop.partition, stop.position) == (XP, 0, 1 + RUN_MAX)
    assert f"missions partitions resume {XP} 0" in stop.text
    assert "missing_field" in stop.text, "it says what is wrong with the next record"


async def test_a_flood_from_the_first_record_on_opens_the_account_and_stops_it(apply: ApplyBatch, pool: Pool) -> None:
    for start in range(0, RUN_MAX, 10):
        await apply(batch(XP, start, *[BAD] * 10))
    with pytest.raises(Halt):
        await apply(batch(XP, RUN_MAX, BAD))
    assert (await tally(pool, XP))["next_offset"] == RUN_MAX


async def test_resumed_a_record_that_is_still_bad_stops_it_at_the_same_place(apply: ApplyBatch, pool: Pool) -> None:
    store = PartitionStore(pool)
    rest = [BAD] * 30
    with pytest.raises(Halt):
        await apply(batch(XP, 0, *[BAD] * RUN_MAX, *rest))
    await store.resume(XP, 0, OLGA)
    with pytest.raises(Halt):
        await apply(batch(XP, RUN_MAX, *rest))
    assert (await tally(pool, XP))["next_offset"] == RUN_MAX

    await store.resume(XP, 0, OLGA, accept=10)
    with pytest.raises(Halt):
        await apply(batch(XP, RUN_MAX, *rest))
    assert (await tally(pool, XP))["next_offset"] == RUN_MAX + 10

    await store.resume(XP, 0, OLGA, accept_until=RUN_MAX + 30)
    await apply(batch(XP, RUN_MAX + 10, *rest[10:], event("ann", xp(5))))
    assert await tally(pool, XP) == {"next_offset": RUN_MAX + 31, "applied": 1, "dead_letter": RUN_MAX + 30}
    assert await store.stops() == []
    with pytest.raises(CannotResume, match="is not stopped"):
        await store.resume(XP, 0, OLGA)
    actions = await pool.fetch("select action, by_whom, why from operator_action order by seq")
    assert [tuple(row) for row in actions] == [("resume-partition", "olga", "a test")] * 3


async def test_resumed_after_the_cause_is_mended_it_goes_on(apply: ApplyBatch, pool: Pool) -> None:
    with pytest.raises(Halt):
        await apply(batch(XP, 0, *[BAD] * (RUN_MAX + 1)))
    await PartitionStore(pool).resume(XP, 0, OLGA)
    await apply(batch(XP, RUN_MAX, event("ann", xp(5)), *[BAD] * RUN_MAX, event("ann", xp(6))))
    assert (await tally(pool, XP))["next_offset"] == 2 * RUN_MAX + 2


async def test_what_the_core_refuses_stops_the_partition_too(
    pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise ZeroDivisionError("a release of ours is broken")

    monkeypatch.setattr("services.processor.decide_users.decide", broken)
    monkeypatch.setattr("services.processor.brake.RUN_MAX", 3)
    apply = ApplyBatch(BatchLedger(pool, partition_of), projection, live_catalogue, lanes_max=8)
    with capture_logs(), pytest.raises(Halt, match="unprocessable"):
        await apply(batch(XP, 0, *(event("ann", xp(5)) for _ in range(5))))
    assert await tally(pool, XP) == {"next_offset": 3, "dead_letter": 3}


def copy_of(start: int, letter: int, value: bytes = BAD[1]) -> Batch:
    mark = (COPY_OF, f"{XP}/0/{letter}/1".encode())
    made = batch(XP, start, BAD)
    return replace(made, records=[FakeRecord(start, value, BAD[0], headers=(mark,))])


async def test_a_copy_that_is_bad_again_is_a_line_in_its_letters_history(apply: ApplyBatch, pool: Pool) -> None:
    store = DeadLetterStore(pool)
    await apply(batch(XP, 0, BAD))
    letter = await store.show(XP, 0, 0)
    assert letter is not None
    lines = await store.begin_replay([letter.place], OLGA)
    await apply(copy_of(1, letter=0))  # it is back before the replay is complete
    await store.end_replay({lines[letter.place]: (0, 1)})

    (listed,) = await store.listed(LetterFilter(), 10)
    assert (listed.state, listed.replays, listed.returns) == (LetterState.OPEN, 1, 1)
    shown = await store.show(XP, 0, 0)
    assert shown is not None
    assert [(line.what, line.partition, line.offset) for line in shown.history] == [
        ("replayed", 0, 1),
        ("returned", 0, 1),
    ]
    assert await tally(pool, XP) == {"next_offset": 2, "dead_letter": 2}, "both offsets are accounted for"
    assert await pool.fetchval("select count(*) from outbox where topic = 'missions.dead-letter'") == 1


async def test_a_mark_on_another_record_makes_a_letter_of_its_own(apply: ApplyBatch, pool: Pool) -> None:
    await apply(batch(XP, 0, BAD))
    await apply(copy_of(1, letter=0, value=b"something else"))
    await apply(copy_of(2, letter=77))
    assert await pool.fetchval("select count(*) from dead_letter") == 3


async def test_copies_that_are_bad_again_are_no_flood(apply: ApplyBatch, pool: Pool) -> None:
    await apply(batch(XP, 0, BAD))
    copies = [copy_of(offset, letter=0) for offset in range(1, RUN_MAX + 20)]
    records = [record for each in copies for record in each.records]
    await apply(replace(copies[0], records=records, end=copies[-1].end))
    assert await PartitionStore(pool).stops() == []


async def test_purging_keeps_a_line_of_what_was_deleted(apply: ApplyBatch, pool: Pool) -> None:
    store = DeadLetterStore(pool)
    await apply(batch(XP, 0, BAD, (b"ann", b"no json"), (b"ann", b"no json")))
    assert await store.purge(LetterFilter(reason="not_json"), OLGA) == 2
    assert [letter.reason for letter in await store.listed(LetterFilter(), 10)] == ["missing_field"]
    row = await pool.fetchrow("select by_whom, why, subject from operator_action")
    assert row is not None
    assert (row["by_whom"], row["why"]) == ("olga", "a test")
    assert f'"{XP} not_json":2' in row["subject"]
