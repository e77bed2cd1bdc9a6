"""The scheduler's look at the clock, on a real ledger: issues what begins, ends what is over, and does both only once."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta

import pytest
import yaml

from mission_events import OutEvent, decode_out
from services.adapters.kafka.records import PartitionId
from services.adapters.ledger.catalogue import CatalogueStore
from services.adapters.ledger.connection import Pool
from services.adapters.ledger.sweep import SweepLedger
from services.adapters.ledger.users import Users
from services.adapters.ledger.writer import UserChange
from services.adapters.projection import Projection
from services.missions.catalogue import parse_catalogue
from services.missions.periods import LATENESS_BOUND
from services.missions.state import Status
from services.operations.auto_claim import auto_claim
from services.operations.catalogue import CatalogueWatcher
from services.operations.clockwork import Clockwork
from services.operations.expire import TIMESTAMP_DISORDER, expire_overdue
from services.operations.issue import Issuer, issue_all
from services.operations.rebuild import rebuild_projection
from services.scheduler.tick import Ticked, tick
from tests.support.ledger import partition_of

NOON = datetime.combine(datetime.now(UTC).date(), time(12), UTC)
DAY = timedelta(days=1)
SOON = timedelta(minutes=1)


@pytest.fixture
def issuer(pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher) -> Issuer:
    return Issuer(Users(pool, partition_of), projection, live_catalogue)


@pytest.fixture
def ledger(pool: Pool) -> SweepLedger:
    return SweepLedger(pool, partition_of)


async def nothing_in_kafka() -> Mapping[PartitionId, int]:
    return {}


async def statuses(pool: Pool) -> dict[str, int]:
    return {row[0]: row[1] for row in await pool.fetch("select status, count(*) from assignment group by 1")}


async def seen_today(pool: Pool, *users: str) -> None:
    await pool.execute("update user_state set last_active_day = $1 where user_id = any($2)", NOON.date(), list(users))


async def test_a_look_issues_the_days_missions_and_the_next_midnight_brings_new_ones(
    issuer: Issuer, ledger: SweepLedger, pool: Pool
) -> None:
    first = await issuer.issue_for("ann", NOON)
    again = await issuer.issue_for("ann", NOON + SOON)
    assert [a.assignment_id for a in first.assignments] == [a.assignment_id for a in again.assignments]
    await seen_today(pool, "ann")

    assert await issue_all(ledger, issuer, NOON + SOON) == 0, "her day has begun already"
    issued = await issue_all(ledger, issuer, NOON + DAY)

    assert issued >= 3
    assert await issue_all(ledger, issuer, NOON + DAY) == 0
    rows = await pool.fetch("select count(*) from assignment where starts_at >= $1", NOON)
    assert rows[0][0] == issued
    announced = await pool.fetchval("select count(*) from outbox where topic = 'missions.mission-assigned'")
    assert announced == 3 + issued


async def test_users_who_left_are_issued_nothing_at_midnight(issuer: Issuer, ledger: SweepLedger, pool: Pool) -> None:
    await issuer.issue_for("gone", NOON)
    await pool.execute("update user_state set last_active_day = $1", (NOON - 20 * DAY).date())
    assert await issue_all(ledger, issuer, NOON + DAY) == 0


async def test_looking_from_many_places_at_once_issues_one_set(issuer: Issuer, pool: Pool) -> None:
    await issuer.issue_for("ann", NOON)
    await asyncio.gather(*(issuer.issue_for("ann", NOON + DAY) for _ in range(20)))
    twice = await pool.fetch("select mission_id from assignment group by mission_id, starts_at having count(*) > 1")
    assert twice == []


async def test_new_users_from_many_places_at_once_get_one_set(issuer: Issuer, pool: Pool) -> None:
    states = await asyncio.gather(*(issuer.issue_for("new", NOON) for _ in range(20)))
    assert len({tuple(a.assignment_id for a in state.assignments) for state in states}) == 1
    assert await pool.fetchval("select count(*) from assignment") == 3


async def test_what_is_over_is_ended_once_after_the_lateness_bound(
    issuer: Issuer, ledger: SweepLedger, pool: Pool, live_catalogue: CatalogueWatcher
) -> None:
    state = await issuer.issue_for("ann", NOON)
    ends = state.assignments[0].expires_at
    assert ends is not None
    bound = ends + LATENESS_BOUND + TIMESTAMP_DISORDER

    assert await expire_overdue(ledger, live_catalogue, nothing_in_kafka, bound - SOON) == 0
    copies = [expire_overdue(ledger, live_catalogue, nothing_in_kafka, bound) for _ in range(4)]
    assert sum(await asyncio.gather(*copies)) == 3

    assert await statuses(pool) == {"EXPIRED": 3}
    payloads = await pool.fetch("select payload from outbox where topic = 'missions.mission-expired'")
    events = [decode_out(row[0]) for row in payloads]
    assert {event.data.expired_at for event in events if isinstance(event, OutEvent)} == {ends}  # type: ignore[union-attr]
    assert len(events) == 3
    assert json.loads(await pool.fetchval("select progress from assignment limit 1")) == [0]


async def test_while_the_input_lags_nothing_is_ended(
    issuer: Issuer, ledger: SweepLedger, live_catalogue: CatalogueWatcher
) -> None:
    await issuer.issue_for("ann", NOON)

    async def one_record_unread() -> Mapping[PartitionId, int]:
        return {PartitionId("learning.xp-earned", 0): 1}

    assert await expire_overdue(ledger, live_catalogue, one_record_unread, NOON + 10 * DAY) == 0


async def test_completed_missions_stay_claimable(
    issuer: Issuer, ledger: SweepLedger, pool: Pool, live_catalogue: CatalogueWatcher
) -> None:
    await issuer.issue_for("ann", NOON)
    await pool.execute("update assignment set status = 'COMPLETED' where mission_id = 'daily-lesson-1'")
    assert await expire_overdue(ledger, live_catalogue, nothing_in_kafka, NOON + 10 * DAY) == 2
    assert await statuses(pool) == {"COMPLETED": 1, "EXPIRED": 2}


async def test_a_whole_look_is_safe_to_repeat(
    issuer: Issuer, ledger: SweepLedger, pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher
) -> None:
    await issuer.issue_for("ann", NOON)
    await seen_today(pool, "ann")

    clockwork = Clockwork(ledger, Users(pool, partition_of), issuer, projection, live_catalogue, nothing_in_kafka)

    async def look() -> Ticked:
        return await tick(ledger, clockwork, NOON + 3 * DAY, active_days=14, event_log_days=35)

    first, second = await look(), await look()

    assert first.issued >= 3
    assert first.expired == 3
    assert (second.issued, second.expired, second.dropped_days) == (0, 0, 0)


async def test_a_flushed_projection_is_rebuilt(
    issuer: Issuer, ledger: SweepLedger, pool: Pool, projection: Projection
) -> None:
    users = [f"user-{n}" for n in range(30)]
    states = {user: await issuer.issue_for(user, NOON) for user in users}
    await projection.discard([(user, state.version) for user, state in states.items()])
    assert await projection.load(users) == {}

    assert await rebuild_projection(ledger, projection) == 30

    assert await projection.load(users) == states


SEASON = """
missions:
  - id: season-xp
    type: special
    title: {en: "A season"}
    period: season
    opens_at: %s
    closes_at: %s
    objectives: [{id: xp, event: learning.xp-earned.v1, measure: {sum: amount}, target: 5}]
    rewards: [{kind: gems, amount: 50}, {kind: xp, amount: 30}]
    claim: {grace_days: 2, then: auto_claim}
"""


async def test_what_nobody_claimed_in_its_grace_is_claimed_once_if_the_mission_says_so(
    issuer: Issuer, ledger: SweepLedger, pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher
) -> None:
    opens, closes = NOON - DAY, NOON + DAY
    missions, problems = parse_catalogue(yaml.safe_load(SEASON % (opens.isoformat(), closes.isoformat())), "test")
    assert problems == []
    await CatalogueStore(pool).publish(missions)
    await live_catalogue.load()
    learners = [f"learner-{number}" for number in range(7)]
    for learner in learners:
        await complete_season(issuer, pool, learner)
    users = Users(pool, partition_of)
    over = closes + 2 * DAY

    async def claim(now: datetime) -> int:
        return await auto_claim(ledger, users, projection, live_catalogue, now)

    assert await claim(over - SOON) == 0, "the grace is not over"
    assert sum(await asyncio.gather(*(claim(over) for _ in range(3)))) == len(learners)
    assert await claim(over + DAY) == 0

    assert await pool.fetchval("select count(distinct user_id) from reward_grant") == len(learners)
    assert await pool.fetchval("select count(*) from outbox where topic = 'missions.reward-granted'") == len(learners)
    assert await pool.fetchval("select sum(amount) from xp_log where origin = 'grant'") == 30 * len(learners)
    shown = await projection.load(learners)
    assert {a.status for s in shown.values() for a in s.assignments if a.mission_id == "season-xp"} == {Status.CLAIMED}


async def complete_season(issuer: Issuer, pool: Pool, user: str) -> None:
    state = await issuer.issue_for(user, NOON)
    season = next(a for a in state.assignments if a.mission_id == "season-xp")
    version, stamp = state.version, state.stamp
    season.status, season.completed_at = Status.COMPLETED, NOON
    season.objectives[0].progress = 5
    season.claimable_until = (season.expires_at or NOON) + 2 * DAY
    async with Users(pool, partition_of).transaction() as writer:
        assert await writer.save([UserChange(state, True, version, stamp, completed=[season])]) == set()


async def test_a_sweep_that_comes_days_late_still_knows_the_progress(
    issuer: Issuer, ledger: SweepLedger, pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher
) -> None:
    state = await issuer.issue_for("ann", NOON)
    version, stamp = state.version, state.stamp
    state.assignments[1].objectives[0].progress = 7
    async with Users(pool, partition_of).transaction() as writer:
        assert await writer.save([UserChange(state, True, version, stamp)]) == set()
    await issuer.issue_for("ann", NOON + 6 * DAY)  # by now the state has forgotten the day

    assert await expire_overdue(ledger, live_catalogue, nothing_in_kafka, NOON + 6 * DAY) == 3

    mission = state.assignments[1].mission_id
    kept = await pool.fetchval(
        "select progress from assignment where mission_id = $1 and starts_at < $2", mission, NOON
    )
    assert json.loads(kept) == [7]
