"""One event against open assignments: what counts, what completes, what is too late."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from services.missions.catalogue import UnknownMission
from services.missions.conditions import NO_VALUES
from services.missions.definition import Mission
from services.missions.periods import LATENESS_BOUND
from services.missions.progress import Outcome, Progress, apply
from services.missions.state import Status, UserState
from tests.support.builders import (
    MIDNIGHT,
    NEXT_MIDNIGHT,
    NOON,
    USER,
    answer,
    assignment,
    catalogue,
    event,
    lesson,
    mission,
    objective,
    xp,
)

INSTANT = timedelta(microseconds=1)


def play(
    state: UserState, data: Any, *missions: Mission, time: datetime = NOON, recorded_at: datetime | None = None
) -> Progress:
    happened = event(data, time)
    known = catalogue(*missions)
    return apply(state, happened.type, data.__dict__, time, recorded_at or time, NO_VALUES, time.toordinal(), known)


def holding(*missions: Mission, **fields: Any) -> UserState:
    return UserState(USER, assignments=[assignment(of, **fields) for of in missions])


def test_an_event_that_matches_moves_progress() -> None:
    two = mission(objective(target=2))
    state = holding(two)
    assert play(state, lesson(), two) == Progress(Outcome.APPLIED, True, [])
    assert state.assignments[0].objectives[0].progress == 1


def test_an_event_of_another_type_or_with_other_fields_matches_nothing() -> None:
    python = mission(objective(where={"language": "python"}))
    state = holding(python)
    assert play(state, xp(20), python) == Progress(Outcome.UNMATCHED, False, [])
    assert play(state, lesson(language="es"), python) == Progress(Outcome.UNMATCHED, False, [])


def test_the_last_needed_event_completes_it_at_its_own_time() -> None:
    one = mission(claim={"grace_days": 3})
    state = holding(one)
    (done,) = play(state, lesson(), one).completed
    assert done is state.assignments[0]
    assert (done.status, done.completed_at) == (Status.COMPLETED, NOON)
    assert done.claimable_until == NEXT_MIDNIGHT + timedelta(days=3)


def test_what_never_ends_can_be_claimed_for_ever() -> None:
    once = mission(period="once")
    state = holding(once, expires_at=None)
    assert play(state, lesson(), once).completed[0].claimable_until is None


def test_a_completed_assignment_no_longer_changes() -> None:
    both = mission(
        objective(id="a"), objective({"sum": "amount"}, 50, event="xp-earned", id="b"), require={"at_least": 1}
    )
    state = holding(both)
    play(state, lesson(), both)
    assert play(state, xp(20), both) == Progress(Outcome.UNMATCHED, False, [])
    assert [o.progress for o in state.assignments[0].objectives] == [1, 0]


def test_all_objectives_are_needed_unless_fewer_are_asked_for() -> None:
    objectives = [objective(id="a"), objective({"sum": "amount"}, 20, event="xp-earned", id="b")]
    everything, either = mission(*objectives), mission(*objectives, id="either", require={"at_least": 1})
    state = holding(everything, either)
    assert [a.mission_id for a in play(state, lesson(), everything, either).completed] == ["either"]
    assert [a.mission_id for a in play(state, xp(20), everything, either).completed] == ["mission-1"]


def test_an_event_may_count_in_several_missions_and_objectives() -> None:
    double = mission(objective(id="a", target=5), objective({"distinct": "lesson_id"}, 5, id="b"))
    other = mission(objective(target=5), id="other")
    state = holding(double, other)
    play(state, lesson(), double, other)
    assert [[o.progress for o in a.objectives] for a in state.assignments] == [[1, 1], [1]]


@pytest.mark.parametrize(
    ("time", "outcome"),
    [
        (MIDNIGHT - INSTANT, Outcome.UNMATCHED),
        (MIDNIGHT, Outcome.APPLIED),
        (NEXT_MIDNIGHT - INSTANT, Outcome.APPLIED),
        (NEXT_MIDNIGHT, Outcome.UNMATCHED),
    ],
)
def test_an_event_counts_from_the_start_up_to_the_end(time: datetime, outcome: Outcome) -> None:
    one = mission()
    assert play(holding(one), lesson(), one, time=time).outcome is outcome


def test_a_late_record_counts_up_to_the_bound() -> None:
    one = mission()
    bound = NEXT_MIDNIGHT + LATENESS_BOUND
    assert play(holding(one), lesson(), one, recorded_at=bound - INSTANT).outcome is Outcome.APPLIED
    state = holding(one)
    assert play(state, lesson(), one, recorded_at=bound) == Progress(Outcome.LATE, False, [])
    assert state == holding(one)


def test_what_is_late_for_the_day_still_counts_for_the_week() -> None:
    daily, weekly = mission(), mission(objective(target=5), id="weekly", period="weekly")
    state = UserState(
        USER, assignments=[assignment(daily), assignment(weekly, expires_at=MIDNIGHT + timedelta(days=5))]
    )
    assert play(state, lesson(), daily, weekly, recorded_at=NOON + timedelta(days=3)).outcome is Outcome.APPLIED
    assert [a.objectives[0].progress for a in state.assignments] == [0, 1]


def test_what_nobody_wanted_is_late_only_when_its_week_is_over_too() -> None:
    one = mission()
    assert play(holding(one), xp(5), one, recorded_at=NOON + timedelta(days=3)).outcome is Outcome.UNMATCHED
    assert play(UserState(USER), lesson(), recorded_at=NOON + timedelta(days=20)).outcome is Outcome.LATE


def test_a_repeated_member_is_applied_and_changes_nothing() -> None:
    distinct = mission(objective({"distinct": "question_id"}, 3, event="question-answered"))
    state = holding(distinct)
    play(state, answer("q1"), distinct)
    assert play(state, answer("q1"), distinct) == Progress(Outcome.APPLIED, False, [])


def test_a_break_of_a_run_changes_the_state_without_counting() -> None:
    hearts = mission(
        objective({"consecutive_days": {"break_on": {"hearts_lost": {"gt": 0}}}}, 3, where={"hearts_lost": 0}),
        period="weekly",
    )
    state = holding(hearts)
    assert play(state, lesson(hearts_lost=2), hearts) == Progress(Outcome.UNMATCHED, True, [])
    assert state.assignments[0].objectives[0].broken_days == [NOON.toordinal()]


def test_an_assignment_of_an_unknown_version_asks_for_a_newer_catalogue() -> None:
    with pytest.raises(UnknownMission):
        play(holding(mission(version=2)), lesson(), mission())
