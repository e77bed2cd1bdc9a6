"""The five measures, by example. What holds for every order of events is in tests/properties/test_measures.py."""

from typing import Any

from services.missions.definition import Measure
from services.missions.measures import compile_break, compile_measure
from services.missions.state import ObjectiveState
from tests.support.builders import mission, objective


def measure_of(measure: Any, event: str = "lesson-completed") -> Measure:
    return mission(objective(measure, event=event), period="once").objectives[0].measure


def fold(measure: Any, target: int, *values: Any, field: str = "", event: str = "lesson-completed") -> ObjectiveState:
    state = ObjectiveState()
    advance = compile_measure(measure_of(measure, event), target)
    for value in values:
        if state.progress < target:
            advance(state, {field: value}, value if isinstance(value, int) else 0)
    return state


def test_count_adds_one_for_each_event() -> None:
    assert fold("count", 3, 1, 1).progress == 2


def test_sum_adds_the_field_and_stops_at_the_target() -> None:
    assert fold({"sum": "amount"}, 40, 15, 10, field="amount", event="xp-earned").progress == 25
    assert fold({"sum": "amount"}, 40, 15, 1000, field="amount", event="xp-earned").progress == 40


def test_whole_numbers_stay_whole() -> None:
    assert isinstance(fold({"sum": "amount"}, 40, 15, field="amount", event="xp-earned").progress, int)
    assert isinstance(fold("count", 3, 1).progress, int)


def test_max_keeps_the_greatest_value() -> None:
    assert fold({"max": "accuracy"}, 1, 0.5, 0.9, 0.7, field="accuracy").progress == 0.9
    assert fold({"max": "accuracy"}, 1, None, field="accuracy").progress == 0


def test_distinct_counts_each_member_once() -> None:
    state = fold({"distinct": "lesson_id"}, 3, "b", "a", "b", None, field="lesson_id")
    assert (state.progress, state.members) == (2, ["a", "b"])


def test_distinct_forgets_its_members_when_the_target_is_reached() -> None:
    state = fold({"distinct": "lesson_id"}, 2, "b", "a", field="lesson_id")
    assert (state.progress, state.members) == (2, [])


def test_a_repeated_member_changes_nothing() -> None:
    advance = compile_measure(measure_of({"distinct": "lesson_id"}), 3)
    state = ObjectiveState()
    assert advance(state, {"lesson_id": "a"}, 0)
    assert not advance(state, {"lesson_id": "a"}, 0)


def test_days_in_a_row_are_counted_and_a_gap_starts_anew() -> None:
    assert fold("consecutive_days", 5, 10, 11, 12).progress == 3
    assert fold("consecutive_days", 5, 10, 11, 13).progress == 2


def test_a_late_day_joins_two_runs() -> None:
    assert fold("consecutive_days", 9, 10, 11, 13, 14, 12).progress == 5


def test_a_second_event_of_a_day_adds_nothing() -> None:
    state = fold("consecutive_days", 5, 10, 10, 10)
    assert (state.progress, state.days) == (1, [10])


def test_days_are_forgotten_when_the_target_is_reached_or_nothing_can_join_them() -> None:
    assert fold("consecutive_days", 2, 10, 11).days == []
    assert fold("consecutive_days", 3, 10, 12, 100).days == [100]
    assert fold("consecutive_days", 3, 62, 100).days == [62, 100]


def with_breaks(target: int, *days: tuple[str, int]) -> ObjectiveState:
    """Plays ("day", n) and ("break", n) in this order."""
    state = ObjectiveState()
    advance = compile_measure(measure_of({"consecutive_days": {"break_on": {"hearts_lost": {"gt": 0}}}}), target)
    break_day = compile_break(target)
    for what, day in days:
        (advance if what == "day" else break_day)(state, {}, day)
    return state


def test_a_run_may_end_on_a_broken_day_but_not_go_on_past_it() -> None:
    assert with_breaks(9, ("day", 1), ("day", 2), ("break", 2)).progress == 2
    assert with_breaks(9, ("day", 1), ("day", 2), ("break", 2), ("day", 3), ("day", 4)).progress == 2
    assert with_breaks(9, ("break", 2), ("day", 2), ("day", 3), ("day", 4), ("day", 5)).progress == 3


def test_a_break_that_comes_late_takes_nothing_back() -> None:
    state = with_breaks(9, ("day", 1), ("day", 2), ("day", 3), ("break", 2))
    assert (state.progress, state.broken_days) == (3, [2])


def test_a_break_on_a_day_without_a_counting_event_breaks_nothing_more() -> None:
    assert with_breaks(9, ("day", 1), ("day", 2), ("break", 3)).progress == 2
