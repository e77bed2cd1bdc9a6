"""Issues what is due: whoever comes first in a period (an event, `GET /missions`, the scheduler) issues the same set, once."""

from datetime import datetime
from itertools import islice
from typing import NamedTuple

from . import profile
from .catalogue import Catalogue, is_open
from .definition import Mission
from .fitting import Chosen, Known, choose
from .ids import assignment_id
from .periods import DAILY, LATENESS_BOUND, WEEKLY, Period, daily_period, local_day, weekly_period
from .state import Assignment, IssuedPeriod, ObjectiveState, Status, UserState
from .topics import forget_old

LEFT_OUT_MAX = 20
"""Missions whose absence a marker explains: more than a slip in the catalogue leaves out, and the state stays small."""


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
    forget_old(state, day.starts_at)  # by the period, not by `at`: whoever comes first in it must find the same
    user = known_of(state, day)
    if day_due:
        issued += _issue_period(state, DAILY, day, catalogue, user)
    if week_due:
        issued += _issue_period(state, WEEKLY, week, catalogue, known_of(state, week))
    if day_due or is_newer:
        state.catalogue_revision = max(state.catalogue_revision, catalogue.revision)
        issued += _issue_single(state, at, day, catalogue, user)
    state.assignments += issued
    return Issued(issued, True)


def known_of(state: UserState, period: Period) -> Known:
    """What the user's missions of a period are chosen by."""
    facts = profile.facts(state, local_day(state.zones, period.starts_at))
    return Known(state.claimed_missions, facts, profile.parameters(state))


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


def _issue_period(state: UserState, kind: str, period: Period, catalogue: Catalogue, user: Known) -> list[Assignment]:
    """Daily or weekly missions, with the marker that keeps the set as it is."""
    missions = catalogue.daily if kind == DAILY else catalogue.weekly
    chosen, left_out = choose(missions, user, catalogue.stand_ins)
    told = dict(islice(left_out.items(), LEFT_OUT_MAX))
    state.issued.append(IssuedPeriod(kind, period.starts_at, period.ends_at, told))
    return [_assignment(state, one, period.starts_at, period.ends_at, user) for one in chosen]


def _issue_single(state: UserState, at: datetime, day: Period, catalogue: Catalogue, user: Known) -> list[Assignment]:
    """Once and season missions: at most one assignment each, ever, so their names are kept."""
    issued = []
    for one in choose(catalogue.once, user, {})[0]:
        name = one.compiled.mission.id
        if name not in state.once_issued:
            state.once_issued.append(name)
            issued.append(_assignment(state, one, day.starts_at, None, user))
    for one in choose(catalogue.seasons, user, {})[0]:
        mission = one.compiled.mission
        opens_at, name = mission.opens_at, season_name(mission)
        if opens_at is not None and is_open(mission, at) and name not in state.once_issued:
            state.once_issued.append(name)
            issued.append(_assignment(state, one, opens_at, mission.closes_at, user))
    return issued


def season_name(mission: Mission) -> str:
    """What a season is remembered by: a later season of the same mission is another one."""
    return f"{mission.id}@{mission.opens_at.isoformat() if mission.opens_at else ''}"


def _assignment(
    state: UserState, chosen: Chosen, starts_at: datetime, expires_at: datetime | None, user: Known
) -> Assignment:
    compiled, mission = chosen.compiled, chosen.compiled.mission
    return Assignment(
        assignment_id=assignment_id(state.user_id, mission.id, starts_at),
        mission_id=mission.id,
        mission_version=mission.version,
        starts_at=starts_at,
        expires_at=expires_at,
        status=Status.IN_PROGRESS,
        objectives=[ObjectiveState() for _ in mission.objectives],
        parameters={
            name: user.parameters.get(name, mission.parameters.get(name)) for name in sorted(compiled.parameters)
        },
        fit=chosen.fit,
    )
