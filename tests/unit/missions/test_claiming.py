"""Claims: COMPLETED becomes CLAIMED once, in time, with the rewards of the mission version."""

from datetime import timedelta
from typing import Any

import pytest

from services.missions.claiming import (
    AlreadyClaimed,
    Claimed,
    ClaimExpired,
    NotCompleted,
    Unknown,
    claim,
    claim_by_itself,
)
from services.missions.state import Status, UserState
from tests.support.builders import NOON, USER, assignment, catalogue, mission

UNTIL = NOON + timedelta(days=7)
KNOWN = catalogue(mission(rewards=[{"kind": "gems", "amount": 10}, {"kind": "badge", "badge_id": "first"}]))


def holding(status: Status, **fields: Any) -> tuple[UserState, str]:
    held = assignment(status=status, **fields)
    return UserState(USER, assignments=[held]), held.assignment_id


def test_a_completed_assignment_is_claimed_with_the_rewards_of_its_version() -> None:
    state, assignment_id = holding(Status.COMPLETED, claimable_until=UNTIL)
    result = claim(state, assignment_id, NOON, KNOWN)
    assert isinstance(result, Claimed)
    assert result.grant.rewards == (
        {"kind": "gems", "amount": 10},
        {"kind": "badge", "badge_id": "first", "amount": 1},
    )
    assert (result.grant.assignment_id, result.grant.granted_at) == (assignment_id, NOON)
    assert (state.assignments[0].status, state.assignments[0].claimed_at) == (Status.CLAIMED, NOON)
    assert state.claimed_missions == ["mission-1"]


def test_a_second_claim_finds_the_same_grant_and_changes_nothing() -> None:
    state, assignment_id = holding(Status.COMPLETED, claimable_until=UNTIL)
    first = claim(state, assignment_id, NOON, KNOWN)
    again = claim(state, assignment_id, NOON + timedelta(days=30), KNOWN)
    assert isinstance(first, Claimed)
    assert isinstance(again, AlreadyClaimed)
    assert again.grant == first.grant
    assert state.claimed_missions == ["mission-1"]


@pytest.mark.parametrize("status", [Status.IN_PROGRESS, Status.EXPIRED])
def test_what_is_not_completed_can_not_be_claimed(status: Status) -> None:
    state, assignment_id = holding(status)
    assert isinstance(claim(state, assignment_id, NOON, KNOWN), NotCompleted)
    assert state.assignments[0].status is status


def test_a_claim_must_come_before_the_end_of_the_grace() -> None:
    state, assignment_id = holding(Status.COMPLETED, claimable_until=UNTIL)
    assert isinstance(claim(state, assignment_id, UNTIL, KNOWN), ClaimExpired)
    assert state.assignments[0].status is Status.COMPLETED
    assert isinstance(claim(state, assignment_id, UNTIL - timedelta(microseconds=1), KNOWN), Claimed)


def test_another_users_assignment_is_unknown() -> None:
    _, assignment_id = holding(Status.COMPLETED)
    assert claim(UserState("somebody-else"), assignment_id, NOON, KNOWN) == Unknown(assignment_id)


def test_what_nobody_claimed_is_claimed_by_itself_if_the_mission_says_so() -> None:
    known = catalogue(mission(claim={"then": "auto_claim"}))
    state, _ = holding(Status.COMPLETED, claimable_until=UNTIL)
    assert claim_by_itself(state, UNTIL - timedelta(microseconds=1), known) == []
    (result,) = claim_by_itself(state, UNTIL, known)
    assert result.assignment.status is Status.CLAIMED
    assert claim_by_itself(state, UNTIL, known) == []


def test_what_is_forfeited_is_not_claimed_by_itself() -> None:
    state, _ = holding(Status.COMPLETED, claimable_until=UNTIL)
    assert claim_by_itself(state, UNTIL + timedelta(days=1), KNOWN) == []
