"""The derived streak: what keeps it, what breaks it, what mends it, and what is told of it."""

from datetime import UTC, date, datetime, timedelta

import pytest

from mission_events import ItemUsed
from services.missions import streaks
from services.missions.decide import decide
from services.missions.state import UserState
from services.missions.streaks import StreakSource
from tests.support.builders import (
    USER,
    catalogue,
    event,
    item,
    lesson,
    mission,
    objective,
    play,
    recorded,
    session,
    statuses,
    streak,
    xp,
)
from tests.support.streaks import Learner


def on(day: int, hour: int = 12) -> datetime:
    """An instant of November 2026, UTC; days beyond 30 go on into December."""
    return datetime(2026, 11, 1, hour, tzinfo=UTC) + timedelta(days=day - 1)


def freeze(quantity: int = 1) -> ItemUsed:
    return item(quantity, "streak_freeze")


def studying(*days: int) -> Learner:
    learner = Learner()
    for day in days:
        learner.does(lesson(), on(day))
    return learner


def test_each_day_with_a_lesson_extends_the_streak_once() -> None:
    learner = Learner()
    assert learner.does(lesson(), on(10)) == [("11-10", 1, "extended")]
    assert learner.does(lesson(), on(10, 20)) == []
    assert learner.does(lesson(), on(11)) == [("11-11", 2, "extended")]
    assert learner.streak == (2, "11-11")


def test_other_activity_is_no_study() -> None:
    learner = studying(10)
    assert learner.does(xp(10), on(11)) == []
    assert learner.does(lesson(), on(12)) == [("11-11", 0, "broken"), ("11-12", 1, "extended")]


def test_a_missed_day_is_told_by_the_next_event_of_any_kind() -> None:
    learner = studying(8, 9, 10)
    assert learner.does(xp(5), on(11)) == [], "the day is not over"
    assert learner.does(xp(5), on(12)) == [("11-11", 0, "broken")]
    assert learner.changes[-1].at == on(12, 0), "when the missed day ended"
    assert learner.does(xp(5), on(13)) == [], "a streak breaks once"
    assert learner.streak == (0, "11-11")
    assert learner.state.streak_longest == 3


def test_a_missed_day_is_told_by_the_clock_when_the_day_after_is_over_too() -> None:
    learner = studying(9, 10)
    assert learner.sleeps_until(on(12, 0)) == []
    assert learner.sleeps_until(on(12, 23)) == []
    assert learner.sleeps_until(on(13, 0)) == [("11-11", 0, "broken")]
    assert learner.sleeps_until(on(14, 0)) == []
    assert learner.does(lesson(), on(14)) == [("11-14", 1, "extended")]


@pytest.mark.parametrize("used_on", [8, 9, 10])
def test_a_freeze_on_the_missed_day_or_shortly_before_it_keeps_the_streak(used_on: int) -> None:
    learner = studying(8, 9) if used_on > 8 else studying(8)
    assert learner.does(freeze(), on(used_on, 18)) == []
    if used_on == 8:
        learner.does(lesson(), on(9))
    assert learner.does(lesson(), on(11)) == [("11-10", 2, "frozen"), ("11-11", 3, "extended")]
    assert learner.state.freezes_used == 1


def test_a_freeze_does_not_wait_for_ever() -> None:
    learner = studying(7)
    learner.does(freeze(), on(7, 18))
    learner.does(lesson(), on(8))
    learner.does(lesson(), on(9))
    assert learner.does(lesson(), on(11)) == [("11-10", 0, "broken"), ("11-11", 1, "extended")]


def test_a_day_without_a_streak_spends_no_freeze() -> None:
    learner = studying(5)
    learner.does(xp(1), on(8))
    learner.does(lesson(), on(9))
    learner.does(freeze(), on(9, 18))
    assert learner.does(lesson(), on(11)) == [("11-10", 1, "frozen"), ("11-11", 2, "extended")]


def test_two_freezes_keep_the_streak_over_a_weekend() -> None:
    learner = studying(5, 6)
    learner.does(freeze(2), on(6, 20))
    assert learner.does(lesson(), on(9)) == [("11-08", 2, "frozen"), ("11-09", 3, "extended")]
    assert learner.state.freezes_used == 2


def test_one_freeze_does_not_cover_two_days() -> None:
    learner = studying(5, 6)
    learner.does(freeze(), on(6, 20))
    assert learner.does(xp(1), on(8)) == [("11-07", 2, "frozen")]
    assert learner.does(xp(1), on(9)) == [("11-08", 0, "broken")]


@pytest.mark.parametrize(("days_later", "is_mended"), [(1, True), (2, True), (3, False)])
def test_a_freeze_repairs_a_missed_day_within_the_bound(days_later: int, is_mended: bool) -> None:
    learner = studying(5, 6, 7)
    for day in range(9, 9 + days_later):
        learner.does(lesson(), on(day))
    assert learner.streak == (days_later, f"11-{8 + days_later:02}")
    repaired = learner.does(freeze(), on(8 + days_later, 18))
    assert repaired == ([(f"11-{8 + days_later:02}", 3 + days_later, "repaired")] if is_mended else [])
    assert learner.streak[0] == 3 + days_later if is_mended else days_later


def test_a_repair_before_the_next_lesson_takes_the_break_back() -> None:
    learner = studying(5, 6)
    assert learner.does(xp(1), on(8)) == [("11-07", 0, "broken")]
    assert learner.does(freeze(), on(8, 13)) == [("11-07", 2, "repaired")]
    assert learner.streak == (2, "11-07")
    assert learner.does(lesson(), on(8, 14)) == [("11-08", 3, "extended")]


def test_a_freeze_that_is_told_late_mends_the_break() -> None:
    learner = studying(5, 6)
    learner.does(lesson(), on(8))
    assert learner.streak == (1, "11-08")
    assert learner.does(freeze(), on(7, 9), arriving=on(9)) == [("11-08", 3, "repaired")]


def test_a_late_lesson_fills_the_hole() -> None:
    learner = studying(5, 6, 8, 9)
    assert learner.streak == (2, "11-09")
    assert learner.does(lesson(), on(7), arriving=on(20)) == [("11-09", 5, "extended")]
    assert (learner.streak, learner.state.streak_longest) == ((5, "11-09"), 5)


def test_a_late_lesson_in_a_streak_that_is_over_counts_for_its_own_day() -> None:
    seven = mission(objective({"max": "days"}, 4, event="streak-updated"), period="once", id="four-days")
    learner = Learner(catalogue(seven))
    for day in (5, 6, 7):
        learner.does(lesson(), on(day))
    learner.does(xp(1), on(10))
    assert learner.streak == (0, "11-08")
    assert learner.does(lesson(), on(8, 23), arriving=on(10)) == [("11-08", 4, "extended"), ("11-09", 0, "broken")]
    assert learner.completed == ["four-days"]
    assert (learner.streak, learner.state.streak_longest) == ((0, "11-09"), 4)


def test_a_freeze_is_not_spent_on_a_day_that_a_late_lesson_fills() -> None:
    learner = studying(5, 6)
    learner.does(freeze(), on(7))
    assert [change[2] for change in learner.does(lesson(), on(9))] == ["frozen", "broken", "extended"]
    assert learner.does(lesson(), on(7, 20), arriving=on(9, 13)) == [("11-09", 4, "extended")]


def test_a_day_is_the_learners_own_day() -> None:
    learner = Learner()
    learner.does(session("Asia/Tokyo"), on(9))
    assert learner.does(lesson(), on(10, 14)) == [("11-10", 1, "extended")]
    assert learner.does(lesson(), on(10, 16)) == [("11-11", 2, "extended")], "past midnight in Tokyo"
    assert learner.changes[-1].at == datetime(2026, 11, 10, 15, tzinfo=UTC)


def test_the_date_that_a_flight_east_leaves_out_is_not_missed() -> None:
    learner = Learner()
    learner.does(session("Pacific/Honolulu"), on(8))
    learner.does(lesson(), on(9, 20))  # the 9th in Honolulu
    learner.does(lesson(), on(10, 20))
    learner.does(session("Pacific/Auckland"), on(10, 21))  # Honolulu's midnight is 23:00 of the 11th in Auckland
    assert learner.does(lesson(), on(11, 20)) == [("11-12", 3, "extended")]


def test_the_date_that_a_flight_west_repeats_counts_once() -> None:
    learner = Learner()
    learner.does(session("Pacific/Auckland"), on(8))
    learner.does(lesson(), on(9, 20))  # the 10th in Auckland
    learner.does(session("Pacific/Honolulu"), on(9, 21))
    assert learner.does(lesson(), on(10, 20)) == [], "the 10th again"
    assert learner.does(lesson(), on(11, 20)) == [("11-11", 2, "extended")]


def test_a_zone_that_was_planned_and_never_began_excuses_nothing() -> None:
    learner = Learner()
    learner.does(session("Pacific/Honolulu"), on(8))
    learner.does(lesson(), on(10, 20))
    learner.does(session("Pacific/Auckland"), on(10, 21))
    learner.does(session("Pacific/Honolulu"), on(10, 22))
    assert learner.state.study is not None
    assert learner.state.study.lost_days == []


def test_events_of_other_services_do_not_move_a_derived_streak() -> None:
    seven = mission(objective({"max": "days"}, 7, event="streak-updated"), id="seven-days")
    learner = Learner(catalogue(seven))
    learner.does(lesson(), on(10))
    learner.does(streak(50, "2026-11-10"), on(10))
    assert learner.streak == (1, "11-10")
    assert statuses(learner.state)["seven-days"] == ("IN_PROGRESS", [1])


def test_upstream_takes_over_what_is_told_and_tells_nothing() -> None:
    known = catalogue(mission(objective({"max": "days"}, 7, event="streak-updated"), id="seven-days"))
    decision = play(known, [recorded(lesson(), on(10)), recorded(streak(7, "2026-11-10"), on(10))])
    assert decision.streak_changes == []
    assert [a.mission_id for a in decision.completed] == ["seven-days"]
    assert (decision.state.streak, decision.state.streak_longest, decision.state.study) == (7, 7, None)


def test_missions_see_a_derived_streak_only_when_its_event_comes_back() -> None:
    known = catalogue(mission(objective({"max": "days"}, 1, event="streak-updated"), id="one-day"))
    state = UserState(USER)
    decision = decide(state, [recorded(lesson(), on(10))], {}, known, streak_source=StreakSource.DERIVED)
    assert [change.days for change in decision.streak_changes] == [1]
    assert decision.completed == []
    assert (state.streak, state.streak_day) == (0, None)


def test_a_derived_streak_goes_on_from_what_another_service_told() -> None:
    learner = Learner(state=UserState(USER, streak=50, streak_day=date(2026, 11, 10), streak_longest=80))
    assert learner.does(lesson(), on(10, 20)) == [], "that day is counted"
    assert learner.does(lesson(), on(11)) == [("11-11", 51, "extended")]
    assert learner.state.streak_longest == 80


def test_a_streak_that_another_service_told_breaks_as_any_other() -> None:
    learner = Learner(state=UserState(USER, streak=50, streak_day=date(2026, 11, 10)))
    assert learner.does(lesson(), on(12)) == [("11-11", 0, "broken"), ("11-12", 1, "extended")]


def test_a_freeze_that_was_spent_long_ago_stays_spent() -> None:
    learner = studying(*range(1, 9))
    learner.does(lesson(), on(10))
    learner.does(freeze(), on(10))
    assert learner.streak == (9, "11-10")
    for day in range(12, 80):
        learner.does(lesson(), on(day))
        assert learner.state.streak == day - 11


def test_a_very_long_streak_is_counted_to_its_end_and_remembered_in_bounds() -> None:
    learner = Learner()
    for day in range(1, 401):
        learner.does(lesson(), on(day))
        learner.does(freeze(9), on(day))
    study = learner.state.study
    assert learner.state.streak == 400
    assert study is not None
    assert len(study.days) == streaks.MEMORY_DAYS + 1
    assert len(study.freezes) <= streaks.FREEZES_PER_DAY_MAX * (streaks.MEMORY_DAYS + 2 + streaks.FREEZE_AHEAD_DAYS)


def test_somebody_who_comes_back_after_years_starts_anew() -> None:
    learner = studying(1, 2, 3)
    assert learner.does(lesson(), on(1000)) == [("11-04", 0, "broken"), ("07-27", 1, "extended")]
    assert learner.streak == (1, "07-27")


def test_what_is_told_has_the_same_id_and_payload_whoever_made_it_known() -> None:
    one, other = Learner(), Learner()
    one.does(lesson(), on(10, 8))
    one.does(xp(1), on(12, 8))
    other.does(lesson(), on(10, 21))
    other.does(lesson(), on(12, 9))
    first = [streaks.streak_updated(USER, change) for change in one.changes]
    second = [streaks.streak_updated(USER, change) for change in other.changes]
    assert first == second[:2]
    assert len({a.id for a in second}) == 3
    assert {a.topic for a in second} == {"learning.streak-updated"}
    assert streaks.streak_updated("somebody-else", one.changes[0]).id != first[0].id


def test_only_streak_events_of_others_are_foreign() -> None:
    ours = event(streak(1, "2026-11-10"))
    assert streaks.is_foreign(ours.type, "streak-service")
    assert not streaks.is_foreign(ours.type, "mission-system")
    assert not streaks.is_foreign(event(lesson()).type, "lesson-service")
