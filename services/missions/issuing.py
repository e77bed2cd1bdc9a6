"""Issues what is due: whoever comes first in a period (an event, `GET /missions`, the scheduler) issues the same set, once."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from . import profile
from .audience import AudienceIndex
from .catalogue import Catalogue, is_open
from .compiled import CompiledMission
from .ids import assignment_id
from .periods import DAILY, LATENESS_BOUND, WEEKLY, Period, daily_period, local_day, weekly_period
from .state import Assignment, IssuedPeriod, ObjectiveState, Status, UserState


class Issued(NamedTuple):
    """What issuing did. A period without missions for this user changes the state too: it is marked as issued."""

    assignments: list[Assignment]
    changed: bool


_NOTHING = Issued([], False)


def is_due(state: UserState, at: datetime, catalogue: Catalogue) -> bool:
    """Whether `issue_due` could have anything to do; the quick answer for almost every event."""
    has_day = has_week = False
    for period in state.issued:
        if period.starts_at <= at < period.ends_at:
            if period.kind == DAILY:
                has_day = True
            else:
                has_week = True
    return not (has_day and has_week) or catalogue.revision > state.catalogue_revision


def issue_due(state: UserState, at: datetime, catalogue: Catalogue, recorded_at: datetime | None = None) -> Issued:
    """Issues what is due at the instant `at` and marks its periods, in place.

    `recorded_at` is the record's timestamp when an event asks: a period that is past the lateness bound by then is not
    issued any more. Daily and weekly missions are issued once a period, whatever the catalogue becomes; once and season
    missions when a daily period begins or the catalogue has become newer.
    """
    day = daily_period(state.zones, at)
    week = weekly_period(state.zones, at)
    day_due = _is_unmarked(state, DAILY, day, recorded_at)
    week_due = _is_unmarked(state, WEEKLY, week, recorded_at)
    is_newer = catalogue.revision > state.catalogue_revision and not is_past(day, recorded_at)
    if not (day_due or week_due or is_newer):
        return _NOTHING
    issued: list[Assignment] = []
    facts = profile.facts(state, local_day(state.zones, day.starts_at))
    parameters = profile.parameters(state)
    if day_due:
        state.issued.append(IssuedPeriod(DAILY, *day))
        chosen = _for_user(catalogue.daily, state, facts, parameters)
        issued += [_assignment(state, compiled, *day, parameters) for compiled in chosen]
    if week_due:
        state.issued.append(IssuedPeriod(WEEKLY, *week))
        week_facts = profile.facts(state, local_day(state.zones, week.starts_at))
        chosen = _for_user(catalogue.weekly, state, week_facts, parameters)
        issued += [_assignment(state, compiled, *week, parameters) for compiled in chosen]
    if day_due or is_newer:
        state.catalogue_revision = max(state.catalogue_revision, catalogue.revision)
        issued += _issue_single(state, at, day, catalogue, facts, parameters)
    state.assignments += issued
    return Issued(issued, True)


def is_past(period: Period, recorded_at: datetime | None) -> bool:
    """Whether a record of that time comes too late for the period."""
    return recorded_at is not None and recorded_at >= period.ends_at + LATENESS_BOUND


def _is_unmarked(state: UserState, kind: str, period: Period, recorded_at: datetime | None) -> bool:
    for marker in state.issued:
        if marker.kind == kind and marker.starts_at < period.ends_at and period.starts_at < marker.ends_at:
            return False
    closed_until = state.daily_closed_until if kind == DAILY else state.weekly_closed_until
    if closed_until is not None and period.starts_at < closed_until:
        return False
    return not is_past(period, recorded_at)


def _for_user(
    missions: AudienceIndex, state: UserState, facts: Mapping[str, Any], parameters: Mapping[str, Any]
) -> list[CompiledMission]:
    """Those missions that this user gets: the audience fits, what they require is claimed, and their parameters are known."""
    chosen = []
    for compiled in missions.fitting(facts):
        mission = compiled.mission
        if mission.requires and not all(name in state.claimed_missions for name in mission.requires):
            continue
        if compiled.parameters and not all(
            name in parameters or name in mission.parameters for name in compiled.parameters
        ):
            continue
        chosen.append(compiled)
    return chosen


def _issue_single(
    state: UserState,
    at: datetime,
    day: Period,
    catalogue: Catalogue,
    facts: Mapping[str, Any],
    parameters: Mapping[str, Any],
) -> list[Assignment]:
    """Once and season missions: at most one assignment each, ever, so their names are kept."""
    issued = []
    for compiled in _for_user(catalogue.once, state, facts, parameters):
        if compiled.mission.id not in state.once_issued:
            state.once_issued.append(compiled.mission.id)
            issued.append(_assignment(state, compiled, day.starts_at, None, parameters))
    for compiled in _for_user(catalogue.seasons, state, facts, parameters):
        opens_at, name = compiled.mission.opens_at, _season_name(compiled)
        if opens_at is not None and is_open(compiled.mission, at) and name not in state.once_issued:
            state.once_issued.append(name)
            issued.append(_assignment(state, compiled, opens_at, compiled.mission.closes_at, parameters))
    return issued


def _season_name(compiled: CompiledMission) -> str:
    """A later season of the same mission is another one."""
    opens_at = compiled.mission.opens_at
    return f"{compiled.mission.id}@{opens_at.isoformat() if opens_at else ''}"


def _assignment(
    state: UserState,
    compiled: CompiledMission,
    starts_at: datetime,
    expires_at: datetime | None,
    parameters: Mapping[str, Any],
) -> Assignment:
    mission = compiled.mission
    return Assignment(
        assignment_id=assignment_id(state.user_id, mission.id, starts_at),
        mission_id=mission.id,
        mission_version=mission.version,
        starts_at=starts_at,
        expires_at=expires_at,
        status=Status.IN_PROGRESS,
        objectives=[ObjectiveState() for _ in mission.objectives],
        parameters={name: parameters.get(name, mission.parameters.get(name)) for name in sorted(compiled.parameters)},
    )
