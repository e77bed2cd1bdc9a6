"""A batch has its effect once: on a real ledger and projection, without Kafka."""

import asyncio
import itertools
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pytest
from typing_extensions import override

from mission_events import LearningData, SessionStarted, encode_event
from services.adapters.kafka.records import Batch, Fenced, PartitionId
from services.adapters.ledger.batch import BatchLedger
from services.adapters.ledger.connection import Pool
from services.adapters.ledger.users import Users
from services.adapters.ledger.writer import UserChange
from services.adapters.projection import Projection
from services.missions.state import Status, UserState, decode_state
from services.operations.catalogue import CatalogueWatcher
from services.processor.apply_batch import ApplyBatch
from tests.support.events import answer, lesson, xp
from tests.support.ledger import partition_of

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
"""A Sunday, and not the clock: the days before it are of the same week, whenever the tests run."""


@dataclass(frozen=True)
class FakeRecord:
    """A record as Kafka's client hands it over."""

    offset: int
    value: bytes | None
    key: bytes | None
    timestamp: int = int(NOW.timestamp() * 1000)
    timestamp_type: int = 0
    headers: tuple[tuple[str, bytes | None], ...] = ()


def event(user: str, data: LearningData, event_id: str | None = None, at: datetime = NOW) -> tuple[bytes, bytes]:
    return user.encode(), encode_event(
        data, event_id=event_id or secrets.token_hex(8), source="test", subject=user, time=at
    )


def batch(
    topic: str, start: int, *events: tuple[bytes, bytes | None], end: int | None = None, partition: int = 0
) -> Batch:
    records = [FakeRecord(start + place, value, key) for place, (key, value) in enumerate(events)]
    last = end if end is not None else start + len(records)
    return Batch(PartitionId(topic, partition), records, start, last, 1)


XP = "learning.xp-earned"
LESSONS = "learning.lesson-completed"
ANSWERS = "learning.question-answered"


@pytest.fixture
async def apply(pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher) -> ApplyBatch:
    return ApplyBatch(BatchLedger(pool, partition_of), projection, live_catalogue, lanes_max=8)


async def state_of(pool: Pool, user: str) -> UserState:
    return decode_state(await pool.fetchval("select state from user_state where user_id = $1", user))


async def progress(pool: Pool, user: str) -> dict[str, float]:
    return {a.mission_id: a.objectives[0].progress for a in (await state_of(pool, user)).assignments}


async def tally(pool: Pool, topic: str) -> dict[str, int]:
    row = await pool.fetchrow("select * from input_position where topic = $1", topic)
    assert row is not None
    names = ("next_offset", "applied", "unmatched", "duplicate", "late", "dead_letter", "unknown", "skipped")
    return {name: row[name] for name in names if row[name]}


async def test_events_issue_missions_and_move_them(apply: ApplyBatch, pool: Pool, projection: Projection) -> None:
    await apply(batch(XP, 0, event("ann", xp(5)), event("ann", xp(7)), event("bob", xp(30))))

    assert (await progress(pool, "ann"))["daily-xp-20"] == 12
    assert (await progress(pool, "bob"))["daily-xp-20"] == 20
    assert await tally(pool, XP) == {"next_offset": 3, "applied": 3}
    shown = await projection.load(["ann", "bob"])
    assert shown == {"ann": await state_of(pool, "ann"), "bob": await state_of(pool, "bob")}
    rows = await pool.fetch("select mission_id, status from assignment where user_id = 'bob' order by 1")
    assert [tuple(row) for row in rows] == [
        ("daily-lesson-1", "IN_PROGRESS"),
        ("daily-xp-20", "COMPLETED"),
        ("fix-mistakes-2", "IN_PROGRESS"),
    ]
    topics = await pool.fetch("select topic, count(*) from outbox group by 1 order by 1")
    assert [tuple(row) for row in topics] == [("missions.mission-assigned", 6), ("missions.mission-completed", 1)]


async def test_what_is_given_up_before_its_turn_is_not_begun(apply: ApplyBatch, pool: Pool) -> None:
    wanted = batch(XP, 0, event("ann", xp(5)))
    given_up = replace(batch(LESSONS, 0, event("ann", lesson())), given_up=lambda: True)

    applied, refused = await asyncio.gather(apply(wanted), apply(given_up), return_exceptions=True)

    assert applied is None
    assert isinstance(refused, Fenced)
    assert await tally(pool, XP) == {"next_offset": 1, "applied": 1}
    assert await pool.fetchval("select count(*) from input_position where topic = $1", LESSONS) == 0


async def test_a_batch_delivered_again_changes_nothing_and_fills_the_projection(
    apply: ApplyBatch, pool: Pool, projection: Projection
) -> None:
    first = batch(XP, 0, event("ann", xp(5)), event("bob", xp(3)))
    await apply(first)
    before = await pool.fetch("select * from user_state order by user_id")
    await projection.discard([("ann", 1), ("bob", 1)])

    await apply(first)

    assert await pool.fetch("select * from user_state order by user_id") == before
    assert set(await projection.load(["ann", "bob"])) == {"ann", "bob"}
    assert await tally(pool, XP) == {"next_offset": 2, "applied": 2}


async def test_an_event_produced_twice_counts_once(apply: ApplyBatch, pool: Pool) -> None:
    same = event("ann", xp(5), "the-same")
    await apply(batch(XP, 0, same, same))
    await apply(batch(XP, 2, same, event("ann", xp(1))))

    assert (await progress(pool, "ann"))["daily-xp-20"] == 6
    assert await tally(pool, XP) == {"next_offset": 4, "applied": 2, "duplicate": 2}


async def test_a_stalled_worker_applies_only_what_nobody_has_applied(apply: ApplyBatch, pool: Pool) -> None:
    first, second, third = (event("ann", xp(amount)) for amount in (1, 2, 4))
    await apply(batch(XP, 0, first, second))

    await apply(batch(XP, 1, second, third))
    await apply(batch(XP, 0, first, second, third))

    assert (await progress(pool, "ann"))["daily-xp-20"] == 7
    assert await tally(pool, XP) == {"next_offset": 3, "applied": 3}


async def test_a_batch_ahead_of_the_ledger_is_fenced(apply: ApplyBatch, pool: Pool) -> None:
    await apply(batch(XP, 0, event("ann", xp(1))))

    with pytest.raises(Fenced):
        await apply(batch(XP, 5, event("ann", xp(1))))

    assert await tally(pool, XP) == {"next_offset": 1, "applied": 1}


async def test_what_a_killed_worker_did_not_project_is_projected_by_the_next_delivery(
    pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher
) -> None:
    async def die_after_commit(step: str) -> None:
        if step == "committed":
            raise KeyboardInterrupt

    ledger = BatchLedger(pool, partition_of)
    killed = ApplyBatch(ledger, projection, live_catalogue, lanes_max=1, at_step=die_after_commit)
    records = [event("ann", xp(20)), event("bob", xp(3))]
    with pytest.raises(KeyboardInterrupt):
        await killed(batch(XP, 0, *records))
    assert await projection.load(["ann", "bob"]) == {}

    await ApplyBatch(ledger, projection, live_catalogue, lanes_max=1)(batch(XP, 0, *records, event("bob", xp(1))))

    shown = await projection.load(["ann", "bob"])
    assert shown == {"ann": await state_of(pool, "ann"), "bob": await state_of(pool, "bob")}
    assert (await progress(pool, "bob"))["daily-xp-20"] == 4


class Killed(Exception):
    """The worker ends here."""


async def test_the_projection_is_told_nothing_that_the_ledger_may_still_take_back(
    apply: ApplyBatch, pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher
) -> None:
    async def at_step(step: str) -> None:
        if step == "before_commit":
            raise Killed

    doomed = ApplyBatch(BatchLedger(pool, partition_of), projection, live_catalogue, lanes_max=8, at_step=at_step)
    first = batch(XP, 0, event("ann", xp(20)))
    with pytest.raises(Killed):
        await doomed(first)
    assert await projection.load(["ann"]) == {}

    await apply(first)

    assert await projection.load(["ann"]) == {"ann": await state_of(pool, "ann")}


async def test_offsets_without_records_are_accounted_as_skipped(apply: ApplyBatch, pool: Pool) -> None:
    await apply(batch(XP, 0, event("ann", xp(1)), end=5))
    await apply(batch(XP, 5, event("ann", xp(1))))

    assert await tally(pool, XP) == {"next_offset": 6, "applied": 2, "skipped": 4}


async def test_two_lanes_that_meet_in_the_same_users_lose_nothing(apply: ApplyBatch, pool: Pool) -> None:
    users = [f"user-{number}" for number in range(50)]

    def of_topic(topic: str, partition: int, data: Callable[[], LearningData]) -> list[Batch]:
        # Of different partition numbers: those of one would take turns.
        size = len(users)
        return [
            batch(topic, size * round_, *(event(user, data()) for user in users), partition=partition)
            for round_ in range(4)
        ]

    questions = itertools.count()
    lanes = [
        of_topic(XP, 0, lambda: xp(2)),
        of_topic(LESSONS, 1, lesson),
        of_topic(ANSWERS, 2, lambda: answer(f"q-{next(questions)}", correct=False)),
        of_topic("learning.session-started", 3, lambda: SessionStarted(timezone="Asia/Kathmandu")),
    ]

    async def run(lane: list[Batch]) -> None:
        for each in lane:
            await apply(each)

    await asyncio.gather(*(run(lane) for lane in lanes))

    for user in users:
        reached = await progress(pool, user)
        assert reached["daily-xp-20"] == 8
        assert reached["daily-lesson-1"] == 1
        state = await state_of(pool, user)
        assert state.open_mistakes == 4
        assert len({a.mission_id for a in state.assignments}) == len(state.assignments)


async def test_the_projection_may_hold_a_history_that_the_ledger_lost(
    apply: ApplyBatch, pool: Pool, projection: Projection
) -> None:
    await apply(batch(XP, 0, event("ann", xp(1))))
    known = await pool.fetchrow("select * from user_state where user_id = 'ann'")
    position = await pool.fetchrow("select * from input_position where topic = $1", XP)
    assert known is not None
    assert position is not None
    lost = event("ann", xp(10), "lost")
    await apply(batch(XP, 1, lost))
    # Postgres crashed and took the last commit back, position and all; Redis still has what it had seen.
    await pool.execute(
        "update user_state set version = $1, stamp = $2, state = $3 where user_id = 'ann'",
        known["version"], known["stamp"], known["state"],
    )  # fmt: skip
    await pool.execute("update input_position set next_offset = 1, applied = 1 where topic = $1", XP)
    await pool.execute("delete from event_log where event_id = 'lost'")

    # Another event reaches the same version number by another history, then the lost one is delivered again.
    await apply(batch(LESSONS, 0, event("ann", lesson())))
    await apply(batch(XP, 1, lost))

    reached = await progress(pool, "ann")
    assert (reached["daily-xp-20"], reached["daily-lesson-1"]) == (11, 1)
    assert (await projection.load(["ann"]))["ann"] == await state_of(pool, "ann")


async def test_a_lost_completion_is_made_again_although_the_projection_shows_it(
    apply: ApplyBatch, pool: Pool, projection: Projection
) -> None:
    await apply(batch(XP, 0, event("ann", xp(1))))
    before = await pool.fetchrow("select * from user_state where user_id = 'ann'")
    assert before is not None
    lost = event("ann", xp(20), "lost")
    await apply(batch(XP, 1, lost))
    # Postgres crashed and took the last commit back; on Redis' state the event changes nothing any more.
    await pool.execute(
        "update user_state set version = $1, stamp = $2, state = $3 where user_id = 'ann'",
        before["version"], before["stamp"], before["state"],
    )  # fmt: skip
    await pool.execute("update input_position set next_offset = 1, applied = 1 where topic = $1", XP)
    await pool.execute("delete from event_log where event_id = 'lost'")
    await pool.execute("update assignment set status = 'IN_PROGRESS', progress = null, completed_at = null")
    await pool.execute("delete from outbox where topic = 'missions.mission-completed'")

    await apply(batch(XP, 1, lost))

    assert (await progress(pool, "ann"))["daily-xp-20"] == 20
    assert await pool.fetchval("select count(*) from assignment where status = 'COMPLETED'") == 1
    assert await pool.fetchval("select count(*) from outbox where topic = 'missions.mission-completed'") == 1
    assert (await projection.load(["ann"]))["ann"] == await state_of(pool, "ann")


async def test_a_stale_projection_does_not_hide_a_mission_that_was_issued_meanwhile(
    apply: ApplyBatch, pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher
) -> None:
    await apply(batch(XP, 0, event("ann", xp(1))))
    stale = (await projection.load(["ann"]))["ann"]
    state = await state_of(pool, "ann")
    extra = state.assignments[1]
    assert extra.mission_id == "daily-xp-20"
    version, stamp = state.version, state.stamp
    state.assignments = [a for a in state.assignments if a.mission_id != "daily-xp-20"]
    async with Users(pool, partition_of).transaction() as writer:
        assert await writer.save([UserChange(state, True, version, stamp)]) == set()
    await projection.store([state])  # the projection lacks the mission ...
    version, stamp = state.version, state.stamp
    state.assignments = stale.assignments
    async with Users(pool, partition_of).transaction() as writer:
        assert await writer.save([UserChange(state, True, version, stamp)]) == set()  # ... and the ledger has it again

    await apply(batch(XP, 1, event("ann", xp(4))))

    assert (await progress(pool, "ann"))["daily-xp-20"] == 5
    assert (await projection.load(["ann"]))["ann"] == await state_of(pool, "ann")


async def test_a_correction_counts_once(apply: ApplyBatch, pool: Pool) -> None:
    right, wrong = answer("q-1", correct=True), answer("q-1", correct=False)
    await apply(batch(ANSWERS, 0, event("ann", wrong), event("ann", right), event("ann", right)))
    assert (await progress(pool, "ann"))["fix-mistakes-2"] == 1

    later = NOW + timedelta(seconds=1)
    await apply(batch(ANSWERS, 3, event("ann", wrong, at=later), event("ann", right, at=later)))

    state = await state_of(pool, "ann")
    assert (await progress(pool, "ann"))["fix-mistakes-2"] == 2
    assert state.open_mistakes == 0
    row = await pool.fetchrow("select answers, correct_answers, mistake_since from user_question")
    assert row is not None
    assert tuple(row) == (5, 3, None)


async def test_a_late_event_is_counted_as_late(apply: ApplyBatch, pool: Pool) -> None:
    await apply(batch(XP, 0, event("ann", xp(5), at=NOW - timedelta(days=30)), event("ann", xp(1))))

    assert (await progress(pool, "ann"))["daily-xp-20"] == 1
    assert await tally(pool, XP) == {"next_offset": 2, "applied": 1, "late": 1}


async def test_what_the_sweep_has_expired_is_not_completed(apply: ApplyBatch, pool: Pool) -> None:
    await apply(batch(XP, 0, event("ann", xp(1))))
    await pool.execute("update assignment set status = 'EXPIRED', expired_at = now() where mission_id = 'daily-xp-20'")

    await apply(batch(XP, 1, event("ann", xp(19))))

    state = await state_of(pool, "ann")
    expired = next(a for a in state.assignments if a.mission_id == "daily-xp-20")
    assert expired.status is Status.IN_PROGRESS, "the view decides by the clock what is shown as EXPIRED"
    assert expired.objectives[0].progress == 1
    assert await pool.fetchval("select count(*) from outbox where topic = 'missions.mission-completed'") == 0


async def test_old_days_get_their_partition_when_the_first_event_comes(apply: ApplyBatch, pool: Pool) -> None:
    day = (NOW - timedelta(days=20)).date()
    await pool.execute(f"drop table event_log_{day:%Y%m%d}")

    await apply(batch(XP, 0, event("ann", xp(1), at=NOW - timedelta(days=20))))

    assert await pool.fetchval("select count(*) from event_log where day = $1", day) == 1


async def test_a_connection_that_breaks_while_a_day_gets_its_partition_ends_nothing(
    pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher
) -> None:
    class BreaksOnce(BatchLedger):
        breaks = 1

        @override
        async def ensure_days(self, days: Sequence[date]) -> None:
            self.breaks -= 1
            if self.breaks >= 0:
                raise ConnectionResetError
            await super().ensure_days(days)

    at = NOW - timedelta(days=20)
    await pool.execute(f"drop table event_log_{at:%Y%m%d}")

    await ApplyBatch(BreaksOnce(pool, partition_of), projection, live_catalogue, lanes_max=1)(
        batch(XP, 0, event("ann", xp(1), at=at))
    )

    assert (await tally(pool, XP))["next_offset"] == 1


async def test_the_first_batch_of_a_partition_is_on_disk_and_others_do_not_wait(pool: Pool) -> None:
    ledger = BatchLedger(pool, partition_of)
    waits = []
    for _ in range(2):
        async with ledger.transaction() as transaction:
            if not await transaction.lock_positions([(XP, 0)]):
                await transaction.open_position((XP, 0), 0)
            waits.append(await transaction._connection.fetchval("show synchronous_commit"))

    assert waits == ["on", "off"], "a beginning that a crash takes back would let a later batch begin in its place"
