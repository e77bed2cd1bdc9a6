"""Support asks why a user has not got a mission, and gets one line for each with the values that decided."""

from datetime import timedelta
from typing import Any

import pytest

from services.adapters.catalogue_files import default_catalogue
from services.missions.catalogue import Catalogue
from services.missions.explaining import explain_issue
from services.missions.issuing import issue_due
from services.missions.state import UserState, encode_state
from tests.support.builders import NOON, USER, catalogue, mission, objective

DAY = timedelta(days=1)
SEASON = {"period": "season", "opens_at": "2026-12-01T00:00:00Z", "closes_at": "2026-12-24T00:00:00Z"}
CHAPTER = objective(where={"chapter_id": "$current_chapter"})


def why(known: Catalogue, state: UserState | None = None, *, look: bool = True) -> dict[str, str]:
    """Reasons by mission id after the user's look at noon."""
    state = state or UserState(USER)
    if look:
        issue_due(state, NOON, known)
    return dict(explain_issue(state, NOON, known))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (
            {"audience": {"days_active": {"gte": 4, "lt": 9}}},
            "days_active is 1, and it is for users with days_active gte 4, lt 9",
        ),
        ({"audience": {"languages": "python"}}, "languages is [], and it is for users with languages equals python"),
        ({"audience": {"chapter": {"exists": True}}}, "chapter is None, and it is for users with chapter exists True"),
        ({"requires": ["first"]}, "first is not claimed yet"),
        ({"period": "once", "objectives": [CHAPTER]}, "$current_chapter is not known"),
        ({"objectives": [CHAPTER]}, "when its period was issued, $current_chapter is not known"),
        (
            {"fit": {"to": "open_mistakes"}},
            "when its period was issued, open_mistakes is 0, and at least 1 is needed",
        ),
        (SEASON, "its season goes from 2026-12-01 00:00:00+00:00 up to 2026-12-24 00:00:00+00:00"),
    ],
)
def test_a_mission_that_was_not_issued_has_a_reason(fields: dict[str, Any], reason: str) -> None:
    assert why(catalogue(mission(**fields))) == {"mission-1": reason}


def test_what_the_user_has_needs_no_reason() -> None:
    assert why(catalogue(mission(), mission(id="week", period="weekly"), mission(id="once", period="once"))) == {}


def test_what_is_due_is_said_to_be_due() -> None:
    assert why(catalogue(mission()), look=False) == {"mission-1": "it is due: the next look or event issues it"}


def test_the_recorded_reason_is_that_of_then() -> None:
    known, state = catalogue(mission(fit={"to": "open_mistakes"})), UserState(USER)
    issue_due(state, NOON, known)
    state.open_mistakes = 7
    assert "open_mistakes is 0" in why(known, state)["mission-1"]


def test_a_set_that_was_issued_without_a_mission_stays() -> None:
    state = UserState(USER)
    issue_due(state, NOON, catalogue())
    reasons = why(catalogue(mission(), revision=2), state)
    assert reasons == {
        "mission-1": "the daily missions from 2026-11-25T00:00:00+00:00 on were issued without it, and a set that is issued "
        "stays; the next begins at 2026-11-26T00:00:00+00:00"
    }


def test_what_is_issued_once_is_not_issued_again() -> None:
    known, state = catalogue(mission(period="once")), UserState(USER)
    issue_due(state, NOON - 30 * DAY, known)
    state.assignments.clear()
    assert why(known, state) == {"mission-1": "it was issued before, and is issued once"}


def test_a_stand_in_names_the_missions_whose_place_it_takes() -> None:
    known = catalogue(mission(fit={"to": "open_mistakes"}, otherwise="practice"), mission(id="practice", stand_in=True))
    state = UserState(USER, open_mistakes=3)
    assert why(known, state) == {"practice": "it is issued only in the place of mission-1"}


def test_a_paused_mission_says_so() -> None:
    assert why(Catalogue([mission()], 1, held={"mission-1"})) == {"mission-1": "it is paused or ended"}


def test_asking_changes_nothing_and_covers_every_mission_that_is_not_there() -> None:
    known, state = default_catalogue(), UserState(USER)
    issue_due(state, NOON, known)
    before = encode_state(state)
    explained = explain_issue(state, NOON, known)
    assert encode_state(state) == before
    held = {a.mission_id for a in state.assignments}
    assert {one.mission_id for one in explained} == {m.id for m in known.newest} - held
    assert len(held) == 3
