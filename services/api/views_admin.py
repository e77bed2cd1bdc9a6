"""What the admin calls answer with: missions in a list, and one mission whole."""

from datetime import datetime
from typing import Any

import msgspec

from services.adapters.ledger.catalogue import Listed
from services.missions.lifecycle import MissionState

from .manage_missions import Whole


class ListedMission(msgspec.Struct):
    """A mission in the list, by its newest version, else by its draft."""

    mission_id: str
    state: MissionState
    version: int | None
    type: str
    period: str
    title: dict[str, str]
    opens_at: datetime | None
    closes_at: datetime | None
    is_issued: bool
    """Whether users get it now: it is published, and a season is open."""
    has_draft: bool
    published_at: datetime | None
    published_by: str | None


class MissionList(msgspec.Struct, omit_defaults=True):
    """A page of missions."""

    missions: list[ListedMission]
    next_cursor: str | None = None


class MissionDraft(msgspec.Struct):
    """What the next version of a mission will be."""

    definition: dict[str, Any]
    changed_at: datetime
    changed_by: str


class PublishedVersion(msgspec.Struct):
    """A version of a mission; its definition never changes."""

    version: int
    state: MissionState
    definition: dict[str, Any]
    published_at: datetime
    published_by: str | None


class RecordedChange(msgspec.Struct):
    """Who did what to a mission, when and why."""

    action: str
    version: int | None
    from_state: str | None
    to_state: str | None
    changed_by: str
    changed_at: datetime
    reason: str | None


class WholeMission(msgspec.Struct):
    """A mission with all versions, newest first, its draft, and the newest changes."""

    mission_id: str
    state: MissionState
    draft: MissionDraft | None
    versions: list[PublishedVersion]
    changes: list[RecordedChange]


class ValidMission(msgspec.Struct):
    """The definition could be a draft now. It is given back as it would be stored."""

    mission_id: str
    definition: dict[str, Any]


def listed(mission: Listed, now: datetime) -> ListedMission:
    """A mission as the list shows it."""
    definition = mission.definition
    opens_at, closes_at = _instant(definition.get("opens_at")), _instant(definition.get("closes_at"))
    is_open = opens_at is None or closes_at is None or opens_at <= now < closes_at
    return ListedMission(
        mission_id=mission.mission_id,
        state=mission.state,
        version=mission.version,
        type=definition["type"],
        period=definition["period"],
        title=definition["title"],
        opens_at=opens_at,
        closes_at=closes_at,
        is_issued=mission.state is MissionState.PUBLISHED and is_open,
        has_draft=mission.has_draft,
        published_at=mission.published_at,
        published_by=mission.published_by,
    )


def whole(mission: Whole) -> WholeMission:
    """A mission as it is shown alone."""
    draft = mission.draft
    return WholeMission(
        mission_id=mission.mission_id,
        state=mission.state,
        draft=MissionDraft(draft.definition, draft.changed_at, draft.changed_by) if draft else None,
        versions=[
            PublishedVersion(v.version, v.state, v.definition, v.published_at, v.published_by) for v in mission.versions
        ],
        changes=[
            RecordedChange(c.action, c.version, c.from_state, c.to_state, c.changed_by, c.changed_at, c.reason)
            for c in mission.changes
        ],
    )


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
