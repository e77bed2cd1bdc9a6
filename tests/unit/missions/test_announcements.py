"""The events out, as a consumer decodes them: one id and one payload for each thing that happened."""

from datetime import timedelta

import pytest

from mission_events import OutEvent, decode_out, encode
from mission_events.missions import MissionAssigned, MissionCompleted, MissionExpired, RewardGranted
from services.missions.announcements import Announcement, assigned, completed, expired, granted
from services.missions.claiming import Claimed, claim
from services.missions.state import Status, UserState
from tests.support.builders import MIDNIGHT, NEXT_MIDNIGHT, NOON, USER, assignment, catalogue, mission, objective

TWO = mission(objective(target=3, id="lessons"), objective(id="more"))
KNOWN = catalogue(TWO)


def read(announcement: Announcement) -> OutEvent:
    event = decode_out(announcement.payload)
    assert isinstance(event, OutEvent)
    assert (event.id, event.subject) == (announcement.id, announcement.user_id)
    assert announcement.topic == event.type.removesuffix(".v1")
    return event


def test_an_assignment_is_announced_with_its_bounds_and_targets() -> None:
    event = read(assigned(USER, assignment(TWO), KNOWN))
    assert isinstance(event.data, MissionAssigned)
    assert (event.time, event.data.starts_at, event.data.expires_at) == (MIDNIGHT, MIDNIGHT, NEXT_MIDNIGHT)
    assert [(o.id, o.target) for o in event.data.objectives] == [("lessons", 3), ("more", 1)]


@pytest.mark.parametrize("user", ["user-1", "user-2", "somebody:else", "a" * 128])
def test_the_letter_to_many_says_what_a_letter_to_one_would(user: str) -> None:
    held = assignment(TWO, expires_at=None)
    announcement = assigned(user, held, KNOWN)
    data = read(announcement).data
    assert isinstance(data, MissionAssigned)
    assert data.assignment_id == held.assignment_id
    assert announcement.payload == encode(data, subject=user, time=MIDNIGHT)


def test_a_completion_is_announced_with_its_rewards() -> None:
    done = assignment(TWO, status=Status.COMPLETED, completed_at=NOON, claimable_until=NOON + timedelta(days=7))
    event = read(completed(USER, done, KNOWN))
    assert isinstance(event.data, MissionCompleted)
    assert (event.time, event.data.completed_at) == (NOON, NOON)
    assert [(r.kind, r.amount) for r in event.data.rewards] == [("gems", 10)]


def test_what_is_not_completed_is_not_announced_as_completed() -> None:
    with pytest.raises(ValueError, match="is not completed"):
        completed(USER, assignment(TWO), KNOWN)


def test_a_grant_is_announced_under_its_own_id() -> None:
    done = assignment(TWO, status=Status.COMPLETED, completed_at=NOON)
    result = claim(UserState(USER, assignments=[done]), done.assignment_id, NOON, KNOWN)
    assert isinstance(result, Claimed)
    event = read(granted(USER, result.grant))
    assert isinstance(event.data, RewardGranted)
    assert (event.id, event.data.granted_at) == (result.grant.grant_id, NOON)


@pytest.mark.parametrize(("reached", "progress"), [([], 0), ([3, 0], 1), ([2, 0], 0)])
def test_an_end_is_announced_with_what_was_reached(reached: list[float], progress: int) -> None:
    over = assignment(TWO)
    event = read(
        expired(
            USER,
            assignment_id=over.assignment_id,
            mission_id=over.mission_id,
            mission_version=over.mission_version,
            expired_at=NEXT_MIDNIGHT,
            progress=reached,
            catalogue=KNOWN,
        )
    )
    assert isinstance(event.data, MissionExpired)
    assert (event.data.expired_at, event.data.progress) == (NEXT_MIDNIGHT, progress)


def test_the_same_thing_is_announced_with_the_same_bytes() -> None:
    assert assigned(USER, assignment(TWO), KNOWN) == assigned(USER, assignment(TWO), catalogue(TWO))
