"""What is known of a user: taken from events by event time, and changed only when something really changed."""

from datetime import date, timedelta
from typing import Any

import pytest

from services.missions import profile
from services.missions.fields import ITEM_USED, LESSON_COMPLETED, QUESTION_ANSWERED, STREAK_UPDATED
from services.missions.state import IssuedPeriod, UserState
from tests.support.builders import NOON, USER, answer, at, item, lesson, living_in, streak

TODAY = 1000


def see(state: UserState, event_type: str, data: Any, *, day: int = TODAY, time: Any = NOON) -> bool:
    return profile.observe(state, event_type, data.__dict__, time, day)


def test_each_active_day_counts_once_in_any_order() -> None:
    state = UserState(USER)
    assert [see(state, ITEM_USED, item(), day=day) for day in (5, 5, 3, 4, 3)] == [True, False, True, True, False]
    assert (state.days_active, state.recent_days) == (3, [3, 4, 5])


def test_days_too_old_to_be_told_apart_are_not_counted_again() -> None:
    state = UserState(USER)
    for day in range(1, 101):
        see(state, ITEM_USED, item(), day=day)
    assert len(state.recent_days) == profile.RECENT_DAYS_MAX
    assert not see(state, ITEM_USED, item(), day=100 - profile.RECENT_DAYS_MAX)
    assert state.days_active == 100


def test_a_streak_update_is_no_activity() -> None:
    state = UserState(USER)
    see(state, STREAK_UPDATED, streak(0, "2026-11-25", "broken"))
    assert state.days_active == 0


def test_languages_come_from_lessons_and_questions() -> None:
    state = UserState(USER)
    see(state, LESSON_COMPLETED, lesson(language="python"))
    see(state, QUESTION_ANSWERED, answer(language="es"))
    assert state.languages == ["es", "python"]
    assert state.language == "python"


def test_a_faulty_client_can_not_fill_the_state_with_languages() -> None:
    state = UserState(USER)
    for number in range(profile.LANGUAGES_MAX + 5):
        see(state, QUESTION_ANSWERED, answer(language=f"l{number}"))
    assert len(state.languages) == profile.LANGUAGES_MAX


def test_language_and_chapter_are_those_of_the_newest_lesson() -> None:
    state = UserState(USER)
    see(state, LESSON_COMPLETED, lesson(chapter_id="two"), time=NOON)
    assert not see(state, LESSON_COMPLETED, lesson(chapter_id="one"), time=NOON - timedelta(minutes=1))
    assert state.chapter == "two"
    assert see(state, LESSON_COMPLETED, lesson(chapter_id="three"), time=NOON + timedelta(minutes=1))
    assert state.chapter == "three"


def test_another_lesson_of_the_same_chapter_costs_no_change() -> None:
    state = UserState(USER)
    see(state, LESSON_COMPLETED, lesson())
    assert not see(state, LESSON_COMPLETED, lesson(lesson_id="lesson-2"), time=NOON + timedelta(minutes=5))
    assert see(state, LESSON_COMPLETED, lesson(lesson_id="lesson-3"), time=NOON + profile.FRESHNESS)


def test_the_newest_day_of_a_streak_wins_and_a_repair_beats_the_break_of_its_day() -> None:
    state = UserState(USER)
    assert see(state, STREAK_UPDATED, streak(5, "2026-11-25"))
    assert not see(state, STREAK_UPDATED, streak(4, "2026-11-24"))
    assert see(state, STREAK_UPDATED, streak(0, "2026-11-26", "broken"))
    assert see(state, STREAK_UPDATED, streak(5, "2026-11-26", "repaired"))
    assert not see(state, STREAK_UPDATED, streak(0, "2026-11-26", "broken"))
    assert (state.streak, state.streak_day) == (5, date(2026, 11, 26))


def test_the_first_session_tells_the_zone() -> None:
    state = UserState(USER)
    assert profile.observe_zone(state, "Europe/Berlin", NOON)
    assert [segment.zone for segment in state.zones] == ["Europe/Berlin"]


def test_older_news_of_a_zone_are_ignored() -> None:
    state = UserState(USER, zones=living_in("Europe/Berlin"), zone_known_at=NOON)
    assert not profile.observe_zone(state, "Asia/Tokyo", NOON - timedelta(seconds=1))
    assert state.zones[-1].zone == "Europe/Berlin"


def test_a_session_in_the_same_zone_costs_a_change_at_most_once_an_hour() -> None:
    state = UserState(USER, zones=living_in("Europe/Berlin"), zone_known_at=NOON)
    assert not profile.observe_zone(state, "Europe/Berlin", NOON + timedelta(minutes=59))
    assert profile.observe_zone(state, "Europe/Berlin", NOON + timedelta(hours=1))
    assert state.zones == living_in("Europe/Berlin")


def test_a_client_is_believed_only_while_no_session_told_the_zone() -> None:
    state = UserState(USER)
    assert profile.assume_zone(state, "Asia/Tokyo", NOON)
    assert not profile.assume_zone(state, "Asia/Tokyo", NOON)
    assert profile.observe_zone(state, "Europe/Berlin", NOON)
    assert not profile.assume_zone(state, "Asia/Tokyo", NOON + timedelta(days=3))


def test_a_zone_that_becomes_known_leaves_issued_periods_alone() -> None:
    issued = IssuedPeriod("daily", at("2026-11-25 00:00"), at("2026-11-26 00:00"))
    state = UserState(USER, issued=[issued])
    profile.observe_zone(state, "Asia/Tokyo", NOON)
    assert state.zones[-1].daily_from == issued.ends_at


@pytest.mark.parametrize(("recent", "expected"), [([], 5), ([TODAY - 1], 5), ([TODAY - 1, TODAY], 4), ([TODAY + 1], 4)])
def test_active_days_of_an_audience_are_those_before_the_day_and_the_day_itself(
    recent: list[int], expected: int
) -> None:
    state = UserState(USER, days_active=4, recent_days=recent)
    assert profile.facts(state, TODAY)["days_active"] == expected


def test_parameters_nothing_is_known_of_are_absent() -> None:
    assert profile.parameters(UserState(USER)) == {}
    state = UserState(USER, chapter="loops", language="python", weak_topics=["lists"])
    assert profile.parameters(state) == {"current_chapter": "loops", "language": "python", "weak_topics": ["lists"]}
