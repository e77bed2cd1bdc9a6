"""Deterministic ids: whoever issues, completes or grants the same thing gives it the same id."""

from datetime import UTC, datetime
from uuid import UUID

from mission_events.uuids import uuid5_texts

NAMESPACE = UUID("d1f6a0f4-5a86-5a39-9c53-2f8f4b8a7e10")
"""Ids are uuid5 in this namespace. It must never change: ids are promises to other systems."""

uuid5_text = uuid5_texts(NAMESPACE)
"""The id that follows from a name."""


def assignment_id(user_id: str, mission_id: str, starts_at: datetime) -> str:
    """The id of the user's assignment of this mission for the period that starts then."""
    return uuid5_text(f"assignment/{user_id}/{mission_id}/{starts_at.astimezone(UTC).isoformat()}")


def grant_id(assignment: str) -> str:
    """The id of the one grant that an assignment can lead to."""
    return uuid5_text(f"grant/{assignment}")
