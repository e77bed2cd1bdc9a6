"""The events out: what is told to the world of an assignment or a grant. One id, one payload, for ever."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from mission_events import encode, event_id, topic_of
from mission_events.missions import (
    MISSION_TYPES,
    MissionAssigned,
    MissionCompleted,
    MissionData,
    MissionExpired,
    RewardGranted,
    assignment_event_id,
)
from mission_events.times import format_time

from .catalogue import Catalogue
from .claiming import Grant
from .compiled import CompiledMission
from .state import Assignment

LETTERS_MAX = 4096
"""Encoded events kept of each kind: one for each mission version and period that users are just getting or completing."""


class Announcement(msgspec.Struct, frozen=True, gc=False):
    """One message to publish: the record's key is `user_id`, its value `payload`."""

    topic: str
    id: str
    """What consumers know duplicates by; a UUID."""
    user_id: str
    payload: bytes


def assigned(user_id: str, assignment: Assignment, catalogue: Catalogue) -> Announcement:
    """`mission-assigned`. Its time is the start of the period, whoever issued it and when."""
    compiled = catalogue.get(assignment.mission_id, assignment.mission_version).as_issued(assignment)
    letter = _assigned_letter(compiled, assignment.starts_at, assignment.expires_at)
    return letter.to(user_id, assignment.assignment_id)


def completed(user_id: str, assignment: Assignment, catalogue: Catalogue) -> Announcement:
    """`mission-completed`. Raises ValueError for an assignment that is not completed."""
    if assignment.completed_at is None:
        raise ValueError(f"assignment {assignment.assignment_id} is not completed; announce it when it is")
    compiled = catalogue.get(assignment.mission_id, assignment.mission_version)
    letter = _completed_letter(compiled, assignment.claimable_until)
    return letter.to(user_id, assignment.assignment_id, assignment.completed_at)


def granted(user_id: str, grant: Grant) -> Announcement:
    """`reward-granted`; its id is the grant's."""
    data = RewardGranted.model_validate(
        {
            "grant_id": grant.grant_id,
            "assignment_id": grant.assignment_id,
            "mission_id": grant.mission_id,
            "granted_at": grant.granted_at,
            "rewards": list(grant.rewards),
        }
    )
    return _announcement(user_id, data, grant.granted_at)


def expired(
    user_id: str,
    *,
    assignment_id: str,
    mission_id: str,
    mission_version: int,
    expired_at: datetime,
    progress: Sequence[float],
    catalogue: Catalogue,
) -> Announcement:
    """`mission-expired`, from what the ledger keeps of the assignment; `progress` is that of each objective, if known."""
    compiled = catalogue.get(mission_id, mission_version)
    data = MissionExpired.model_validate(
        {
            "assignment_id": assignment_id,
            "mission_id": mission_id,
            "expired_at": expired_at,
            "progress": int(overall(compiled, progress)[0]),
        }
    )
    return _announcement(user_id, data, expired_at)


def overall(compiled: CompiledMission, progress: Sequence[float]) -> tuple[float, int]:
    """(progress, target) of a whole assignment: those of its only objective, else reached objectives of the needed ones."""
    if len(compiled.objectives) == 1:
        return (progress[0] if progress else 0), compiled.objectives[0].target
    reached = sum(1 for done, objective in zip(progress, compiled.objectives, strict=False) if done >= objective.target)
    return min(reached, compiled.needed), compiled.needed


_SOMEBODY = "somebody:73ac49d6-8d0a-4b36-a5bb-2a4d2a0a2f3e"
_SOMETHING = "something:0f1f5d53-5f0e-4d0b-8ac1-6f6d0d2c9b11"
_SOMETIME = datetime(1583, 2, 3, 4, 5, 6, 789012, UTC)


class _Letter(msgspec.Struct, frozen=True):
    """An event for many users, encoded once: what differs from user to user needs no escaping in JSON."""

    event_type: str
    topic: str
    payload: str
    """With the places to fill in: `id`, `user`, `assignment` and `time`."""

    def to(self, user_id: str, assignment_id: str, time: datetime | None = None) -> Announcement:
        """The event for one user; `time` where that differs too."""
        message_id = assignment_event_id(self.event_type, assignment_id)
        told = "" if time is None else format_time(time)
        filled = self.payload % {"id": message_id, "user": user_id, "assignment": assignment_id, "time": told}
        return Announcement(self.topic, message_id, user_id, filled.encode())


def _letter(data: MissionData, time: datetime) -> _Letter:
    """The letter of which this is the event for nobody."""
    one = _announcement(_SOMEBODY, data, time)
    payload = one.payload.decode().replace("%", "%%")
    stands_for = {one.id: "id", _SOMEBODY: "user", _SOMETHING: "assignment", format_time(_SOMETIME): "time"}
    for stand_in, name in stands_for.items():
        payload = payload.replace(stand_in, f"%({name})s")
    return _Letter(MISSION_TYPES[type(data)], one.topic, payload)


@lru_cache(maxsize=LETTERS_MAX)
def _assigned_letter(compiled: CompiledMission, starts_at: datetime, expires_at: datetime | None) -> _Letter:
    mission = compiled.mission
    data = MissionAssigned.model_validate(
        {
            "assignment_id": _SOMETHING,
            "mission_id": mission.id,
            "mission_version": mission.version,
            "mission_type": mission.type,
            "starts_at": starts_at,
            "expires_at": expires_at,
            "objectives": [{"id": o.id, "target": o.target} for o in mission.objectives],
        }
    )
    return _letter(data, starts_at)


@lru_cache(maxsize=LETTERS_MAX)
def _completed_letter(compiled: CompiledMission, claimable_until: datetime | None) -> _Letter:
    data = MissionCompleted.model_validate(
        {
            "assignment_id": _SOMETHING,
            "mission_id": compiled.mission.id,
            "mission_version": compiled.mission.version,
            "mission_type": compiled.mission.type,
            "completed_at": _SOMETIME,
            "claimable_until": claimable_until,
            "rewards": list(compiled.rewards),
        }
    )
    return _letter(data, _SOMETIME)


def _announcement(user_id: str, data: MissionData, time: datetime) -> Announcement:
    topic = topic_of(MISSION_TYPES[type(data)]).name
    return Announcement(topic, event_id(data), user_id, encode(data, subject=user_id, time=time))
