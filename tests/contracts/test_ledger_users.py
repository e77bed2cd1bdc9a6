"""What claims and the scheduler rely on in the ledger, on Postgres in memory and on a real one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.adapters.ledger.connection import Pool
from services.adapters.ledger.sweep import SweepLedger
from services.adapters.ledger.users import LedgerInconsistent, StoredAnswer, Users
from services.adapters.ledger.writer import UserChange
from services.missions.claiming import Claimed, Grant
from services.missions.ids import assignment_id, grant_id
from services.missions.state import Assignment, IssuedPeriod, ObjectiveState, Status, UserState

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)


def one_partition(key: bytes | None) -> int:
    return 0


@pytest.fixture
def users(ledger_pool: Pool) -> Users:
    return Users(ledger_pool, one_partition)


@pytest.fixture
def sweep(ledger_pool: Pool) -> SweepLedger:
    return SweepLedger(ledger_pool, one_partition)


def given(user: str, mission: str = "daily-xp-20", expires_at: datetime = NOW, progress: int = 0) -> Assignment:
    starts_at = expires_at - 24 * HOUR
    return Assignment(
        assignment_id(user, mission, starts_at),
        mission,
        1,
        starts_at,
        expires_at,
        Status.IN_PROGRESS,
        [ObjectiveState(progress)],
    )


async def change(
    users: Users, user: str, *, issued: Assignment | None = None, completed: Assignment | None = None
) -> None:
    state = (await users.load([user])).get(user) or UserState(user)
    if issued is not None:
        state.assignments = [issued]
        state.issued = [IssuedPeriod("daily", NOW - 24 * HOUR, NOW)]
        state.recent_days = [NOW.date().toordinal()]
    if completed is not None:
        completed.status, completed.completed_at = Status.COMPLETED, NOW
        completed.claimable_until = NOW + 24 * HOUR
        state.assignments = [completed]
    changed = UserChange(state, True, state.version, state.stamp)
    changed.issued, changed.completed = [each for each in [issued] if each], [each for each in [completed] if each]
    async with users.transaction() as transaction:
        assert await transaction.save([changed]) == set()


async def claim(users: Users, user: str, assignment: Assignment) -> str:
    made = Grant(
        grant_id(assignment.assignment_id),
        assignment.assignment_id,
        assignment.mission_id,
        NOW,
        [{"kind": "xp", "amount": 10}, {"kind": "gems", "amount": 1}],
    )
    async with users.transaction() as transaction:
        state = (await transaction.lock_users([user], NOW))[user]
        state.assignments[0].status, state.assignments[0].claimed_at = Status.CLAIMED, NOW
        changed = UserChange(state, True, state.version, state.stamp)
        [grant] = await transaction.save_claims([(changed, [Claimed(state.assignments[0], made)])])
        return grant.rewards


async def test_an_assignment_is_granted_once(users: Users) -> None:
    assignment = given("ann")
    await change(users, "ann", issued=assignment)
    with pytest.raises(LedgerInconsistent):
        await claim(users, "ann", assignment)  # its row is not COMPLETED
    await change(users, "ann", completed=assignment)

    rewards = await claim(users, "ann", assignment)
    with pytest.raises(LedgerInconsistent):
        await claim(users, "ann", assignment)

    async with users.transaction() as transaction:
        grant = await transaction.grant_of("ann", assignment.assignment_id)
        assert grant is not None
        assert (grant.rewards, grant.granted_at) == (rewards, NOW)
        assert await transaction.grant_of("bob", assignment.assignment_id) is None
        assert await transaction.grant_of("ann", "no uuid") is None
        ended = await transaction.assignment("ann", assignment.assignment_id)
        assert ended is not None
        assert (ended.status, ended.claimed_at) == (Status.CLAIMED, NOW)
        assert await transaction.assignment("bob", assignment.assignment_id) is None
    assert (await users.xp_totals("ann")).granted == 10


async def test_the_first_answer_under_a_key_stays(users: Users) -> None:
    first = StoredAnswer("digest", 200, b'{"grant_id":"g1"}')
    for answer in (first, replace(first, body=b"{}")):
        async with users.transaction() as transaction:
            await transaction.keep_answer("ann", "key", answer)

    async with users.transaction() as transaction:
        assert await transaction.answer_of("ann", "key") == first
        assert await transaction.answer_of("bob", "key") is None
        assert await transaction.answer_of("ann", "other") is None


async def test_answers_are_forgotten_when_they_are_old(users: Users, sweep: SweepLedger) -> None:
    async with users.transaction() as transaction:
        await transaction.keep_answer("ann", "key", StoredAnswer("digest", 200, b"{}"))

    for before, is_kept in ((NOW - HOUR, True), (NOW + HOUR, False)):
        await sweep.forget_claim_answers(before)
        async with users.transaction() as transaction:
            assert (await transaction.answer_of("ann", "key") is not None) is is_kept


async def test_what_is_over_is_ended_once_and_by_one_sweep(users: Users, sweep: SweepLedger) -> None:
    for user, ended_before in (("ann", 3), ("bob", 2), ("cleo", 1)):
        await change(users, user, issued=given(user, expires_at=NOW - ended_before * HOUR, progress=7))
    await change(users, "cleo", completed=given("cleo", expires_at=NOW - HOUR, progress=20))

    async with sweep.transaction() as first, sweep.transaction() as second:
        [one] = await first.lock_overdue(NOW, 1, None)
        others = await second.lock_overdue(NOW, 5, None)
        assert (one.user_id, [each.user_id for each in others]) == ("ann", ["bob"])
        assert (await first.states(["ann"]))["ann"].assignments[0].objectives[0].progress == 7
        await first.end([(one, [7])])

    async with sweep.transaction() as transaction:
        assert [each.user_id for each in await transaction.lock_overdue(NOW, 5, None)] == ["bob"]
        assert await transaction.lock_overdue(NOW - 2.5 * HOUR, 5, None) == []
        assert await transaction.lock_overdue(NOW, 5, others[0]) == []
    async with users.transaction() as transaction:
        [assignment] = (await transaction.lock_users(["ann"], NOW))["ann"].assignments
    assert assignment.status is Status.EXPIRED


async def test_whose_day_is_over_and_whose_grace_is_over(users: Users, sweep: SweepLedger) -> None:
    for user in ("bob", "ann", "cleo"):
        await change(users, user, issued=given(user))
    await change(users, "bob", completed=given("bob"))

    since = NOW.date()
    assert await sweep.users_to_issue(NOW, since, "", 2) == ["ann", "bob"]
    assert await sweep.users_to_issue(NOW, since, "bob", 2) == ["cleo"]
    assert await sweep.users_to_issue(NOW - HOUR, since, "", 9) == []
    assert await sweep.users_to_issue(NOW, since + timedelta(days=1), "", 9) == []
    assert await sweep.users_to_claim_for(["daily-xp-20"], NOW + 24 * HOUR, "", 9) == ["bob"]
    assert await sweep.users_to_claim_for(["daily-xp-20"], NOW, "", 9) == []
    assert await sweep.users_to_claim_for(["another"], NOW + 24 * HOUR, "", 9) == []
    assert [state.user_id for state in await sweep.all_users("ann", 9)] == ["bob", "cleo"]


async def test_days_of_the_log_come_and_go(sweep: SweepLedger) -> None:
    far = NOW.date() + timedelta(days=100)

    assert await sweep.keep_event_log([far], NOW.date() - timedelta(days=400)) == []
    dropped = await sweep.keep_event_log([far], NOW.date())

    assert f"event_log_{NOW.date() - timedelta(days=1):%Y%m%d}" in dropped
    assert f"event_log_{NOW.date():%Y%m%d}" not in dropped
    assert await sweep.keep_event_log([], NOW.date()) == []
