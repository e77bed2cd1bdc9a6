"""Laws of progress over whole lives of events. If one fails, a user loses what they were shown, or is paid for nothing."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.missions.catalogue import Catalogue
from services.missions.compiled import CompiledMission
from services.missions.decide import Recorded, decide
from services.missions.issuing import issue_due
from services.missions.progress import Outcome
from services.missions.state import Assignment, Status, UserState
from tests.support.builders import USER, living_in

from .strategies import MISSIONS, START, recorded_events, within, zones

CATALOGUE = Catalogue(MISSIONS, 1)
HISTORY = {"fix", "hearts", "chapter", "two-of-three", "fitted", "stand-in", "weak"}
OWN_FIELDS = Catalogue([m for m in MISSIONS if m.id not in HISTORY], 1)


def compiled_of(assignment: Assignment) -> CompiledMission:
    """The mission with the targets that were frozen at issue."""
    return CATALOGUE.get(assignment.mission_id, assignment.mission_version).as_issued(assignment)


@given(recorded_events(late_days=3, moving=True))
def test_progress_never_falls_never_passes_the_target_and_completed_never_reverts(events: list[Recorded]) -> None:
    state = UserState(USER)
    seen: dict[str, tuple[list[float], bool]] = {}
    for one in sorted(events, key=lambda e: e.recorded_at):
        decide(state, [one], {}, CATALOGUE)
        for assignment in state.assignments:
            progress = [o.progress for o in assignment.objectives]
            before, was_completed = seen.get(assignment.assignment_id, ([0.0] * len(progress), False))
            targets = compiled_of(assignment).objectives
            assert all(b <= p <= o.target for b, p, o in zip(before, progress, targets, strict=True))
            is_completed = assignment.status is Status.COMPLETED
            assert is_completed or not was_completed
            if was_completed:
                assert progress == before
            seen[assignment.assignment_id] = (progress, is_completed)


@given(recorded_events(late_days=3, moving=True))
def test_it_is_completed_exactly_when_enough_objectives_are_reached(events: list[Recorded]) -> None:
    state = UserState(USER)
    completed = set()
    for one in sorted(events, key=lambda e: e.recorded_at):
        for assignment in decide(state, [one], {}, CATALOGUE).completed:
            assert assignment.assignment_id not in completed
            completed.add(assignment.assignment_id)
    for assignment in state.assignments:
        compiled = compiled_of(assignment)
        pairs = zip(assignment.objectives, compiled.objectives, strict=True)
        is_enough = sum(done.progress >= o.target for done, o in pairs) >= compiled.needed
        assert is_enough is (assignment.status is Status.COMPLETED) is (assignment.assignment_id in completed)


@given(zones, st.data())
def test_any_delivery_order_within_the_bound_ends_in_the_same_progress(zone: str, data: Any) -> None:
    """Objectives over the events' own fields, in assignments that are there, whatever the order."""
    events = data.draw(recorded_events(7))
    shuffled = data.draw(st.permutations(events))
    ends = []
    for order in (events, shuffled):
        state = UserState(USER, zones=living_in(zone))
        for days in range(8):
            issue_due(state, START.replace(day=START.day + days), OWN_FIELDS)
        outcomes = decide(state, order, {}, OWN_FIELDS).outcomes
        assert Outcome.LATE not in outcomes
        ends.append([(a.assignment_id, a.status, a.objectives) for a in state.assignments])
    assert ends[0] == ends[1]


@given(recorded_events(late_days=20), within(10))
def test_events_outside_a_period_never_move_it(events: list[Recorded], at: Any) -> None:
    state = UserState(USER)
    issue_due(state, at, CATALOGUE)
    for one in events:
        before = {a.assignment_id: [o.progress for o in a.objectives] for a in state.assignments}
        decide(state, [one], {}, CATALOGUE)
        for a in state.assignments:
            if not (a.starts_at <= one.event.time and (a.expires_at is None or one.event.time < a.expires_at)):
                assert [o.progress for o in a.objectives] == before.get(a.assignment_id, [0] * len(a.objectives))
