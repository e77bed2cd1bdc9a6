"""What leaves a user's state, and when: never what can still change or be shown."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from services.missions.closing import KEPT_AFTER_END, OVERTAKEN_MAX, SHOWN_AFTER_END, forget_ended
from services.missions.state import IssuedPeriod, Status, UserState
from tests.support.builders import MIDNIGHT, NEXT_MIDNIGHT, NOON, USER, assignment, catalogue, mission

INSTANT = timedelta(microseconds=1)
UNTIL = NEXT_MIDNIGHT + timedelta(days=7)
LATER = NEXT_MIDNIGHT + timedelta(days=2)


@pytest.mark.parametrize(
    ("fields", "over_at"),
    [
        ({}, NEXT_MIDNIGHT + OVERTAKEN_MAX),
        ({"status": Status.EXPIRED}, NEXT_MIDNIGHT + KEPT_AFTER_END),
        ({"status": Status.COMPLETED, "claimable_until": UNTIL}, UNTIL + SHOWN_AFTER_END),
        ({"status": Status.CLAIMED, "claimed_at": NOON}, NEXT_MIDNIGHT + SHOWN_AFTER_END),
        ({"status": Status.CLAIMED, "claimed_at": LATER}, LATER + SHOWN_AFTER_END),
        ({"status": Status.CLAIMED, "claimed_at": NOON, "expires_at": None}, NOON + SHOWN_AFTER_END),
    ],
)
def test_an_assignment_is_forgotten_when_it_is_over(fields: dict[str, Any], over_at: datetime) -> None:
    held = assignment(**fields)
    state = UserState(USER, assignments=[held])
    assert forget_ended(state, over_at - INSTANT, catalogue(mission())) == []
    assert forget_ended(state, over_at, catalogue(mission())) == [held]
    assert state.assignments == []


@pytest.mark.parametrize("fields", [{}, {"status": Status.COMPLETED}])
def test_what_never_ends_is_never_forgotten(fields: dict[str, Any]) -> None:
    state = UserState(USER, assignments=[assignment(expires_at=None, **fields)])
    assert forget_ended(state, NOON + timedelta(days=3650), catalogue(mission())) == []


def test_what_is_claimed_by_itself_waits_for_that() -> None:
    state = UserState(USER, assignments=[assignment(status=Status.COMPLETED, claimable_until=UNTIL)])
    known = catalogue(mission(claim={"then": "auto_claim"}))
    assert forget_ended(state, UNTIL + timedelta(days=30), known) == []


def test_a_forgotten_marker_closes_its_period_for_issuing() -> None:
    state = UserState(USER, issued=[IssuedPeriod("daily", MIDNIGHT, NEXT_MIDNIGHT)])
    forget_ended(state, NEXT_MIDNIGHT + OVERTAKEN_MAX - INSTANT, catalogue())
    assert (len(state.issued), state.daily_closed_until) == (1, None)
    forget_ended(state, NEXT_MIDNIGHT + OVERTAKEN_MAX, catalogue())
    assert (state.issued, state.daily_closed_until, state.weekly_closed_until) == ([], NEXT_MIDNIGHT, None)
