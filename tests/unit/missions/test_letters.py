"""Announcements that are filled in from a letter are, byte for byte, what the codec writes for the event itself."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import pytest

from mission_events import MissionAssigned, MissionCompleted, decode_out, encode, event_id
from mission_events.uuids import uuid5_texts
from services.missions.announcements import assigned, completed
from services.missions.state import Assignment, ObjectiveState, Status
from tests.support.builders import catalogue, mission

STARTS = datetime(2026, 11, 22, tzinfo=UTC)
ENDS = STARTS + timedelta(days=1)
MISSION = mission(rewards=[{"kind": "item", "item_id": "100_percent", "amount": 2}, {"kind": "xp", "amount": 5}])
CATALOGUE = catalogue(MISSION)
REWARDS = [{"kind": "item", "item_id": "100_percent", "amount": 2}, {"kind": "xp", "amount": 5}]


def _assignment(completed_at: datetime | None = None, claimable_until: datetime | None = None) -> Assignment:
    return Assignment(
        "3f2c", MISSION.id, 1, STARTS, ENDS, Status.IN_PROGRESS, [ObjectiveState()],
        completed_at=completed_at, claimable_until=claimable_until,
    )  # fmt: skip


@pytest.mark.parametrize("until", [None, ENDS + timedelta(days=7), ENDS + timedelta(days=7, microseconds=250_000)])
@pytest.mark.parametrize("fraction", [0, 1, 250_000, 999_999])
def test_a_completion_reads_as_the_codec_writes_it(fraction: int, until: datetime | None) -> None:
    """Whole seconds, milliseconds, microseconds; with and without an end of the grace."""
    at = STARTS + timedelta(hours=8, microseconds=fraction)
    data = MissionCompleted.model_validate(
        {
            "assignment_id": "3f2c",
            "mission_id": MISSION.id,
            "mission_version": 1,
            "mission_type": MISSION.type,
            "completed_at": at,
            "claimable_until": until,
            "rewards": REWARDS,
        }
    )
    told = completed("user-42", _assignment(at, until), CATALOGUE)
    assert told.payload == encode(data, subject="user-42", time=at)
    assert told.id == event_id(data)


def test_an_assignment_reads_as_the_codec_writes_it() -> None:
    """And the codec reads it back."""
    objectives = [{"id": o.id, "target": o.target} for o in MISSION.objectives]
    data = MissionAssigned.model_validate(
        {
            "assignment_id": "3f2c",
            "mission_id": MISSION.id,
            "mission_version": 1,
            "mission_type": MISSION.type,
            "starts_at": STARTS,
            "expires_at": ENDS,
            "objectives": objectives,
        }
    )
    told = assigned("user-42", _assignment(), CATALOGUE)
    assert told.payload == encode(data, subject="user-42", time=STARTS)
    assert getattr(decode_out(told.payload), "data", None) == data


def test_ids_are_those_of_the_standard_library() -> None:
    """All variants of the digest come up in so many names."""
    namespace = UUID("6f2bdc1e-6a50-5d0e-9a52-7d1f4b1c0a33")
    text = uuid5_texts(namespace)
    for number in range(200):
        assert text(f"größe/{number}") == str(uuid5(namespace, f"größe/{number}"))
