"""One event against one user's open assignments: what counts, what moves, what completes."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from .catalogue import Catalogue
from .compiled import CompiledMission, CompiledObjective
from .periods import LATENESS_BOUND, daily_period, weekly_period
from .state import Assignment, Status, UserState

__all__ = ["LATENESS_BOUND", "Outcome", "Progress", "apply"]


class Outcome(StrEnum):
    """What became of an event."""

    APPLIED = "applied"
    """It counted in at least one assignment, even if the progress stayed (a repeated member of `distinct`)."""
    UNMATCHED = "unmatched"
    """No open assignment of its time wanted it."""
    LATE = "late"
    """Its record came past the lateness bound of the periods that it would have counted in."""


class Progress(NamedTuple):
    """What applying one event did."""

    outcome: Outcome
    changed: bool
    """Whether the state changed, in place."""
    completed: list[Assignment]


_UNMATCHED = Progress(Outcome.UNMATCHED, False, [])
_LATE = Progress(Outcome.LATE, False, [])


def apply(
    state: UserState,
    event_type: str,
    data: Mapping[str, Any],
    at: datetime,
    recorded_at: datetime,
    history: Mapping[str, Any],
    day: int,
    catalogue: Catalogue,
) -> Progress:
    """Counts an event of the instant `at` in the assignments whose period holds it, in place.

    `history` are the answer's facts, `day` the local day. Raises `catalogue.UnknownMission` when an open assignment is
    of a version that only a newer catalogue has.
    """
    counted = changed = missed = False
    completed: list[Assignment] = []
    for assignment in state.assignments:
        status = assignment.status
        if (status is not Status.IN_PROGRESS and status is not Status.EXPIRED) or at < assignment.starts_at:
            continue
        expires_at = assignment.expires_at
        if expires_at is not None and at >= expires_at:
            continue
        compiled = catalogue.get(assignment.mission_id, assignment.mission_version)
        if assignment.fit is not None:
            compiled = compiled.as_issued(assignment)
        objectives = compiled.by_event.get(event_type)
        if objectives is None:
            continue
        if status is Status.EXPIRED or (expires_at is not None and recorded_at >= expires_at + LATENESS_BOUND):
            missed = missed or _is_wanted(objectives, assignment, data, history)
            continue
        matched, moved = _advance(objectives, assignment, data, history, day)
        counted = counted or matched
        if moved:
            changed = True
            if _complete(assignment, compiled, at):
                completed.append(assignment)
    if counted or changed:
        return Progress(Outcome.APPLIED if counted else Outcome.UNMATCHED, changed, completed)
    if missed or (recorded_at - at >= LATENESS_BOUND and _is_past_all(state, at, recorded_at)):
        return _LATE
    return _UNMATCHED


def _advance(
    objectives: tuple[CompiledObjective, ...],
    assignment: Assignment,
    data: Mapping[str, Any],
    history: Mapping[str, Any],
    day: int,
) -> tuple[bool, bool]:
    """(whether an objective matched, whether one's state moved)."""
    matched = moved = False
    parameters = assignment.parameters
    for objective in objectives:
        reached = assignment.objectives[objective.index]
        matches = objective.matches
        if matches is None or matches(data, history, parameters):
            matched = True
            if reached.progress < objective.target and objective.advance(reached, data, day):
                moved = True
        breaks = objective.breaks
        if breaks is not None and reached.progress < objective.target and breaks(data, history, parameters):
            moved = objective.mark_broken(reached, data, day) or moved
    return matched, moved


def _is_wanted(
    objectives: tuple[CompiledObjective, ...],
    assignment: Assignment,
    data: Mapping[str, Any],
    history: Mapping[str, Any],
) -> bool:
    return any(o.matches is None or o.matches(data, history, assignment.parameters) for o in objectives)


def _complete(assignment: Assignment, compiled: CompiledMission, at: datetime) -> bool:
    """Completes the assignment if enough objectives are reached."""
    reached = 0
    for objective in compiled.objectives:
        if assignment.objectives[objective.index].progress >= objective.target:
            reached += 1
    if reached < compiled.needed:
        return False
    assignment.status = Status.COMPLETED
    assignment.completed_at = at
    if assignment.expires_at is not None:
        assignment.claimable_until = assignment.expires_at + compiled.grace
    return True


def _is_past_all(state: UserState, at: datetime, recorded_at: datetime) -> bool:
    """Whether both the day and the week of an instant are past the bound: then the event is late, whatever was issued."""
    bound = recorded_at - LATENESS_BOUND
    return weekly_period(state.zones, at).ends_at <= bound and daily_period(state.zones, at).ends_at <= bound
