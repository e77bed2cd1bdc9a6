"""Prerequisites: a claimed mission opens the next one, and a user does not wait until midnight for it."""

from datetime import timedelta

import pytest

from services.adapters.catalogue_files import default_catalogue
from services.missions.claiming import Claimed, claim, claim_by_itself
from services.missions.decide import issue_now
from services.missions.issuing import is_due
from services.missions.state import Assignment, Status, UserState
from tests.support.builders import NOON, USER, at, catalogue, lesson, mission, objective, play, recorded, streak, xp

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SEASON = {"period": "season", "opens_at": "2026-11-01T00:00:00Z", "closes_at": "2026-12-24T00:00:00Z"}


def held(state: UserState, mission_id: str) -> Assignment:
    (found,) = (a for a in state.assignments if a.mission_id == mission_id)
    return found


@pytest.mark.parametrize("second", [{"period": "once"}, SEASON], ids=["once", "season"])
def test_a_claim_in_the_middle_of_a_day_opens_the_next_mission_at_the_next_look(second: dict[str, str]) -> None:
    known = catalogue(mission(id="first"), mission(id="second", requires=["first"], **second))
    state = play(known, [recorded(lesson())]).state
    assert not is_due(state, NOON + HOUR, known)

    assert isinstance(claim(state, held(state, "first").assignment_id, NOON + HOUR, known), Claimed)

    looked = issue_now(state, NOON + 2 * HOUR, known)
    assert (looked.changed, [a.mission_id for a in looked.issued]) == (True, ["second"])
    assert held(state, "second").starts_at <= NOON
    again = issue_now(state, NOON + 3 * HOUR, known)
    assert (again.changed, again.issued) == (False, [])


def test_the_next_event_opens_it_too_and_counts_in_it() -> None:
    known = catalogue(mission(id="first"), mission(objective(target=5), id="second", requires=["first"], period="once"))
    state = play(known, [recorded(lesson())]).state
    claim(state, held(state, "first").assignment_id, NOON + HOUR, known)
    decision = play(known, [recorded(lesson(), NOON + 2 * HOUR)], state)
    assert [a.mission_id for a in decision.issued] == ["second"]
    assert held(state, "second").objectives[0].progress == 1


def test_rewards_that_are_claimed_by_themselves_open_the_next_mission_too() -> None:
    auto = {"then": "auto_claim", "grace_days": 0}
    known = catalogue(mission(id="first", claim=auto), mission(id="second", requires=["first"], period="once"))
    state = play(known, [recorded(lesson())]).state
    end = at("2026-11-26 00:00")
    issue_now(state, end, known)
    assert len(claim_by_itself(state, end, known)) == 1
    assert [a.mission_id for a in issue_now(state, end + HOUR, known).issued] == ["second"]


def test_a_daily_mission_that_a_claim_opens_begins_with_the_next_day() -> None:
    known = catalogue(mission(id="first"), mission(id="second", requires=["first"]))
    state = play(known, [recorded(lesson())]).state
    claim(state, held(state, "first").assignment_id, NOON + HOUR, known)
    assert issue_now(state, NOON + 2 * HOUR, known).issued == []
    assert [a.mission_id for a in issue_now(state, NOON + DAY, known).issued] == ["first", "second"]


def test_a_claim_that_opens_nothing_makes_nothing_due() -> None:
    known = catalogue(mission(id="first"), mission(id="other", period="once"))
    state = play(known, [recorded(lesson())]).state
    claim(state, held(state, "first").assignment_id, NOON + HOUR, known)
    assert not is_due(state, NOON + 2 * HOUR, known)


def test_every_required_mission_must_be_claimed() -> None:
    known = catalogue(
        mission(id="first"),
        mission(objective(event="xp-earned"), id="other"),
        mission(id="both", requires=["first", "other"], period="once"),
    )
    state = play(known, [recorded(lesson()), recorded(xp(1))]).state
    claim(state, held(state, "first").assignment_id, NOON + HOUR, known)
    assert issue_now(state, NOON + 2 * HOUR, known).issued == []
    claim(state, held(state, "other").assignment_id, NOON + 3 * HOUR, known)
    assert [a.mission_id for a in issue_now(state, NOON + 4 * HOUR, known).issued] == ["both"]


def test_studying_three_days_and_claiming_opens_the_seven_day_streak() -> None:
    known = default_catalogue()
    state = UserState(USER, days_active=5)
    for day in range(3):
        state = play(known, [recorded(xp(5), NOON + day * DAY)], state).state
    study = held(state, "study-3-days")
    assert study.status is Status.COMPLETED
    assert all(a.mission_id != "streak-7" for a in state.assignments)
    now = NOON + 2 * DAY + HOUR
    claim(state, study.assignment_id, now, known)
    state = play(known, [recorded(streak(7, "2026-11-27"), now + HOUR)], state).state
    assert held(state, "streak-7").status is Status.COMPLETED
