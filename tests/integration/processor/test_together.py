"""Partitions of one number, of several topics, are applied in one transaction, and each as if it were alone: on a real ledger."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from mission_events import SessionStarted
from services.adapters.kafka.records import Batch, Fenced, Halt
from services.adapters.ledger.batch import BatchLedger
from services.adapters.ledger.connection import Pool
from services.adapters.projection import Projection
from services.operations.catalogue import CatalogueWatcher
from services.processor.apply_batch import ApplyBatch
from services.processor.brake import RUN_MAX
from tests.integration.processor.test_apply_batch import (
    ANSWERS,
    LESSONS,
    NOW,
    XP,
    FakeRecord,
    batch,
    event,
    progress,
    state_of,
    tally,
)
from tests.support.events import answer, lesson, xp
from tests.support.ledger import partition_of

SESSIONS = "learning.session-started"
BAD = (b"ann", b'{"no": "event"}')


@dataclass
class Together:
    """Applies batches that all wait when the turn begins, behind one that holds it until they are there."""

    apply: ApplyBatch
    pool: Pool
    gate: asyncio.Event
    steps: list[str] = field(default_factory=list)

    async def __call__(self, *batches: Batch) -> list[object]:
        """What became of each: None, or its exception."""
        self.gate.clear()
        self.steps.clear()
        first = asyncio.create_task(self.apply(batch("learning.item-used", await self._next(), (b"x", b"{}"))))
        while not self.steps:  # noqa: ASYNC110 - the step is told by a plain callback
            await asyncio.sleep(0)
        tasks = [asyncio.create_task(self.apply(each)) for each in batches]
        await asyncio.sleep(0)
        self.steps.clear()
        self.gate.set()
        await first
        return await asyncio.gather(*tasks, return_exceptions=True)

    async def _next(self) -> int:
        query = "select next_offset from input_position where topic = 'learning.item-used'"
        return int(await self.pool.fetchval(query) or 0)

    @property
    def transactions(self) -> int:
        """How many have come to their end since."""
        return self.steps.count("committed") - 1  # the first one's own


@pytest.fixture
async def together(pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher) -> Together:
    gate = asyncio.Event()

    async def at_step(step: str) -> None:
        found.steps.append(step)
        if step == "fetched":
            await gate.wait()

    apply = ApplyBatch(BatchLedger(pool, partition_of), projection, live_catalogue, lanes_max=8, at_step=at_step)
    found = Together(apply, pool, gate)
    return found


async def test_one_transaction_for_all_topics_and_one_write_of_the_user(together: Together, pool: Pool) -> None:
    done = await together(
        batch(XP, 0, event("ann", xp(5)), event("bob", xp(7)), event("ann", xp(6))),
        batch(LESSONS, 0, event("ann", lesson())),
        batch(ANSWERS, 0, event("ann", answer("q1", correct=False)), end=4),
    )

    assert done == [None] * 3
    assert together.transactions == 1
    ann = await progress(pool, "ann")
    assert (ann["daily-xp-20"], ann["daily-lesson-1"]) == (11, 1)
    assert (await state_of(pool, "ann")).version == 1
    assert await tally(pool, XP) == {"next_offset": 3, "applied": 3}
    assert await tally(pool, LESSONS) == {"next_offset": 1, "applied": 1}
    assert await tally(pool, ANSWERS) == {"next_offset": 4, "unmatched": 1, "skipped": 3}
    places = await pool.fetch('select topic, "offset" from event_log order by 1, 2')
    assert [tuple(row) for row in places] == [(LESSONS, 0), (ANSWERS, 0), (XP, 0), (XP, 1), (XP, 2)]


async def test_what_was_recorded_first_is_decided_first_whatever_its_topic(together: Together, pool: Pool) -> None:
    """The zone that a session tells holds for the XP that came after it."""
    tokyo = SessionStarted(timezone="Asia/Tokyo")
    earlier = int((NOW - timedelta(minutes=1)).timestamp() * 1000)
    session = batch(SESSIONS, 0, event("ann", tokyo, at=NOW - timedelta(minutes=1)))
    session = replace(session, records=[replace(_fake(session), timestamp=earlier)])

    await together(batch(XP, 0, event("ann", xp(5))), session)

    assert together.transactions == 1
    state = await state_of(pool, "ann")
    assert [segment.zone for segment in state.zones] == ["Asia/Tokyo"]
    assert {assignment.starts_at.hour for assignment in state.assignments} == {15}, "midnight in Tokyo"


def _fake(one: Batch) -> FakeRecord:
    record: Any = one.records[0]
    assert isinstance(record, FakeRecord)
    return record


async def test_an_id_that_comes_in_two_topics_counts_once(together: Together, pool: Pool) -> None:
    await together(batch(XP, 0, event("ann", xp(5), "the-same")), batch(LESSONS, 0, event("ann", xp(5), "the-same")))

    assert (await progress(pool, "ann"))["daily-xp-20"] == 5
    assert await tally(pool, XP) == {"next_offset": 1, "applied": 1}
    assert await tally(pool, LESSONS) == {"next_offset": 1, "duplicate": 1}


async def test_a_partition_that_is_fenced_does_not_hold_the_others(together: Together, pool: Pool) -> None:
    await together(batch(XP, 0, event("ann", xp(1))))

    fenced, other = await together(batch(XP, 5, event("ann", xp(2))), batch(LESSONS, 0, event("ann", lesson())))

    assert isinstance(fenced, Fenced)
    assert other is None
    assert await tally(pool, XP) == {"next_offset": 1, "applied": 1}
    assert await tally(pool, LESSONS) == {"next_offset": 1, "applied": 1}


async def test_what_was_applied_before_is_passed_over_and_the_rest_counts(together: Together, pool: Pool) -> None:
    first, second = event("ann", xp(1)), event("ann", xp(2))
    await together(batch(XP, 0, first))

    done = await together(batch(XP, 0, first, second), batch(LESSONS, 0, event("ann", lesson())))

    assert done == [None, None]
    assert (await progress(pool, "ann"))["daily-xp-20"] == 3
    assert await tally(pool, XP) == {"next_offset": 2, "applied": 2}


async def test_what_a_seek_delivers_again_is_told_again_and_the_rest_is_one_transaction(
    together: Together, pool: Pool, projection: Projection
) -> None:
    """Every seek begins before the ledger's position, in every partition: after it nothing would be applied together otherwise."""
    xps, lessons = [event("ann", xp(amount)) for amount in (1, 2)], [event("ann", lesson()) for _ in range(2)]
    await together(batch(XP, 0, event("bob", xp(1)), xps[0]), batch(LESSONS, 0, lessons[0]))
    bob = await state_of(pool, "bob")
    await projection.discard([("bob", bob.version)])

    done = await together(batch(XP, 0, event("bob", xp(1)), *xps), batch(LESSONS, 0, *lessons))

    assert done == [None, None]
    assert together.transactions == 1
    assert (await state_of(pool, "ann")).version == 2
    assert await tally(pool, XP) == {"next_offset": 3, "applied": 3}
    assert (await tally(pool, LESSONS))["next_offset"] == 2
    assert (await projection.load(["bob"]))["bob"] == bob


async def test_what_is_wholly_applied_before_is_told_again_and_moves_nothing(
    together: Together, pool: Pool, projection: Projection
) -> None:
    first = event("ann", xp(1))
    await together(batch(XP, 0, first))
    ann = await state_of(pool, "ann")
    await projection.discard([("ann", ann.version)])

    done = await together(batch(XP, 0, first), batch(LESSONS, 0, event("bob", lesson())))

    assert done == [None, None]
    assert await state_of(pool, "ann") == ann
    assert await tally(pool, XP) == {"next_offset": 1, "applied": 1}
    assert (await projection.load(["ann"]))["ann"] == ann


async def test_where_nothing_but_transaction_markers_is_behind_what_was_applied_the_position_moves_past_them(
    together: Together, pool: Pool
) -> None:
    first = event("ann", xp(1))
    await together(batch(XP, 0, first))

    assert await together(batch(XP, 0, first, end=3)) == [None]
    assert await tally(pool, XP) == {"next_offset": 3, "applied": 1, "skipped": 2}

    done = await together(batch(XP, 0, first, end=5), batch(LESSONS, 0, event("ann", lesson())))
    assert done == [None, None]
    assert await tally(pool, XP) == {"next_offset": 5, "applied": 1, "skipped": 4}


async def test_after_a_crash_what_the_ledger_has_lost_is_fenced_and_the_others_are_one_transaction(
    together: Together, pool: Pool
) -> None:
    """Postgres may lose its last commits: in each partition or in some, and nobody is told but by the position."""
    await together(batch(XP, 0, event("ann", xp(1))))

    lost, *others = await together(
        batch(XP, 5, event("ann", xp(2))),
        batch(LESSONS, 0, event("ann", lesson())),
        batch(ANSWERS, 0, event("ann", answer("q1", correct=True))),
    )

    assert isinstance(lost, Fenced)
    assert others == [None, None]
    assert together.transactions == 1
    assert await tally(pool, XP) == {"next_offset": 1, "applied": 1}


async def test_a_flood_stops_its_partition_alone(together: Together, pool: Pool) -> None:
    flood, other = await together(
        batch(XP, 0, event("ann", xp(5)), *[BAD] * (RUN_MAX + 1)), batch(LESSONS, 0, event("ann", lesson()))
    )

    assert isinstance(flood, Halt)
    assert other is None
    assert await tally(pool, XP) == {"next_offset": 1 + RUN_MAX, "applied": 1, "dead_letter": RUN_MAX}
    assert await tally(pool, LESSONS) == {"next_offset": 1, "applied": 1}


async def test_bad_records_are_kept_under_their_own_partition(together: Together, pool: Pool) -> None:
    await together(batch(XP, 0, BAD, event("ann", xp(5))), batch(LESSONS, 0, event("ann", lesson()), BAD))

    assert together.transactions == 1
    letters = await pool.fetch(
        'select topic, "offset" from dead_letter where topic <> $1 order by 1', "learning.item-used"
    )
    assert [tuple(row) for row in letters] == [(LESSONS, 1), (XP, 0)]
    assert await tally(pool, XP) == {"next_offset": 2, "applied": 1, "dead_letter": 1}


@pytest.mark.usefixtures("thirteen_breaks_the_core")
async def test_a_record_that_breaks_the_core_becomes_a_dead_letter_alone(together: Together, pool: Pool) -> None:
    await together(
        batch(XP, 0, *(event("ann", xp(amount)) for amount in (1, 13, 3))), batch(LESSONS, 0, event("ann", lesson()))
    )

    assert (await progress(pool, "ann"))["daily-xp-20"] == 4
    assert await tally(pool, XP) == {"next_offset": 3, "applied": 2, "dead_letter": 1}
    assert await tally(pool, LESSONS) == {"next_offset": 1, "applied": 1}


@pytest.mark.parametrize("step", ["logged", "before_commit", "committed"])
async def test_killed_in_anothers_turn_each_is_applied_once_after_all(
    pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher, step: str
) -> None:
    """The lane whose turn it is is cancelled, as a rebalance does; the others, whose parts it had taken along, go on by themselves."""
    gate, reached = asyncio.Event(), asyncio.Event()
    turns = 0

    async def at_step(name: str) -> None:
        nonlocal turns
        turns += name == "fetched"
        if name == "fetched" and turns == 1:
            await gate.wait()
        if name == step and turns == 2 and not reached.is_set():
            reached.set()
            await asyncio.Event().wait()

    apply = ApplyBatch(BatchLedger(pool, partition_of), projection, live_catalogue, lanes_max=8, at_step=at_step)

    def start(one: Batch) -> "asyncio.Task[None]":
        return asyncio.create_task(apply(one))

    first = start(batch(SESSIONS, 0, (b"x", b"{}")))
    await asyncio.sleep(0)
    leader = start(batch(XP, 0, event("ann", xp(5))))
    followers = [
        start(batch(LESSONS, 0, event("ann", lesson()))),
        start(batch(ANSWERS, 0, event("ann", answer("q1", correct=True)))),
    ]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, reached.wait())
    leader.cancel()
    await asyncio.gather(*followers)

    assert leader.cancelled()
    assert (await progress(pool, "ann"))["daily-lesson-1"] == 1
    assert (await tally(pool, LESSONS))["next_offset"] == (await tally(pool, ANSWERS))["next_offset"] == 1
    applied = await pool.fetchval("select count(*) from event_log where topic = $1", XP)
    assert applied == (1 if step == "committed" else 0)
    assert (await projection.load(["ann"]))["ann"] == await state_of(pool, "ann")
