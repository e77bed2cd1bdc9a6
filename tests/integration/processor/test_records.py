"""XP, lessons, chapters, units and derived streaks: written once for each event, in the batch's transaction, on a real ledger."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

import asyncpg
import pytest
from prometheus_client import REGISTRY

from mission_events import Event
from mission_events.codec import decode_any_time
from services.adapters.kafka.records import Batch
from services.adapters.ledger.batch import BatchLedger
from services.adapters.ledger.connection import Pool
from services.adapters.ledger.migrate import migrate, migrations
from services.adapters.ledger.queries import queries
from services.adapters.ledger.records import Learnt, Records, XpTotals
from services.adapters.ledger.users import Users
from services.adapters.projection import Projection
from services.missions.streaks import StreakSource
from services.operations.catalogue import CatalogueWatcher
from services.operations.issue import Issuer
from services.processor.apply_batch import ApplyBatch
from tests.integration.processor.test_apply_batch import LESSONS, NOW, XP, batch, event, progress, state_of, tally
from tests.reference.states import read_state, write_state
from tests.support.events import item, lesson, streak, xp
from tests.support.ledger import partition_of

ITEMS = "learning.item-used"
STREAKS = "learning.streak-updated"
DAY = timedelta(days=1)


@pytest.fixture
async def apply(pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher) -> ApplyBatch:
    return ApplyBatch(BatchLedger(pool, partition_of), projection, live_catalogue, lanes_max=8)


@pytest.fixture
async def derive(pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher) -> ApplyBatch:
    ledger = BatchLedger(pool, partition_of)
    return ApplyBatch(ledger, projection, live_catalogue, lanes_max=8, streak_source=StreakSource.DERIVED)


def conflicts() -> float:
    return REGISTRY.get_sample_value("mission_user_conflicts_total") or 0


async def make_projection_stale(pool: Pool, projection: Projection, user: str) -> None:
    """The next decision on this user is taken twice: first on a version that is not the ledger's."""
    row = await pool.fetchrow("select version, stamp, state from user_state where user_id = $1", user)
    assert row is not None
    changed = write_state(read_state(row["state"]) | {"version": row["version"] + 1})
    await pool.execute("update user_state set version = version + 1, state = $2 where user_id = $1", user, changed)
    assert (await projection.load([user]))[user].version == row["version"]


async def test_each_new_xp_event_is_one_row_with_where_it_came_from(apply: ApplyBatch, pool: Pool) -> None:
    same = event("ann", xp(5, "practice"), "the-same", at=NOW - DAY)
    await apply(batch(XP, 0, same, same, event("ann", xp(7), "other"), event("bob", xp(3), "third")))
    await apply(batch(XP, 4, same, event("ann", xp(9, "mission_reward"), "echo")))

    rows = await pool.fetch(
        "select user_id, amount, origin, xp_source, event_source, event_id from xp_log order by entry"
    )
    assert sorted(map(tuple, rows)) == [
        ("ann", 5, "event", "practice", "test", "the-same"),
        ("ann", 7, "event", "lesson", "test", "other"),
        ("ann", 9, "echo", "mission_reward", "test", "echo"),
        ("bob", 3, "event", "lesson", "test", "third"),
    ]
    assert await pool.fetchval("select earned_at from xp_log where event_id = 'the-same'") == NOW - DAY
    assert await Records(pool).xp_totals("ann") == XpTotals(earned=12, granted=0), "an echo counts in no total"
    assert await Records(pool).xp_totals("nobody") == XpTotals(0, 0)
    assert (await tally(pool, XP))["duplicate"] == 2


async def test_users_that_are_decided_twice_are_recorded_once(
    apply: ApplyBatch, pool: Pool, projection: Projection
) -> None:
    done = lesson(chapter_progress=1.0, unit_progress=1.0)
    before = conflicts()
    await apply(batch(XP, 0, event("ann", xp(1))))
    await make_projection_stale(pool, projection, "ann")
    await apply(batch(XP, 1, event("ann", xp(2))))
    await make_projection_stale(pool, projection, "ann")
    await apply(batch(LESSONS, 0, event("ann", done), event("ann", done)))

    assert conflicts() == before + 2
    assert (await progress(pool, "ann"))["daily-xp-20"] == 3
    assert await Records(pool).xp_totals("ann") == XpTotals(3, 0)
    assert await Records(pool).completed("ann") == [Learnt("python", lessons=1, times=2, chapters=1, units=1)]
    state = await state_of(pool, "ann")
    assert (state.chapters_completed, state.units_completed) == (1, 1)


@pytest.mark.usefixtures("thirteen_breaks_the_core")
async def test_a_batch_that_has_to_be_halved_is_recorded_once(apply: ApplyBatch, pool: Pool) -> None:
    await apply(batch(XP, 0, *(event("ann", xp(amount)) for amount in (1, 2, 13, 3, 4))))

    amounts = [row[0] for row in await pool.fetch("select amount from xp_log order by amount")]
    assert amounts == [1, 2, 3, 4], "what counts for nothing is in no log"


async def test_a_lesson_is_one_row_that_knows_its_completions_in_any_order(apply: ApplyBatch, pool: Pool) -> None:
    first = event("ann", lesson("a", accuracy=0.5, chapter_id="old", unit_id="z", lesson_type="core"), at=NOW - 3 * DAY)
    newest = event("ann", lesson("a", chapter_id="new", unit_id="u", lesson_type="review"), at=NOW)
    between = event("ann", lesson("a", accuracy=0.9, chapter_id="between"), at=NOW - DAY)
    other = event("ann", lesson("a", language="es"), at=NOW)
    orders: list[list[list[tuple[bytes, bytes]]]] = [
        [[newest, between, first, other]],
        [[newest, other], [between], [first]],
        [[between], [first, other, newest]],
    ]
    found = []
    for place, order in enumerate(orders):
        await pool.execute("truncate user_lesson, event_log")
        offset = 0
        for events in order:
            await apply(batch(LESSONS, offset, *events, partition=place))
            offset += len(events)
        found.append(await pool.fetch("select * from user_lesson order by language"))
    assert found[0] == found[1] == found[2]
    assert dict(found[0][1]) == {
        "user_id": "ann",
        "language": "python",
        "lesson_id": "a",
        "chapter_id": "new",
        "unit_id": "u",
        "lesson_type": "review",
        "times": 3,
        "first_completed_at": NOW - 3 * DAY,
        "last_completed_at": NOW,
        "best_accuracy": 0.9,
    }
    assert found[0][0]["times"] == 1


async def test_chapters_and_units_are_completed_once_and_counted_by_language(apply: ApplyBatch, pool: Pool) -> None:
    await apply(
        batch(
            LESSONS,
            0,
            event("ann", lesson("a", chapter_progress=0.5)),
            event("ann", lesson("b", chapter_progress=1.0, unit_progress=0.99)),
            event("ann", lesson("b", chapter_progress=1.0, unit_progress=1.0), at=NOW - DAY),
            event("ann", lesson("c", language="es", chapter_progress=1.0)),
            event("bob", lesson("a", chapter_progress=1.0)),
        )
    )
    await apply(batch(LESSONS, 5, event("ann", lesson("b", chapter_progress=1.0), at=NOW - 2 * DAY)))

    assert await Records(pool).completed("ann") == [
        Learnt("es", lessons=1, times=1, chapters=1, units=0),
        Learnt("python", lessons=2, times=4, chapters=1, units=1),
    ]
    rows = await pool.fetch(
        "select kind, content_id, completed_at from user_completion where user_id = 'ann' and language = 'python' order by 1"
    )
    assert [tuple(row) for row in rows] == [
        ("chapter", "python-basics", NOW - 2 * DAY),
        ("unit", "python-unit-1", NOW - DAY),
    ]
    state = await state_of(pool, "ann")
    assert (state.chapters_completed, state.units_completed) == (2, 1)


async def test_lanes_that_meet_in_the_same_lessons_lose_none(apply: ApplyBatch, pool: Pool) -> None:
    users = [f"user-{number}" for number in range(30)]

    async def lane(partition: int) -> None:
        order = users if partition % 2 else users[::-1]
        for turn in range(4):
            done = [event(user, lesson("same", chapter_progress=1.0)) for user in order]
            await apply(batch(LESSONS, turn * len(users), *done, partition=partition))

    await asyncio.gather(*(lane(partition) for partition in range(4)))

    assert await pool.fetchval("select array_agg(distinct times) from user_lesson") == [16]
    for user in users:
        assert (await state_of(pool, user)).chapters_completed == 1


async def told(pool: Pool) -> list[tuple[str, date, int, str]]:
    """Streak events in the outbox: id, day, days, change."""
    rows = await pool.fetch("select message_id::text, payload from outbox where topic = $1 order by seq", STREAKS)
    found = []
    for message_id, payload in rows:
        one = decode_any_time(payload)
        assert isinstance(one, Event)
        assert one.id == message_id
        data = one.data.__dict__
        found.append((message_id, data["day"], data["days"], data["change"]))
    return found


async def published(pool: Pool, start: int = 0) -> Batch:
    """What the relay would publish, as it comes back."""
    rows = await pool.fetch("delete from outbox where topic = $1 returning seq, key, payload", STREAKS)
    return batch(STREAKS, start, *((row["key"], row["payload"]) for row in sorted(rows, key=lambda row: row["seq"])))


async def test_a_derived_streak_goes_out_and_counts_when_it_comes_back(derive: ApplyBatch, pool: Pool) -> None:
    days = [NOW - 4 * DAY, NOW - 3 * DAY, NOW]
    await derive(batch(LESSONS, 0, *(event("ann", lesson(), at=at) for at in days)))
    assert [row[2:] for row in await told(pool)] == [(1, "extended"), (2, "extended"), (0, "broken"), (1, "extended")]
    assert (await state_of(pool, "ann")).streak == 0, "nothing but the event moves the streak"
    freeze = [event("ann", item("streak_freeze", quantity=2), at=NOW - DAY)]
    await derive(batch(ITEMS, 0, *freeze))
    assert (await told(pool))[-1][1:] == (NOW.date(), 3, "repaired")

    back = await published(pool)
    await derive(back)
    await derive(batch(STREAKS, len(back.records), event("ann", streak(99, str(NOW.date())))))

    state = await state_of(pool, "ann")
    assert (state.streak, state.streak_day, state.streak_longest, state.freezes_used) == (3, NOW.date(), 3, 2)
    assert await tally(pool, STREAKS) == {"next_offset": len(back.records) + 1, "unmatched": len(back.records) + 1}
    assert await told(pool) == [], "what comes back tells nothing new"


async def test_events_that_are_applied_again_tell_the_same_under_the_same_ids(
    derive: ApplyBatch, pool: Pool, projection: Projection
) -> None:
    done = [event("ann", lesson(), at=NOW - n * DAY) for n in (5, 4, 2, 0)]
    await derive(batch(LESSONS, 0, *done))
    first = await pool.fetch("select message_id, payload from outbox where topic = $1 order by seq", STREAKS)
    # The ledger is lost and Kafka delivers everything again, in other batches.
    await projection.discard([("ann", (await state_of(pool, "ann")).version)])
    await pool.execute(
        "truncate user_state, assignment, outbox, event_log, input_position, user_lesson, user_completion"
    )

    await derive(batch(LESSONS, 0, *done[:2]))
    await derive(batch(LESSONS, 2, *done[2:]))

    assert await pool.fetch("select message_id, payload from outbox where topic = $1 order by seq", STREAKS) == first
    assert len(first) == 6


async def test_users_that_are_decided_twice_are_told_once(
    derive: ApplyBatch, pool: Pool, projection: Projection
) -> None:
    await derive(batch(XP, 0, event("ann", xp(1))))
    await make_projection_stale(pool, projection, "ann")
    before = conflicts()
    await derive(batch(LESSONS, 0, event("ann", lesson())))
    assert conflicts() == before + 1
    assert [row[1:] for row in await told(pool)] == [(NOW.date(), 1, "extended")]


async def test_the_clock_tells_a_day_that_a_silent_user_missed_once(
    derive: ApplyBatch, pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher
) -> None:
    await derive(batch(LESSONS, 0, event("ann", lesson())))
    await derive(await published(pool))
    issuer = Issuer(Users(pool, partition_of), projection, live_catalogue, StreakSource.DERIVED)
    midnight = datetime.combine(NOW.date(), time(), UTC)

    for days in (1, 2):
        await issuer.issue_for("ann", midnight + days * DAY)
        assert await told(pool) == []
    for days in (3, 3, 4):
        await issuer.issue_for("ann", midnight + days * DAY)

    missed = NOW.date() + DAY
    assert [row[1:] for row in await told(pool)] == [(missed, 0, "broken")]
    payload = await pool.fetchval("select payload from outbox where topic = $1", STREAKS)
    assert json.loads(payload)["time"] == f"{missed + DAY}T00:00:00Z"


async def test_upstream_tells_nothing(apply: ApplyBatch, pool: Pool) -> None:
    await apply(batch(LESSONS, 0, event("ann", lesson())))
    await apply(batch(STREAKS, 0, event("ann", streak(7, str(NOW.date())))))
    assert await told(pool) == []
    state = await state_of(pool, "ann")
    assert (state.streak, state.study) == (7, None)


async def test_a_ledger_from_before_the_records_gets_them_from_what_it_knows(fresh_database: str) -> None:
    connection = await asyncpg.connect(fresh_database)
    await before_the_records(connection)
    await connection.execute(
        'insert into user_state (user_id, version, stamp, state) values (\'ann\', 4, 9, \'{"user_id":"ann","version":4,"stamp":9}\')'
    )
    await log(
        connection, "xp-earned", [{"amount": 5, "xp_source": "lesson"}, {"amount": 3, "xp_source": "mission_reward"}]
    )
    done = {"lesson_id": "a", "chapter_id": "c", "unit_id": "u", "language": "python", "lesson_type": "core"}
    await log(
        connection,
        "lesson-completed",
        [{**done, "accuracy": 0.25}, {**done, "accuracy": 0.75, "chapter_progress": 1.0}],
    )
    await connection.execute(
        "insert into reward_grant values (gen_random_uuid(), gen_random_uuid(), 'ann', 'm', $1, $2)",
        NOW,
        json.dumps([{"kind": "xp", "amount": 10}, {"kind": "gems", "amount": 4}]),
    )

    await migrate(fresh_database, NOW.date())

    pool = await asyncpg.create_pool(fresh_database, min_size=1, max_size=1)
    assert await Records(pool).xp_totals("ann") == XpTotals(earned=5, granted=10)
    assert await Records(pool).completed("ann") == [Learnt("python", lessons=1, times=2, chapters=1, units=0)]
    assert await pool.fetchval("select best_accuracy from user_lesson") == 0.75
    state = await state_of(pool, "ann")
    assert (state.version, state.stamp, state.chapters_completed, state.units_completed) == (5, 9, 1, 0)
    assert await pool.fetchval("select version from user_state") == 5
    await pool.close()
    await connection.close()


async def before_the_records(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    first = migrations()[0]
    await connection.execute(queries("migrate")["create_table"])
    await connection.execute(first.text)
    await connection.execute(queries("migrate")["record"], first.number, first.name, first.digest)
    day = NOW.date()  # the function that makes a day came later
    await connection.execute(
        f"create table event_log_{day:%Y%m%d} partition of event_log for values from ('{day}') to ('{day + DAY}')"
    )


async def log(connection: "asyncpg.Connection[asyncpg.Record]", name: str, data: Sequence[dict[str, object]]) -> None:
    for place, one in enumerate(data):
        await connection.execute(
            "insert into event_log values ($1, 'test', $2, 'ann', $3, $4, $4, $5, 0, $6, $7)",
            NOW.date(), f"{name}-{place}", f"learning.{name}.v1", NOW, f"learning.{name}", place, json.dumps(one),
        )  # fmt: skip
