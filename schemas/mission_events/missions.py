"""The events out: what the mission system publishes about assignments and grants, and the rewards in them."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from mission_events.envelope import Envelope
from mission_events.fields import (
    MAX_COUNT,
    MAX_EXACT_INTEGER,
    MAX_LIST_ITEMS,
    MAX_XP,
    EventModel,
    Identifier,
    Instant,
)
from mission_events.uuids import uuid5_texts

SOURCE = "mission-system"
"""The `source` of every event out."""

EVENT_ID_NAMESPACE = UUID("6f2bdc1e-6a50-5d0e-9a52-7d1f4b1c0a33")
"""Event ids are uuid5 in this namespace. It must never change: one id means one payload, for ever."""

_uuid5 = uuid5_texts(EVENT_ID_NAMESPACE)

MissionType = Literal["daily", "weekly", "skill_practice", "streak", "language", "special"]
Amount = Annotated[int, Field(ge=1, le=MAX_COUNT)]


class XpReward(EventModel):
    """XP for the user."""

    kind: Literal["xp"]
    amount: Annotated[int, Field(ge=1, le=MAX_XP)]


class GemsReward(EventModel):
    """Gems for the user."""

    kind: Literal["gems"]
    amount: Amount


class ItemReward(EventModel):
    """So many of an item, such as a streak freeze."""

    kind: Literal["item"]
    item_id: Identifier
    amount: Amount = 1


class BadgeReward(EventModel):
    """A badge; a user has it or has it not."""

    kind: Literal["badge"]
    badge_id: Identifier
    amount: Literal[1] = 1


class UnlockReward(EventModel):
    """Content that opens for the user."""

    kind: Literal["unlock"]
    content_id: Identifier
    amount: Literal[1] = 1


Reward = Annotated[XpReward | GemsReward | ItemReward | BadgeReward | UnlockReward, Field(discriminator="kind")]
REWARD_KINDS = frozenset({"xp", "gems", "item", "badge", "unlock"})
Rewards = Annotated[list[Reward], Field(max_length=MAX_LIST_ITEMS)]


class ObjectiveTarget(EventModel):
    """One measurable part of an assigned mission and how much it needs."""

    id: Identifier
    target: Annotated[int, Field(ge=1, le=MAX_EXACT_INTEGER)]


class MissionAssigned(EventModel):
    """A user was given a mission for one period, `starts_at` ≤ t < `expires_at`."""

    assignment_id: Identifier
    mission_id: Identifier
    mission_version: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    mission_type: MissionType
    starts_at: Instant
    expires_at: Instant | None = None
    """Absent for a mission that never ends."""
    objectives: Annotated[list[ObjectiveTarget], Field(min_length=1, max_length=MAX_LIST_ITEMS)]


class MissionCompleted(EventModel):
    """A user completed a mission; its rewards wait to be claimed until `claimable_until`."""

    assignment_id: Identifier
    mission_id: Identifier
    mission_version: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    mission_type: MissionType
    completed_at: Instant
    claimable_until: Instant | None = None
    """Absent for a mission that never ends: claim it at any time."""
    rewards: Rewards


class RewardGranted(EventModel):
    """A user is entitled to these rewards. The id of the event is the `grant_id`: pay each one out once."""

    grant_id: Identifier
    assignment_id: Identifier
    mission_id: Identifier
    granted_at: Instant
    rewards: Rewards


class MissionExpired(EventModel):
    """A mission ended without being completed. Published only when no late event can complete it any more."""

    assignment_id: Identifier
    mission_id: Identifier
    expired_at: Instant
    progress: Annotated[int, Field(ge=0, le=MAX_EXACT_INTEGER)]


class MissionAssignedEvent(Envelope):
    """A user was given a mission."""

    type: Literal["missions.mission-assigned.v1"]
    data: MissionAssigned


class MissionCompletedEvent(Envelope):
    """A user completed a mission."""

    type: Literal["missions.mission-completed.v1"]
    data: MissionCompleted


class RewardGrantedEvent(Envelope):
    """A user is entitled to rewards."""

    type: Literal["missions.reward-granted.v1"]
    data: RewardGranted


class MissionExpiredEvent(Envelope):
    """A mission ended without being completed."""

    type: Literal["missions.mission-expired.v1"]
    data: MissionExpired


MissionData = MissionAssigned | MissionCompleted | RewardGranted | MissionExpired

MissionEnvelope = Annotated[
    MissionAssignedEvent | MissionCompletedEvent | RewardGrantedEvent | MissionExpiredEvent,
    Field(discriminator="type"),
]

MISSION_EVENTS: dict[str, type[Envelope]] = {
    "missions.mission-assigned.v1": MissionAssignedEvent,
    "missions.mission-completed.v1": MissionCompletedEvent,
    "missions.reward-granted.v1": RewardGrantedEvent,
    "missions.mission-expired.v1": MissionExpiredEvent,
}
"""The whole event by its type, in the order of the contract."""

MISSION_TYPES: dict[type[MissionData], str] = {
    MissionAssigned: "missions.mission-assigned.v1",
    MissionCompleted: "missions.mission-completed.v1",
    RewardGranted: "missions.reward-granted.v1",
    MissionExpired: "missions.mission-expired.v1",
}
"""The event type by the model of its `data`."""

MISSION_MODELS: dict[str, type[MissionData]] = {event_type: model for model, event_type in MISSION_TYPES.items()}
"""The model of `data` by the event type."""


def event_id(data: MissionData) -> str:
    """The one id of an event out with this data: the grant's own, else a uuid5 of type and assignment."""
    if isinstance(data, RewardGranted):
        return data.grant_id
    return assignment_event_id(MISSION_TYPES[type(data)], data.assignment_id)


def assignment_event_id(event_type: str, assignment_id: str) -> str:
    """The one id of an event out of this type about this assignment."""
    return _uuid5(f"{event_type}/{assignment_id}")
