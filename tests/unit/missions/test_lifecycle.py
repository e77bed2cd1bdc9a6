"""The life of a mission version: which steps there are, what a draft must be, and what is issued in which state."""

import pytest

from services.missions.catalogue import Catalogue
from services.missions.decide import issue_now
from services.missions.lifecycle import (
    Action,
    MissionState,
    MoveRefused,
    check_draft,
    check_publishable,
    moved,
    state_of_new_version,
)
from services.missions.state import UserState
from tests.support.builders import NOON, USER, at, lesson, mission, mission_data, objective, play, recorded, statuses

PUBLISHED, PAUSED, ENDED = MissionState.PUBLISHED, MissionState.PAUSED, MissionState.ENDED

STEPS = {
    (PUBLISHED, Action.PAUSE): PAUSED,
    (PAUSED, Action.PAUSE): PAUSED,
    (PAUSED, Action.RESUME): PUBLISHED,
    (PUBLISHED, Action.RESUME): PUBLISHED,
    (PUBLISHED, Action.END): ENDED,
    (PAUSED, Action.END): ENDED,
    (ENDED, Action.END): ENDED,
}


@pytest.mark.parametrize("state", [PUBLISHED, PAUSED, ENDED])
@pytest.mark.parametrize("action", [Action.PAUSE, Action.RESUME, Action.END])
def test_only_these_steps_can_be_taken(state: MissionState, action: Action) -> None:
    if (state, action) in STEPS:
        assert moved(state, action) is STEPS[state, action]
    else:
        with pytest.raises(MoveRefused, match=f"the mission is {state}, so it can't {action}; .* publish it"):
            moved(state, action)


def test_a_new_version_is_issued_unless_its_mission_is_paused() -> None:
    assert [state_of_new_version(state) for state in (None, PUBLISHED, PAUSED, ENDED)] == [
        PUBLISHED,
        PUBLISHED,
        PAUSED,
        PUBLISHED,
    ]


@pytest.mark.parametrize("period", ["daily", "weekly", "once", "season"])
def test_a_held_mission_is_known_and_not_issued(period: str) -> None:
    window = {"opens_at": "2026-11-01T00:00:00Z", "closes_at": "2026-12-01T00:00:00Z"} if period == "season" else {}
    missions = [mission(id="held", period=period, **window), mission(id="other", period=period, **window)]
    known = Catalogue(missions, 1, held={"held"})
    state = issue_now(UserState(USER), NOON, known).state
    assert list(statuses(state)) == ["other"]
    assert [compiled.mission.id for compiled in known.open_at(NOON)] == ["other"]
    assert known.get("held", 1).mission.id == "held"
    assert [m.id for m in known.newest] == ["held", "other"]


def test_what_was_issued_before_a_pause_goes_on_counting() -> None:
    missions = [mission(objective(target=2), id="held")]
    state = play(Catalogue(missions, 1), [recorded(lesson())]).state
    state = play(Catalogue(missions, 2, held={"held"}), [recorded(lesson())], state).state
    assert statuses(state) == {"held": ("COMPLETED", [2])}


def test_a_held_stand_in_stands_in_for_nobody() -> None:
    fitted = mission_data(
        objective(target=5, event="question-answered"), id="a", fit={"to": "open_mistakes"}, otherwise="b"
    )
    missions = [check_draft(data, [])[0] for data in (fitted, mission_data(id="b", stand_in=True))]
    both = [m for m in missions if m is not None]
    assert len(both) == 2
    assert list(statuses(issue_now(UserState(USER), NOON, Catalogue(both, 1)).state)) == ["b"]
    assert list(statuses(issue_now(UserState(USER), NOON, Catalogue(both, 1, held={"b"})).state)) == []


def test_a_season_without_times_is_a_draft_and_is_not_published() -> None:
    draft, problems = check_draft(mission_data(period="season"), [])
    assert problems == []
    assert draft is not None
    [problem] = check_publishable(draft, [], NOON)
    assert problem.path == "opens_at"
    assert "schedule" in problem.message


def test_a_season_can_be_published_until_it_closes() -> None:
    window = {"opens_at": "2026-11-01T00:00:00Z", "closes_at": "2026-12-01T00:00:00Z"}
    season = mission(period="season", **window)
    assert check_publishable(season, [], at("2026-11-30 23:59")) == []
    [problem] = check_publishable(season, [], at("2026-12-01 00:00"))
    assert problem.path == "closes_at"


def test_a_draft_is_checked_beside_the_others() -> None:
    others = [mission(id="first"), mission(id="second", requires=["first"])]
    assert check_draft(mission_data(id="third", requires=["second"]), others)[1] == []
    [unknown] = check_draft(mission_data(id="third", requires=["secnd"]), others)[1]
    assert (unknown.path, unknown.suggestion) == ("requires[0]", "second")
    [circle] = check_draft(mission_data(id="first", requires=["second"]), others)[1]
    assert "neither could ever be issued" in circle.message


def test_a_change_that_breaks_another_mission_is_refused_with_its_name() -> None:
    stand_in = mission_data(id="b", stand_in=True)
    parsed, problems = check_draft(stand_in, [])
    assert problems == [], "the missions that name it are published after it"
    assert parsed is not None
    fitted = mission_data(
        objective(target=5, event="question-answered"), id="a", fit={"to": "open_mistakes"}, otherwise="b"
    )
    main, problems = check_draft(fitted, [parsed])
    assert problems == []
    assert main is not None
    [broken] = check_draft(mission_data(id="b"), [parsed, main])[1]
    assert "this would break another mission: a: otherwise: b is issued by itself" in broken.message


@pytest.mark.parametrize("definition", [None, [], "text", 7])
def test_what_is_no_object_is_no_draft(definition: object) -> None:
    parsed, [problem] = check_draft(definition, [])
    assert parsed is None
    assert "must be a JSON object" in problem.message


def test_characters_that_can_not_be_stored_are_found_wherever_they_are() -> None:
    bad = mission_data(title={"en": "a\0b"}, parameters={"weak_topics": ["\ud800"]})
    assert [problem.path for problem in check_draft(bad, [])[1]] == ["title.en", "parameters.weak_topics[0]"]
