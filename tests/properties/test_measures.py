"""Laws of the measures. If one fails, users with the same deeds see different progress, or see it fall."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.missions.compiled import CompiledObjective
from services.missions.measures import EVENT_AGE_DAYS_MAX
from services.missions.state import ObjectiveState
from tests.support.builders import compiled, objective

TARGETS = st.integers(1, 6)
VALUES = st.lists(st.integers(1, 12), max_size=14)


def fold(one: CompiledObjective, values: list[tuple[dict[str, Any], int]]) -> list[ObjectiveState]:
    """States before and after each (data, local day), as `progress.apply` would fold them."""
    state = ObjectiveState()
    states = [ObjectiveState()]
    for data, day in values:
        if state.progress < one.target and (one.matches is None or one.matches(data, {}, {})):
            one.advance(state, data, day)
        if state.progress < one.target and one.breaks is not None and one.breaks(data, {}, {}):
            one.mark_broken(state, data, day)
        states.append(ObjectiveState(state.progress, list(state.members), list(state.days), list(state.broken_days)))
    return states


def objective_of(measure: Any, target: int, where: dict[str, Any] | None = None) -> CompiledObjective:
    return compiled(objective(measure, target, where=where), period="once").objectives[0]


MEASURES: dict[str, tuple[Any, Any]] = {
    "count": ("count", lambda v: ({}, 0)),
    "sum": ({"sum": "hearts_lost"}, lambda v: ({"hearts_lost": v}, 0)),
    "distinct": ({"distinct": "lesson_id"}, lambda v: ({"lesson_id": f"lesson-{v}"}, 0)),
    "consecutive_days": ("consecutive_days", lambda v: ({}, v)),
}
measures = st.sampled_from(sorted(MEASURES))


@given(measures, TARGETS, VALUES, st.randoms(use_true_random=False))
def test_any_order_of_the_same_events_ends_in_the_same_state(
    name: str, target: int, values: list[int], order: Any
) -> None:
    measure, as_event = MEASURES[name]
    one = objective_of(measure, target)
    shuffled = list(values)
    order.shuffle(shuffled)
    assert fold(one, [as_event(v) for v in values])[-1] == fold(one, [as_event(v) for v in shuffled])[-1]


@given(st.lists(st.floats(0, 1), max_size=10), st.randoms(use_true_random=False))
def test_any_order_ends_with_the_same_maximum(values: list[float], order: Any) -> None:
    one = objective_of({"max": "accuracy"}, 1)
    shuffled = list(values)
    order.shuffle(shuffled)
    ends = [fold(one, [({"accuracy": v}, 0) for v in some])[-1] for some in (values, shuffled)]
    assert ends[0] == ends[1]
    assert ends[0].progress == max(values, default=0)


@given(measures, TARGETS, VALUES)
def test_progress_never_falls_and_never_passes_the_target(name: str, target: int, values: list[int]) -> None:
    measure, as_event = MEASURES[name]
    progress = [state.progress for state in fold(objective_of(measure, target), [as_event(v) for v in values])]
    assert progress == sorted(progress)
    assert all(0 <= amount <= target for amount in progress)


@given(TARGETS, VALUES)
def test_each_measure_is_what_it_says(target: int, values: list[int]) -> None:
    expected = {
        "count": len(values),
        "sum": sum(values),
        "distinct": len(set(values)),
        "consecutive_days": longest_run(set(values), set()),
    }
    for name, amount in expected.items():
        measure, as_event = MEASURES[name]
        assert fold(objective_of(measure, target), [as_event(v) for v in values])[-1].progress == min(amount, target)


def longest_run(days: set[int], broken: set[int]) -> int:
    """The plainest reading of the rule: a run may end on a broken day, but not go on past it."""
    longest = 0
    for first in days:
        length = 1
        while first + length in days and first + length - 1 not in broken:
            length += 1
        longest = max(longest, length)
    return longest


# (local day, hearts lost): days count without a lost heart, and break with one.
LESSONS = st.lists(st.tuples(st.integers(1, 10), st.sampled_from((0, 0, 1))), max_size=16)
HEARTS = {"consecutive_days": {"break_on": {"hearts_lost": {"gt": 0}}}}


def days_of(lessons: list[tuple[int, int]]) -> tuple[set[int], set[int]]:
    return {day for day, lost in lessons if not lost}, {day for day, lost in lessons if lost}


def play_lessons(target: int, lessons: list[tuple[int, int]]) -> ObjectiveState:
    one = objective_of(HEARTS, target, {"hearts_lost": 0})
    return fold(one, [({"hearts_lost": lost}, day) for day, lost in lessons])[-1]


@given(TARGETS, LESSONS)
def test_with_breaks_in_order_of_days_progress_is_the_longest_unbroken_run(
    target: int, lessons: list[tuple[int, int]]
) -> None:
    in_order = sorted(lessons, key=lambda lesson: lesson[0])
    assert play_lessons(target, in_order).progress == min(longest_run(*days_of(lessons)), target)


@given(TARGETS, LESSONS)
def test_with_the_breaks_first_the_order_of_the_days_does_not_matter(
    target: int, lessons: list[tuple[int, int]]
) -> None:
    breaks_first = sorted(lessons, key=lambda lesson: -lesson[1])
    assert play_lessons(target, breaks_first).progress == min(longest_run(*days_of(lessons)), target)


@given(TARGETS, LESSONS)
def test_with_breaks_in_any_order_progress_is_between_the_unbroken_run_and_the_run_without_breaks(
    target: int, lessons: list[tuple[int, int]]
) -> None:
    days, broken = days_of(lessons)
    progress = play_lessons(target, lessons).progress
    assert min(longest_run(days, broken), target) <= progress <= min(longest_run(days, set()), target)


@given(LESSONS, st.randoms(use_true_random=False))
def test_with_breaks_any_order_remembers_the_same_days(lessons: list[tuple[int, int]], order: Any) -> None:
    beyond_reach = 40
    shuffled = list(lessons)
    order.shuffle(shuffled)
    ends = [play_lessons(beyond_reach, some) for some in (lessons, shuffled)]
    assert (ends[0].days, ends[0].broken_days) == (ends[1].days, ends[1].broken_days)


@given(
    st.integers(1, 5),
    st.lists(st.tuples(st.integers(0, 150), st.integers(0, EVENT_AGE_DAYS_MAX)), max_size=40),
)
def test_days_that_are_dropped_would_never_have_mattered(target: int, arrivals: list[tuple[int, int]]) -> None:
    """Events come up to 35 days after their day: what is remembered suffices, and stays bounded."""
    one = objective_of("consecutive_days", target)
    as_they_come = [day for day, _ in sorted(arrivals, key=lambda arrival: (sum(arrival), arrival))]
    end = fold(one, [({}, day) for day in as_they_come])[-1]
    in_order = fold(one, [({}, day) for day in sorted(as_they_come)])[-1]
    assert end == in_order
    assert end.progress == min(longest_run(set(as_they_come), set()), target)
    assert len(end.days) <= EVENT_AGE_DAYS_MAX + target + 1
