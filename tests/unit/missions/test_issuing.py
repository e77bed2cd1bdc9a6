"""Issuing: who gets what and when, once, and the same whoever comes first."""

from datetime import timedelta
from typing import Any

import pytest

from services.adapters.catalogue_files import default_catalogue
from services.missions.audience import AudienceIndex
from services.missions.compiled import compile_mission
from services.missions.conditions import NO_VALUES
from services.missions.issuing import Issued, is_due, issue_due
from services.missions.periods import change_zone
from services.missions.profile import facts
from services.missions.state import UserState, decode_state, encode_state
from tests.support.builders import NOON, USER, at, catalogue, living_in, mission, objective

DAY = timedelta(days=1)


def ids(issued: Issued) -> list[str]:
    return [assignment.mission_id for assignment in issued.assignments]


def test_a_new_users_first_day_brings_exactly_the_three_missions_of_the_brief() -> None:
    issued = issue_due(UserState(USER), NOON, default_catalogue())
    assert sorted(ids(issued)) == ["daily-lesson-1", "daily-xp-20", "fix-mistakes-2"]


def test_other_missions_open_as_the_days_go_by() -> None:
    known = default_catalogue()

    def on_day(number: int, **fields: Any) -> set[str]:
        state = UserState(USER, days_active=number - 1, **fields)
        return set(ids(issue_due(state, NOON, known)))

    assert {"weekly-xp-150", "weekly-lessons-5", "study-3-days"} <= on_day(2)
    assert {"daily-xp-40", "weekly-chapter-1"} <= on_day(4)
    assert "daily-xp-20" not in on_day(4)
    assert "fix-mistakes-3" in on_day(4, open_mistakes=3)
    assert "fix-mistakes-5" in on_day(4, open_mistakes=10)
    assert "python-lessons-3" in on_day(4, languages=["python"])
    assert "master-chapter" in on_day(4, chapter="loops")
    assert "streak-7" in on_day(4, claimed_missions=["study-3-days"])
    assert "streak-hearts-3" in on_day(7, streak=3)
    assert "master-weak-topics" in on_day(7, weak_topics=["lists"])


def test_an_assignment_has_the_bounds_of_its_period_and_waits_in_progress() -> None:
    state = UserState(USER, zones=living_in("Europe/Berlin"))
    (assignment,) = issue_due(state, NOON, catalogue(mission(version=3))).assignments
    assert (assignment.starts_at, assignment.expires_at) == (at("2026-11-24 23:00"), at("2026-11-25 23:00"))
    assert (assignment.mission_version, assignment.status) == (3, "IN_PROGRESS")
    assert [objective.progress for objective in assignment.objectives] == [0]
    assert state.assignments == [assignment]


def test_a_period_is_issued_once_whatever_the_catalogue_becomes() -> None:
    state = UserState(USER)
    issue_due(state, NOON, catalogue(mission()))
    assert ids(issue_due(state, NOON + timedelta(hours=3), catalogue(mission(), mission(id="new"), revision=2))) == []
    assert ids(issue_due(state, NOON + DAY, catalogue(mission(), mission(id="new"), revision=2))) == [
        "mission-1",
        "new",
    ]


def test_a_period_without_missions_is_marked_too() -> None:
    state = UserState(USER)
    assert issue_due(state, NOON, catalogue(mission(audience={"days_active": {"gte": 2}}))) == Issued([], True)
    assert issue_due(state, NOON, catalogue(mission())) == Issued([], False)


def test_it_is_due_exactly_when_issuing_would_do_something() -> None:
    known, state = catalogue(mission()), UserState(USER)
    for instant in (NOON, NOON, NOON + DAY, NOON + DAY, NOON + 7 * DAY):
        due = is_due(state, instant, known)
        assert issue_due(state, instant, known).changed is due


def test_whoever_comes_first_issues_the_same_set_with_the_same_ids() -> None:
    known = default_catalogue()
    fresh = encode_state(UserState(USER, zones=living_in("Asia/Tokyo"), days_active=9, languages=["python"]))
    sets = []
    for instant in ("2026-11-24 15:00", "2026-11-25 03:00", "2026-11-25 14:59:59.999999"):
        state = decode_state(fresh)
        issue_due(state, at(instant), known)
        sets.append(state)
    assert sets[0] == sets[1] == sets[2]
    assert len(sets[0].assignments) > 5


def test_a_late_event_still_issues_its_own_day_within_the_bound_and_not_past_it() -> None:
    known = catalogue(mission())
    yesterday = NOON - DAY
    bound = at("2026-11-25 00:00") + timedelta(hours=24)
    assert issue_due(UserState(USER), yesterday, known, bound - timedelta(microseconds=1)).assignments
    late = issue_due(UserState(USER), yesterday, known, bound)
    assert not late.assignments


def test_a_once_mission_is_issued_once_ever_and_has_no_end() -> None:
    state = UserState(USER)
    (assignment,) = issue_due(state, NOON, catalogue(mission(period="once"))).assignments
    assert (assignment.starts_at, assignment.expires_at) == (at("2026-11-25 00:00"), None)
    state.assignments.clear()
    assert not issue_due(state, NOON + DAY, catalogue(mission(period="once", version=2), revision=2)).assignments


def season(opens_at: str, closes_at: str, **fields: Any) -> Any:
    return mission(period="season", opens_at=f"{opens_at}T00:00:00Z", closes_at=f"{closes_at}T00:00:00Z", **fields)


def test_a_season_is_issued_once_while_it_is_open_with_its_own_bounds() -> None:
    known, state = catalogue(season("2026-11-26", "2026-12-24")), UserState(USER)
    assert ids(issue_due(state, NOON, known)) == []
    (assignment,) = issue_due(state, NOON + DAY, known).assignments
    assert (assignment.starts_at, assignment.expires_at) == (at("2026-11-26 00:00"), at("2026-12-24 00:00"))
    state.assignments.clear()
    assert ids(issue_due(state, NOON + 2 * DAY, known)) == []
    assert ids(issue_due(UserState(USER), at("2026-12-24 00:00"), known)) == []


def test_the_next_season_of_a_mission_is_issued_again() -> None:
    state = UserState(USER)
    issue_due(state, NOON, catalogue(season("2026-11-01", "2026-12-01")))
    later = catalogue(season("2027-11-01", "2027-12-01", version=2), revision=2)
    assert ids(issue_due(state, at("2027-11-05 12:00"), later)) == ["mission-1"]


def test_a_newer_catalogue_brings_its_seasons_within_the_day() -> None:
    state = UserState(USER)
    issue_due(state, NOON, catalogue())
    published = catalogue(season("2026-11-01", "2026-12-01"), revision=2)
    assert ids(issue_due(state, NOON, published)) == ["mission-1"]
    assert state.catalogue_revision == 2
    assert not is_due(state, NOON, catalogue())


def test_a_mission_with_requirements_waits_for_their_claims() -> None:
    known = catalogue(mission(id="first"), mission(id="second", requires=["first"]))
    assert ids(issue_due(UserState(USER), NOON, known)) == ["first"]
    assert ids(issue_due(UserState(USER, claimed_missions=["first"]), NOON, known)) == ["first", "second"]


def test_parameters_are_fixed_when_it_is_issued() -> None:
    known = catalogue(mission(objective(event="question-answered", where={"chapter_id": "$current_chapter"})))
    (assignment,) = issue_due(UserState(USER, chapter="loops"), NOON, known).assignments
    assert assignment.parameters == {"current_chapter": "loops"}


def test_a_mission_whose_parameter_is_unknown_is_not_issued_unless_it_has_a_default() -> None:
    where = {"chapter_id": "$current_chapter"}
    known = catalogue(mission(objective(where=where)))
    assert ids(issue_due(UserState(USER), NOON, known)) == []
    known = catalogue(mission(objective(where=where), parameters={"current_chapter": "basics"}))
    (assignment,) = issue_due(UserState(USER), NOON, known).assignments
    assert assignment.parameters == {"current_chapter": "basics"}


def test_after_a_flight_the_day_in_the_new_zone_is_issued_where_the_old_one_ends() -> None:
    known = catalogue(mission())
    state = UserState(USER, zones=living_in("Europe/Berlin"))
    issue_due(state, NOON, known)
    state.zones = change_zone(state.zones, "Asia/Tokyo", NOON, state.issued[0].ends_at, state.issued[1].ends_at)
    assert not issue_due(state, at("2026-11-25 22:59"), known).assignments
    (assignment,) = issue_due(state, at("2026-11-25 23:00"), known).assignments
    assert assignment.expires_at == at("2026-11-26 15:00")


AUDIENCES: list[dict[str, Any]] = [
    {},
    {"days_active": {"gte": 2, "lt": 5}},
    {"days_active": {"gt": 4}},
    {"days_active": {"in": [1, 3, 9]}},
    {"days_active": {"not_in": [1, 3]}, "open_mistakes": 0},
    {"open_mistakes": {"lte": 2}},
    {"languages": "python"},
    {"languages": {"in": ["python", "es"]}, "days_active": {"gte": 2}},
    {"languages": {"not_in": ["python"]}},
    {"languages": {"exists": False}},
    {"language": {"not_in": ["es"]}},
    {"language": "es", "current_streak": {"gte": 1}},
    {"chapter": {"exists": True}},
    {"zone": {"in": ["UTC", "Europe/Berlin"]}},
]


@pytest.mark.parametrize("languages", [[], ["es"], ["fr"], ["es", "python"], ["fr", "python"]])
@pytest.mark.parametrize("days", [0, 1, 2, 3, 4, 8])
def test_finding_by_audience_gives_what_asking_each_mission_gives(languages: list[str], days: int) -> None:
    missions = [
        compile_mission(mission(id=f"m{place}", audience=audience), place) for place, audience in enumerate(AUDIENCES)
    ]
    index = AudienceIndex(missions)
    for mistakes in (0, 1, 2, 3):
        for language, chapter in ((None, None), ("es", "loops"), ("fr", None)):
            state = UserState(
                USER, days_active=days, languages=languages, language=language, chapter=chapter, open_mistakes=mistakes
            )
            known = facts(state, 1)
            asked = [m for m in missions if m.audience is None or m.audience(known, NO_VALUES, NO_VALUES)]
            assert list(index.fitting(known)) == asked
            assert list(index.fitting(known)) == asked
