"""Builds events, missions and assignments for tests: each builder has defaults that matter to nobody, and names what a test says."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from mission_events import Event
from mission_events.learning import (
    LEARNING_TYPES,
    ItemUsed,
    LearningData,
    LessonCompleted,
    QuestionAnswered,
    SessionStarted,
    StreakUpdated,
    XpEarned,
)
from services.missions.catalogue import Catalogue, parse_catalogue
from services.missions.compiled import CompiledMission
from services.missions.decide import Decision, Recorded, decide
from services.missions.definition import Mission
from services.missions.ids import assignment_id
from services.missions.periods import change_zone
from services.missions.state import Assignment, ObjectiveState, QuestionRecord, Status, UserState, ZoneSegment

USER = "user-42"
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
"""A Wednesday."""
MIDNIGHT = datetime(2026, 11, 25, tzinfo=UTC)
NEXT_MIDNIGHT = datetime(2026, 11, 26, tzinfo=UTC)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)

_numbers = count(1)


def at(text: str) -> datetime:
    """An instant from a short text: `2026-11-25 08:30` is UTC, `2026-11-25 08:30+01:00` has its offset."""
    instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def event(data: LearningData, time: datetime = NOON, *, user: str = USER, id: str | None = None) -> Event:  # noqa: A002
    """An event as the codec decodes it."""
    event_type = LEARNING_TYPES[type(data)]
    return Event(id or f"event-{next(_numbers)}", "test", event_type, user, time, data.__dict__)


def recorded(data: LearningData, time: datetime = NOON, *, late_by: timedelta = timedelta(0)) -> Recorded:
    """An event and its record's timestamp."""
    return Recorded(event(data, time), time + late_by)


def lesson(**fields: Any) -> LessonCompleted:
    """A finished lesson."""
    defaults: dict[str, Any] = {
        "lesson_id": "lesson-1",
        "chapter_id": "chapter-1",
        "unit_id": "unit-1",
        "language": "python",
        "lesson_type": "core",
        "hearts_lost": 0,
        "duration_seconds": 60.0,
    }
    return LessonCompleted.model_validate({**defaults, **fields})


def xp(amount: int, **fields: Any) -> XpEarned:
    """Earned XP."""
    return XpEarned.model_validate({"amount": amount, "xp_source": "lesson", **fields})


def answer(question: str = "question-1", *, correct: bool = True, **fields: Any) -> QuestionAnswered:
    """An answered question."""
    defaults: dict[str, Any] = {
        "question_id": question,
        "correct": correct,
        "difficulty": "easy",
        "topic_id": "topic-1",
        "chapter_id": "chapter-1",
        "language": "python",
    }
    return QuestionAnswered.model_validate({**defaults, **fields})


def streak(days: int, day: str, change: str = "extended") -> StreakUpdated:
    """A streak after a day."""
    return StreakUpdated.model_validate({"days": days, "day": datetime.fromisoformat(day).date(), "change": change})


def item(quantity: int = 1, item_type: str = "xp_boost") -> ItemUsed:
    """A used item."""
    return ItemUsed.model_validate({"item_id": "item-1", "item_type": item_type, "quantity": quantity})


def session(zone: str = "Europe/Berlin") -> SessionStarted:
    """An opened app."""
    return SessionStarted.model_validate({"timezone": zone})


def objective(
    measure: Any = "count",
    target: int = 1,
    *,
    event: str = "lesson-completed",
    where: Mapping[str, Any] | None = None,
    id: str = "objective-1",  # noqa: A002
) -> dict[str, Any]:
    """Data of an objective; `event` without its `learning.` and version."""
    return {"id": id, "event": f"learning.{event}.v1", "where": where or {}, "measure": measure, "target": target}


def mission_data(*objectives: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """Data of a daily mission that everybody gets."""
    return {
        "id": "mission-1",
        "type": "daily",
        "title": {"en": "A mission"},
        "period": "daily",
        "objectives": [dict(o) for o in objectives] or [objective()],
        "rewards": [{"kind": "gems", "amount": 10}],
        **fields,
    }


def mission(*objectives: Mapping[str, Any], **fields: Any) -> Mission:
    """A checked mission. Fails on data with problems."""
    data = mission_data(*objectives, **fields)
    others = [mission_data(id=name) for name in fields.get("requires", ())]
    if "otherwise" in data:
        others.append(mission_data(id=data["otherwise"], period=data["period"], stand_in=True))
    if data.get("stand_in"):
        others.append(mission_data(id="slot", period=data["period"], fit={"to": "open_mistakes"}, otherwise=data["id"]))
    missions, problems = parse_catalogue({"missions": [data, *others]}, "test")
    assert not problems, "\n".join(map(str, problems))
    return missions[0]


def catalogue(*missions: Mission, revision: int = 1) -> Catalogue:
    """A catalogue of these missions."""
    return Catalogue(missions, revision)


def compiled(*objectives: Mapping[str, Any], **fields: Any) -> CompiledMission:
    """A mission ready to match."""
    built = mission(*objectives, **fields)
    return catalogue(built).get(built.id, built.version)


def assignment(
    of: Mission | None = None,
    starts_at: datetime = MIDNIGHT,
    expires_at: datetime | None = NEXT_MIDNIGHT,
    **fields: Any,
) -> Assignment:
    """An open assignment of a mission, for that Wednesday."""
    of = of or mission()
    defaults: dict[str, Any] = {
        "assignment_id": assignment_id(USER, of.id, starts_at),
        "mission_id": of.id,
        "mission_version": of.version,
        "starts_at": starts_at,
        "expires_at": expires_at,
        "status": Status.IN_PROGRESS,
        "objectives": [ObjectiveState() for _ in of.objectives],
    }
    return Assignment(**{**defaults, **fields})


def living_in(zone: str, since: datetime = LONG_AGO) -> list[ZoneSegment]:
    """Zone segments of somebody who never moved."""
    return change_zone([], zone, since)


def play(
    missions: Catalogue,
    events: Sequence[Recorded],
    state: UserState | None = None,
    questions: Mapping[str, QuestionRecord] | None = None,
) -> Decision:
    """Decides events of one user, who is new if no state is given."""
    return decide(state or UserState(USER), events, questions or {}, missions)


def statuses(state: UserState) -> dict[str, tuple[str, list[float]]]:
    """Mission id -> (status, progress of each objective)."""
    return {a.mission_id: (str(a.status), [o.progress for o in a.objectives]) for a in state.assignments}
