"""Claims: when COMPLETED becomes CLAIMED, and what is granted. The mission version decides the rewards, never the client."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .catalogue import Catalogue
from .ids import grant_id
from .state import Assignment, Status, UserState


@dataclass(frozen=True, slots=True)
class Grant:
    """The recorded entitlement of one assignment; equal for every claim of it."""

    grant_id: str
    assignment_id: str
    mission_id: str
    granted_at: datetime
    rewards: Sequence[Mapping[str, Any]]
    """As they stand in JSON: `[{"kind": "gems", "amount": 10}, …]`."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The claim turned the assignment into CLAIMED."""

    assignment: Assignment
    grant: Grant


@dataclass(frozen=True, slots=True)
class AlreadyClaimed:
    """It was claimed before; this is the grant of then."""

    assignment: Assignment
    grant: Grant


@dataclass(frozen=True, slots=True)
class NotCompleted:
    """It is in progress, or ended without being completed."""

    assignment: Assignment


@dataclass(frozen=True, slots=True)
class ClaimExpired:
    """It was completed, and not claimed before its `claimable_until`."""

    assignment: Assignment


@dataclass(frozen=True, slots=True)
class Unknown:
    """The state holds no such assignment: it is somebody else's, was never issued, or is over."""

    assignment_id: str


ClaimResult = Claimed | AlreadyClaimed | NotCompleted | ClaimExpired | Unknown


def claim(state: UserState, assignment_id: str, now: datetime, catalogue: Catalogue) -> ClaimResult:
    """Claims an assignment of this user at the instant `now`. Only `Claimed` changes the state, in place.

    Raises `catalogue.UnknownMission` when only a newer catalogue has the mission version.
    """
    assignment = next((a for a in state.assignments if a.assignment_id == assignment_id), None)
    if assignment is None:
        return Unknown(assignment_id)
    match assignment.status:
        case Status.IN_PROGRESS | Status.EXPIRED:
            return NotCompleted(assignment)
        case Status.CLAIMED:
            return AlreadyClaimed(assignment, _grant(assignment, assignment.claimed_at or now, catalogue))
        case Status.COMPLETED:
            if assignment.claimable_until is not None and now >= assignment.claimable_until:
                return ClaimExpired(assignment)
            return _claimed(state, assignment, now, catalogue)


def claim_by_itself(state: UserState, now: datetime, catalogue: Catalogue) -> list[Claimed]:
    """Claims, in place, what nobody claimed in its grace and whose mission says `then: auto_claim`."""
    overdue = [
        assignment
        for assignment in state.assignments
        if assignment.status is Status.COMPLETED
        and assignment.claimable_until is not None
        and now >= assignment.claimable_until
        and catalogue.get(assignment.mission_id, assignment.mission_version).mission.claim.then == "auto_claim"
    ]
    return [_claimed(state, assignment, now, catalogue) for assignment in overdue]


def _claimed(state: UserState, assignment: Assignment, now: datetime, catalogue: Catalogue) -> Claimed:
    grant = _grant(assignment, now, catalogue)
    assignment.status = Status.CLAIMED
    assignment.claimed_at = now
    if assignment.mission_id not in state.claimed_missions:
        state.claimed_missions.append(assignment.mission_id)
        if assignment.mission_id in catalogue.required:
            state.catalogue_revision = 0  # the next look issues the once and season missions that this opens
    return Claimed(assignment, grant)


def _grant(assignment: Assignment, granted_at: datetime, catalogue: Catalogue) -> Grant:
    compiled = catalogue.get(assignment.mission_id, assignment.mission_version)
    return Grant(
        grant_id=grant_id(assignment.assignment_id),
        assignment_id=assignment.assignment_id,
        mission_id=assignment.mission_id,
        granted_at=granted_at,
        rewards=compiled.rewards,
    )
