"""What `GET /missions` shows of a user's assignments at one instant. Encode it with msgspec: times come out as RFC 3339 in UTC."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, get_args

import msgspec

from mission_events.missions import MissionType

from .announcements import overall
from .catalogue import Catalogue
from .closing import SHOWN_AFTER_END, ended_at
from .compiled import CompiledMission
from .state import Assignment, Status, UserState

FALLBACK_LOCALE = "en"

_TYPE_RANKS = {mission_type: rank for rank, mission_type in enumerate(get_args(MissionType))}


class ObjectiveView(msgspec.Struct, frozen=True):
    """Progress of one objective."""

    id: str
    progress: int | float
    target: int


class MissionView(msgspec.Struct, frozen=True):
    """One assignment, in the fields of the contract."""

    assignment_id: str
    mission_id: str
    mission_type: str
    title: str
    description: str
    status: Status
    """EXPIRED from `expires_at` on, whether or not it has been marked so."""
    starts_at: datetime
    expires_at: datetime | None
    completed_at: datetime | None
    claimed_at: datetime | None
    claimable_until: datetime | None
    progress: int | float
    """Of the only objective; of several, how many are reached."""
    target: int
    objectives: list[ObjectiveView]
    rewards: Sequence[Mapping[str, Any]]


def mission_view(state: UserState, catalogue: Catalogue, now: datetime, locale: str) -> list[MissionView]:
    """What is open, claimable, or ended in the last 24 hours; daily missions first, then weekly ones, and so on.

    Raises `catalogue.UnknownMission` when only a newer catalogue has one of the mission versions.
    """
    shown = [
        (catalogue.get(assignment.mission_id, assignment.mission_version), assignment)
        for assignment in state.assignments
        if is_shown(assignment, now)
    ]
    shown.sort(key=_sort_key)
    return [view_of(assignment, compiled, now, locale) for compiled, assignment in shown]


def is_shown(assignment: Assignment, now: datetime) -> bool:
    """Whether it is open, claimable, or ended in the last 24 hours."""
    end = ended_at(assignment)
    return assignment.starts_at <= now and (end is None or now < end + SHOWN_AFTER_END)


def view_of(assignment: Assignment, compiled: CompiledMission, now: datetime, locale: str) -> MissionView:
    """One assignment as its user sees it."""
    compiled = compiled.as_issued(assignment)
    mission = compiled.mission
    amounts = [whole(objective.progress) for objective in assignment.objectives]
    progress, target = overall(compiled, amounts)
    return MissionView(
        assignment_id=assignment.assignment_id,
        mission_id=assignment.mission_id,
        mission_type=mission.type,
        title=text_in(mission.title, locale),
        description=text_in(mission.description, locale),
        status=status_at(assignment, now),
        starts_at=assignment.starts_at,
        expires_at=assignment.expires_at,
        completed_at=assignment.completed_at,
        claimed_at=assignment.claimed_at,
        claimable_until=assignment.claimable_until,
        progress=progress,
        target=target,
        objectives=[
            ObjectiveView(objective.id, amount, objective.target)
            for objective, amount in zip(mission.objectives, amounts, strict=False)
        ],
        rewards=compiled.rewards,
    )


def status_at(assignment: Assignment, now: datetime) -> Status:
    """The status that is true at `now`."""
    expires_at = assignment.expires_at
    if assignment.status is Status.IN_PROGRESS and expires_at is not None and now >= expires_at:
        return Status.EXPIRED
    return assignment.status


def text_in(texts: Mapping[str, str], locale: str) -> str:
    """The text in this locale, else in its language, else in English, else in the first one given; "" without any."""
    for wanted in (locale, locale.partition("-")[0], FALLBACK_LOCALE):
        if wanted in texts:
            return texts[wanted]
    return next(iter(texts.values()), "")


def whole(amount: float) -> int | float:
    """An amount as an integer if it is one."""
    return int(amount) if amount == int(amount) else amount


def _sort_key(pair: tuple[CompiledMission, Assignment]) -> tuple[int, float, int, str]:
    compiled, assignment = pair
    newest_first = -assignment.starts_at.timestamp()
    return _TYPE_RANKS[compiled.mission.type], newest_first, compiled.place, assignment.assignment_id
