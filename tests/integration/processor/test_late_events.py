"""Events that come after their day: up to the lateness bound they count, before and after the sweep; on a real ledger."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

import pytest

from mission_events import LearningData, OutEvent, decode_out
from mission_events.learning import LEARNING_TYPES
from mission_events.missions import MissionExpired
from services.adapters.kafka.records import Batch, PartitionId
from services.adapters.ledger.batch import BatchLedger
from services.adapters.ledger.connection import Pool
from services.adapters.ledger.records import Records
from services.adapters.ledger.sweep import SweepLedger
from services.adapters.ledger.users import Users
from services.adapters.projection import Projection
from services.api.read_missions import ReadMissions
from services.claims.claim_reward import ClaimCommand, ClaimReward, Granted, Refusal, Refused
from services.missions.periods import LATENESS_BOUND
from services.missions.state import Status
from services.missions.view import MissionView
from services.operations.catalogue import CatalogueWatcher
from services.operations.expire import TIMESTAMP_DISORDER, expire_overdue
from services.operations.issue import Issuer
from services.operations.refresh import FreshCatalogue
from services.processor.apply_batch import ApplyBatch
from tests.integration.processor.test_apply_batch import LESSONS, XP, FakeRecord, event, tally
from tests.support.events import lesson, xp
from tests.support.ledger import partition_of

DAY, HOUR, SECOND, MOMENT = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1), timedelta(milliseconds=1)
"""A record's timestamp counts milliseconds."""

TODAY = datetime.combine(datetime.now(UTC).date(), time(), UTC)
MONDAY = TODAY - timedelta(days=TODAY.weekday() + 7)
"""Of the last whole week. Users whom no session told a zone live in UTC."""

TUESDAY, WEDNESDAY, THURSDAY = (MONDAY + n * DAY for n in (1, 2, 3))
NOON = timedelta(hours=12)
BOUND = WEDNESDAY + LATENESS_BOUND
"""When Tuesday is over for good."""

SWEPT = BOUND + TIMESTAMP_DISORDER
"""The first instant at which the sweep ends Tuesday, if every record has been applied."""


@dataclass
class World:
    """The use cases on one ledger, for one user, Ann. The test says when it is."""

    pool: Pool
    apply: ApplyBatch
    read: ReadMissions
    claims: ClaimReward
    catalogue: CatalogueWatcher
    ends: dict[PartitionId, int] = field(default_factory=dict)

    async def happens(self, data: LearningData, at: datetime, recorded_at: datetime | None = None) -> None:
        """An event of the time `at`, whose record comes then too, or later."""
        topic = LEARNING_TYPES[type(data)].removesuffix(".v1")
        partition, (key, value) = PartitionId(topic, 0), event("ann", data, at=at)
        offset = self.ends.get(partition, 0)
        self.ends[partition] = offset + 1
        record = FakeRecord(offset, value, key, round((recorded_at or at).timestamp() * 1000))
        await self.apply(Batch(partition, [record], offset, offset + 1, 1))

    async def sweep(self, now: datetime, unread: Mapping[PartitionId, int] | None = None) -> int:
        """What the scheduler does at that time. `unread` are the logs' ends where they are not what was applied."""

        async def ends() -> Mapping[PartitionId, int]:
            return {**self.ends, **(unread or {})}

        return await expire_overdue(SweepLedger(self.pool, partition_of), self.catalogue, ends, now)

    async def shown(self, now: datetime) -> dict[tuple[str, datetime], MissionView]:
        """What the app shows at that time, by mission and start."""
        return {(view.mission_id, view.starts_at): view for view in await self.read.current("ann", now, ["en"])}

    async def tuesdays(self, mission_id: str, now: datetime) -> tuple[Status, float]:
        """Status and progress of Tuesday's mission as the app shows them."""
        view = (await self.shown(now))[mission_id, TUESDAY]
        return view.status, view.progress

    async def rows(self, starts_at: datetime = TUESDAY) -> dict[str, str]:
        """Status of the ledger's assignments of one start."""
        query = "select mission_id, status from assignment where user_id = 'ann' and starts_at = $1"
        return {row[0]: row[1] for row in await self.pool.fetch(query, starts_at)}

    async def told(self, what: str) -> list[OutEvent]:
        """Ann's messages in the outbox."""
        rows = await self.pool.fetch(
            "select payload from outbox where topic = $1 and key = 'ann' order by seq", f"missions.{what}"
        )
        return [message for row in rows if isinstance(message := decode_out(row[0]), OutEvent)]

    async def expired(self, ended_at: datetime = WEDNESDAY) -> dict[str, int]:
        """Progress by mission of what ended at that time, as `mission-expired` tells it."""
        told = [message.data for message in await self.told("mission-expired")]
        ended = [data for data in told if isinstance(data, MissionExpired) and data.expired_at == ended_at]
        found = {data.mission_id: data.progress for data in ended}
        assert len(found) == len(ended)
        return found


@pytest.fixture
async def world(pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher) -> World:
    users, fresh = Users(pool, partition_of), FreshCatalogue(live_catalogue)
    issuer = Issuer(users, projection, live_catalogue)
    return World(
        pool,
        ApplyBatch(BatchLedger(pool, partition_of), projection, live_catalogue, lanes_max=8),
        ReadMissions(users, projection, issuer, fresh),
        ClaimReward(users, projection, fresh),
        live_catalogue,
    )


async def open_tuesday(world: World) -> None:
    """Ann's first day: three missions, and 15 of 20 XP."""
    await world.happens(xp(15), TUESDAY + NOON)
    assert set(await world.rows()) == {"daily-lesson-1", "daily-xp-20", "fix-mistakes-2"}


@pytest.mark.parametrize("after", [timedelta(0), MOMENT, HOUR, LATENESS_BOUND - MOMENT])
async def test_what_comes_within_the_bound_counts_for_its_day(world: World, after: timedelta) -> None:
    await open_tuesday(world)

    await world.happens(xp(5), WEDNESDAY - MOMENT, WEDNESDAY + after)

    assert await world.tuesdays("daily-xp-20", WEDNESDAY + HOUR) == (Status.COMPLETED, 20)
    assert await tally(world.pool, XP) == {"next_offset": 2, "applied": 2}
    [completed] = await world.told("mission-completed")
    assert completed.data.assignment_id == (await world.shown(BOUND))["daily-xp-20", TUESDAY].assignment_id


@pytest.mark.parametrize("after", [timedelta(0), MOMENT, 3 * DAY])
async def test_what_comes_at_the_bound_or_later_counts_for_nothing_and_is_kept(world: World, after: timedelta) -> None:
    await open_tuesday(world)

    await world.happens(xp(5), WEDNESDAY - MOMENT, BOUND + after)

    assert await world.tuesdays("daily-xp-20", WEDNESDAY + HOUR) == (Status.EXPIRED, 15)
    assert await tally(world.pool, XP) == {"next_offset": 2, "applied": 1, "late": 1}
    assert await world.told("mission-completed") == []
    assert await world.pool.fetchval("select count(*) from event_log where user_id = 'ann'") == 2
    assert (await Records(world.pool).xp_totals("ann")).earned == 20


async def test_an_event_of_midnight_is_the_next_days(world: World) -> None:
    await open_tuesday(world)

    await world.happens(xp(5), WEDNESDAY, WEDNESDAY + HOUR)

    shown = await world.shown(WEDNESDAY + 2 * HOUR)
    assert shown["daily-xp-20", TUESDAY].progress == 15
    assert shown["daily-xp-20", WEDNESDAY].progress == 5


async def test_tuesdays_lesson_synced_on_thursday_counts_for_the_week_and_not_for_the_day(world: World) -> None:
    await world.happens(xp(1), MONDAY - NOON)  # so that Monday brings weekly missions
    await world.happens(xp(1), TUESDAY + NOON)
    thursday = THURSDAY + NOON
    assert thursday > BOUND

    await world.happens(lesson(), TUESDAY + NOON, thursday)

    assert await world.tuesdays("daily-lesson-1", WEDNESDAY + HOUR) == (Status.EXPIRED, 0)
    shown = await world.shown(thursday)
    week = shown["weekly-lessons-5", MONDAY]
    assert (week.status, week.progress) == (Status.IN_PROGRESS, 1)
    assert shown["daily-lesson-1", THURSDAY].progress == 0, "and not for the day it came on"
    assert await tally(world.pool, LESSONS) == {"next_offset": 1, "applied": 1}


async def test_an_expired_day_is_completed_and_paid(world: World) -> None:
    await open_tuesday(world)
    later = WEDNESDAY + NOON
    before = (await world.shown(later))["daily-xp-20", TUESDAY]
    assert (before.status, before.progress, before.claimable_until) == (Status.EXPIRED, 15, None)
    claim = ClaimCommand("ann", before.assignment_id)
    assert await world.claims(claim, later) == Refused(Refusal.NOT_COMPLETED)

    await world.happens(xp(10), TUESDAY + 20 * HOUR, later)

    after = (await world.shown(later + HOUR))["daily-xp-20", TUESDAY]
    assert (after.status, after.progress) == (Status.COMPLETED, 20)
    assert after.assignment_id == before.assignment_id
    assert after.completed_at == TUESDAY + 20 * HOUR
    granted = await world.claims(claim, later + 2 * HOUR)
    assert isinstance(granted, Granted)
    assert (await world.tuesdays("daily-xp-20", later + 2 * HOUR))[0] is Status.CLAIMED
    assert len(await world.told("reward-granted")) == 1
    assert (await world.shown(later))["daily-xp-20", WEDNESDAY].progress == 0


@pytest.mark.parametrize(
    ("recorded_at", "is_counted"),
    [
        (WEDNESDAY + HOUR, True),
        (BOUND - MOMENT, True),
        (BOUND, False),
    ],
)
async def test_a_whole_day_offline(world: World, recorded_at: datetime, is_counted: bool) -> None:
    """Nothing was issued for Tuesday when it was lived; its first event issues it, unless it comes past the bound."""
    await world.happens(xp(1), MONDAY + NOON)
    await world.happens(xp(1), WEDNESDAY + SECOND)
    assert await world.rows() == {}

    await world.happens(lesson(), TUESDAY + NOON, recorded_at)

    rows = await world.rows()
    assert rows.get("daily-lesson-1") == ("COMPLETED" if is_counted else None)
    assert bool(rows) == is_counted
    todays = (await world.shown(WEDNESDAY + HOUR))["daily-lesson-1", WEDNESDAY]
    assert (todays.status, todays.progress) == (Status.IN_PROGRESS, 0)


async def test_the_sweep_ends_a_day_after_the_bound_and_only_then(world: World) -> None:
    await open_tuesday(world)
    for too_early in (WEDNESDAY, WEDNESDAY + SECOND, BOUND - MOMENT, BOUND, SWEPT - MOMENT):
        assert await world.sweep(too_early) == 0, too_early
        assert await world.expired() == {}
    assert set((await world.rows()).values()) == {"IN_PROGRESS"}

    assert await world.sweep(SWEPT) == 3

    assert await world.expired() == {"daily-lesson-1": 0, "daily-xp-20": 15, "fix-mistakes-2": 0}
    assert await world.sweep(SWEPT + 9 * DAY) == 0
    assert len(await world.told("mission-expired")) == 3


async def test_what_a_late_event_completed_is_never_told_as_expired(world: World) -> None:
    await open_tuesday(world)
    assert await world.sweep(BOUND - MOMENT) == 0
    await world.happens(xp(5), TUESDAY + NOON, BOUND - MOMENT)

    assert await world.sweep(SWEPT + 30 * DAY) == 2

    assert await world.expired() == {"daily-lesson-1": 0, "fix-mistakes-2": 0}
    assert await world.rows() == {
        "daily-lesson-1": "EXPIRED",
        "daily-xp-20": "COMPLETED",
        "fix-mistakes-2": "EXPIRED",
    }


async def test_while_the_input_lags_a_record_from_within_the_bound_still_completes(world: World) -> None:
    await open_tuesday(world)
    one_unread = {PartitionId(XP, 0): 2}
    for now in (SWEPT, SWEPT + 2 * DAY):
        assert await world.sweep(now, one_unread) == 0, "what lies in the log may be in time"

    await world.happens(xp(5), TUESDAY + NOON, BOUND - MOMENT)

    assert await world.sweep(SWEPT + 2 * DAY) == 2
    assert (await world.rows())["daily-xp-20"] == "COMPLETED"
    assert "daily-xp-20" not in await world.expired()


async def test_a_lagging_partition_of_another_topic_holds_the_sweep_too(world: World) -> None:
    await open_tuesday(world)
    assert await world.sweep(SWEPT + DAY, {PartitionId(LESSONS, 3): 1}) == 0
    await world.happens(lesson(), TUESDAY + NOON, TUESDAY + NOON)
    assert await world.sweep(SWEPT + DAY, {PartitionId(LESSONS, 0): 2}) == 0, "the last one applied is of Tuesday"
    assert await world.sweep(SWEPT + DAY) == 2
    assert set(await world.expired()) == {"daily-xp-20", "fix-mistakes-2"}


@pytest.mark.parametrize("amount", [5, 50])
async def test_after_the_sweep_nothing_completes_an_ended_day_whatever_its_record_says(
    world: World, amount: int
) -> None:
    """Only a producer's clock that runs back by more than five minutes makes such a record."""
    await open_tuesday(world)
    assert await world.sweep(SWEPT) == 3
    before = await world.expired()

    await world.happens(xp(amount), TUESDAY + NOON, BOUND - MOMENT)

    assert await world.tuesdays("daily-xp-20", WEDNESDAY + 2 * HOUR) == (Status.EXPIRED, 15)
    assert (await world.rows())["daily-xp-20"] == "EXPIRED"
    assert await world.told("mission-completed") == []
    assert await world.expired() == before
    assignment_id = (await world.shown(WEDNESDAY + 2 * HOUR))["daily-xp-20", TUESDAY].assignment_id
    assert await world.claims(ClaimCommand("ann", assignment_id), SWEPT) == Refused(Refusal.NOT_COMPLETED)
    assert sum(count for name, count in (await tally(world.pool, XP)).items() if name != "next_offset") == 2


async def test_after_the_sweep_what_is_late_is_counted_as_late(world: World) -> None:
    await open_tuesday(world)
    assert await world.sweep(SWEPT) == 3

    await world.happens(xp(50), TUESDAY + NOON, SWEPT)

    assert await tally(world.pool, XP) == {"next_offset": 2, "applied": 1, "late": 1}
    assert await world.tuesdays("daily-xp-20", WEDNESDAY + 2 * HOUR) == (Status.EXPIRED, 15)
    assert (await world.expired())["daily-xp-20"] == 15


async def test_after_the_sweep_a_late_event_still_counts_for_the_week(world: World) -> None:
    await world.happens(xp(1), MONDAY - NOON)
    await world.happens(xp(1), TUESDAY + NOON)
    assert await world.sweep(SWEPT) > 0
    assert (await world.rows())["daily-xp-20"] == "EXPIRED"

    await world.happens(xp(100), TUESDAY + NOON, THURSDAY + NOON)
    await world.happens(xp(60), THURSDAY + NOON)

    assert (await world.rows(MONDAY))["weekly-xp-150"] == "COMPLETED"
    assert "weekly-xp-150" not in await world.expired()
    assert "daily-xp-20" in await world.expired()


@pytest.mark.parametrize("is_swept", [False, True])
async def test_the_order_of_a_sweep_and_an_event_past_the_bound_makes_no_difference(
    world: World, is_swept: bool
) -> None:
    await open_tuesday(world)
    if is_swept:
        assert await world.sweep(SWEPT + HOUR) == 3
    await world.happens(xp(5), TUESDAY + NOON, BOUND)
    assert await world.sweep(SWEPT + HOUR) == (0 if is_swept else 3)
    assert set((await world.rows()).values()) == {"EXPIRED"}
    assert (await world.expired())["daily-xp-20"] == 15
    assert await tally(world.pool, XP) == {"next_offset": 2, "applied": 1, "late": 1}
