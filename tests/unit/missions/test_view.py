"""What a user sees of their missions: which, in which order, with which status and texts."""

import json
from datetime import timedelta

import msgspec
import pytest

from services.missions.state import ObjectiveState, Status, UserState
from services.missions.view import mission_view, text_in
from tests.support.builders import MIDNIGHT, NEXT_MIDNIGHT, NOON, USER, assignment, catalogue, mission, objective

DAY = timedelta(days=1)


def shown_at(now: object, **fields: object) -> list[str]:
    state = UserState(USER, assignments=[assignment(**fields)])  # type: ignore[arg-type]  # fields of any type
    return [str(view.status) for view in mission_view(state, catalogue(mission()), now, "en")]  # type: ignore[arg-type]  # an instant


def test_a_mission_is_shown_in_the_fields_of_the_contract() -> None:
    held = mission(objective(target=3, id="lessons"), description={"en": "Any three."})
    state = UserState(USER, assignments=[assignment(held, objectives=[ObjectiveState(progress=2.0)])])
    shown = json.loads(msgspec.json.encode(mission_view(state, catalogue(held), NOON, "en")))
    assert shown == [
        {
            "assignment_id": state.assignments[0].assignment_id,
            "mission_id": "mission-1",
            "mission_type": "daily",
            "title": "A mission",
            "description": "Any three.",
            "status": "IN_PROGRESS",
            "starts_at": "2026-11-25T00:00:00Z",
            "expires_at": "2026-11-26T00:00:00Z",
            "completed_at": None,
            "claimed_at": None,
            "claimable_until": None,
            "progress": 2,
            "target": 3,
            "objectives": [{"id": "lessons", "progress": 2, "target": 3}],
            "rewards": [{"kind": "gems", "amount": 10}],
        }
    ]
    assert isinstance(shown[0]["progress"], int)


def test_a_share_stays_a_share() -> None:
    held = mission(objective({"max": "chapter_progress"}))
    state = UserState(USER, assignments=[assignment(held, objectives=[ObjectiveState(progress=0.25)])])
    assert mission_view(state, catalogue(held), NOON, "en")[0].progress == 0.25


def test_of_several_objectives_the_reached_ones_are_counted() -> None:
    held = mission(*(objective(id=name, target=2) for name in "abc"), require={"at_least": 2})
    reached = [ObjectiveState(progress=amount) for amount in (2, 1, 0)]
    state = UserState(USER, assignments=[assignment(held, objectives=reached)])
    (view,) = mission_view(state, catalogue(held), NOON, "en")
    assert (view.progress, view.target) == (1, 2)
    assert [o.progress for o in view.objectives] == [2, 1, 0]


def test_what_was_not_completed_is_expired_from_its_end_on_and_shown_for_a_day() -> None:
    assert shown_at(NEXT_MIDNIGHT - timedelta(microseconds=1)) == ["IN_PROGRESS"]
    assert shown_at(NEXT_MIDNIGHT) == ["EXPIRED"]
    assert shown_at(NEXT_MIDNIGHT + DAY - timedelta(microseconds=1)) == ["EXPIRED"]
    assert shown_at(NEXT_MIDNIGHT + DAY) == []
    assert shown_at(NEXT_MIDNIGHT + DAY, status=Status.EXPIRED) == []


def test_what_is_completed_is_shown_as_long_as_it_can_be_claimed_and_a_day_more() -> None:
    until = NEXT_MIDNIGHT + 7 * DAY
    for now, shown in ((until, ["COMPLETED"]), (until + DAY, [])):
        assert shown_at(now, status=Status.COMPLETED, completed_at=NOON, claimable_until=until) == shown


def test_what_is_claimed_is_shown_until_a_day_after_its_period_or_its_claim() -> None:
    assert shown_at(NEXT_MIDNIGHT, status=Status.CLAIMED, claimed_at=NOON) == ["CLAIMED"]
    assert shown_at(NEXT_MIDNIGHT + DAY, status=Status.CLAIMED, claimed_at=NOON) == []
    claimed_late = NEXT_MIDNIGHT + 3 * DAY
    assert shown_at(claimed_late + DAY / 2, status=Status.CLAIMED, claimed_at=claimed_late) == ["CLAIMED"]
    assert shown_at(NOON + DAY, status=Status.CLAIMED, claimed_at=NOON, expires_at=None) == []


def test_what_has_not_begun_is_not_shown() -> None:
    assert shown_at(MIDNIGHT - timedelta(microseconds=1)) == []


def test_daily_missions_come_first_then_weekly_ones_and_so_on_the_newest_first() -> None:
    missions = [
        mission(id="special", type="special"),
        mission(id="b", type="daily"),
        mission(id="weekly", type="weekly"),
        mission(id="a", type="daily"),
    ]
    yesterday = assignment(missions[1], starts_at=MIDNIGHT - DAY, expires_at=MIDNIGHT)
    state = UserState(USER, assignments=[*(assignment(m) for m in missions), yesterday])
    for assignments in (state.assignments, state.assignments[::-1]):
        state.assignments = assignments
        shown = [(v.mission_id, v.starts_at) for v in mission_view(state, catalogue(*missions), NOON, "en")]
        assert shown == [
            ("b", MIDNIGHT),
            ("a", MIDNIGHT),
            ("b", MIDNIGHT - DAY),
            ("weekly", MIDNIGHT),
            ("special", MIDNIGHT),
        ]


@pytest.mark.parametrize(
    ("locale", "text"),
    [("de-AT", "Servus"), ("de-DE", "Hallo"), ("de", "Hallo"), ("fr", "Hello"), ("", "Hello")],
)
def test_texts_come_in_the_nearest_locale(locale: str, text: str) -> None:
    assert text_in({"en": "Hello", "de": "Hallo", "de-AT": "Servus"}, locale) == text


def test_without_english_the_first_text_is_shown_and_without_any_none() -> None:
    assert text_in({"es": "Hola", "de": "Hallo"}, "fr") == "Hola"
    assert text_in({}, "fr") == ""
