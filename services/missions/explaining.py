"""Why a user has not got a mission: for support, asked of the state afterwards, so issuing pays nothing for it."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from .catalogue import Catalogue, is_open
from .compiled import LIST_FACTS, CompiledMission
from .conditions import NO_VALUES, compile_where, operators_of
from .definition import Mission
from .fitting import Known, missing_claim, obstacle
from .issuing import known_of, season_name
from .periods import Period, daily_period, weekly_period
from .state import IssuedPeriod, UserState


class NotIssued(NamedTuple):
    """A mission that the user has no assignment of, and why."""

    mission_id: str
    reason: str
    """One line, with the values that decided."""


def explain_issue(state: UserState, at: datetime, catalogue: Catalogue) -> list[NotIssued]:
    """Every mission of which the user has no assignment that holds the instant `at`, in catalogue order, with why.

    Where the period was issued already and the reason recorded, it is that of then; the others are those of now.
    """
    open_ids = {c.mission.id for index in _indexes(catalogue) for c in index} | set(catalogue.stand_ins)
    explained = []
    for mission in catalogue.newest:
        if not _has(state, mission, at):
            reasons = _reasons(state, at, catalogue.get(mission.id, mission.version), catalogue)
            reason = next(reasons, "it is due: the next look or event issues it")
            explained.append(NotIssued(mission.id, reason if mission.id in open_ids else "it is paused or ended"))
    return explained


def _indexes(catalogue: Catalogue) -> Iterator[tuple[CompiledMission, ...]]:
    for index in (catalogue.daily, catalogue.weekly, catalogue.once, catalogue.seasons):
        yield index.missions


def _has(state: UserState, mission: Mission, at: datetime) -> bool:
    return any(
        a.mission_id == mission.id and a.starts_at <= at and (a.expires_at is None or at < a.expires_at)
        for a in state.assignments
    )


def _reasons(state: UserState, at: datetime, compiled: CompiledMission, catalogue: Catalogue) -> Iterator[str]:
    """What keeps it from the user; the first reason is the one to tell."""
    mission = compiled.mission
    period = weekly_period(state.zones, at) if mission.period == "weekly" else daily_period(state.zones, at)
    user = known_of(state, period)
    marker = _marker(state, mission, period)
    yield from _of_time(state, mission, at)
    if marker is not None and mission.id in marker.left_out:
        yield f"when its period was issued, {marker.left_out[mission.id]}"
    if mission.stand_in:
        names = ", ".join(m.id for m in catalogue.newest if m.otherwise == mission.id)
        yield f"it is issued only in the place of {names or 'missions that name it as otherwise'}"
    yield from _of_audience(mission, user)
    missing = missing_claim(mission, user)
    if missing is not None:
        yield f"{missing} is not claimed yet"
    found = obstacle(compiled, user)
    if found is not None:
        yield found.text
    if marker is not None:
        yield (
            f"the {mission.period} missions from {marker.starts_at.isoformat()} on were issued without it, and a set that is "
            f"issued stays; the next begins at {marker.ends_at.isoformat()}"
        )


def _marker(state: UserState, mission: Mission, period: Period) -> IssuedPeriod | None:
    return next((m for m in state.issued if m.kind == mission.period and m.starts_at == period.starts_at), None)


def _of_time(state: UserState, mission: Mission, at: datetime) -> Iterator[str]:
    if mission.period == "season" and not is_open(mission, at):
        yield f"its season goes from {mission.opens_at} up to {mission.closes_at}"
    name = season_name(mission) if mission.period == "season" else mission.id
    if mission.period in {"once", "season"} and name in state.once_issued:
        yield "it was issued before, and is issued once"


def _of_audience(mission: Mission, user: Known) -> Iterator[str]:
    for fact, condition in mission.audience.items():
        holds = compile_where({fact: condition}, LIST_FACTS)
        if holds is not None and not holds(user.facts, NO_VALUES, NO_VALUES):
            wanted = ", ".join(f"{operator} {operand}" for _, operator, operand in operators_of({fact: condition}))
            yield f"{fact} is {user.facts[fact]}, and it is for users with {fact} {wanted}"
