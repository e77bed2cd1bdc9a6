"""What definitions may name: the fields of the events (read from the event models), history facts, audience facts, parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mission_events.learning import LEARNING_MODELS

LESSON_COMPLETED = "learning.lesson-completed.v1"
XP_EARNED = "learning.xp-earned.v1"
QUESTION_ANSWERED = "learning.question-answered.v1"
STREAK_UPDATED = "learning.streak-updated.v1"
ITEM_USED = "learning.item-used.v1"
SESSION_STARTED = "learning.session-started.v1"

QUESTIONS_SEEN_MAX = 50
"""Different questions of a user that are counted: the most that a mission can be fitted to. Counting on would change the state at
each new question, for nothing."""

HISTORY_PREFIX = "history."
"""Marks a fact that is derived from the user's own history before matching."""


class Kind(StrEnum):
    """What a field holds, in the words that messages use."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    FLAG = "true or false"
    DATE = "date"
    LIST = "list of texts"


@dataclass(frozen=True, slots=True)
class Field:
    """What is known of one field's values."""

    kind: Kind
    values: frozenset[str] | None = None
    """All values that there are, when the set is closed."""
    least: float | None = None
    most: float | None = None


_KINDS = {"string": Kind.TEXT, "integer": Kind.INTEGER, "number": Kind.NUMBER, "boolean": Kind.FLAG}


def _field(schema: Mapping[str, Any]) -> Field:
    for option in schema.get("anyOf", ()):
        if option.get("type") != "null":
            return _field(option)
    kind = Kind.DATE if schema.get("format") == "date" else _KINDS[schema["type"]]
    values = frozenset(schema["enum"]) if "enum" in schema else None
    return Field(kind, values, schema.get("minimum"), schema.get("maximum"))


EVENT_FIELDS: Mapping[str, Mapping[str, Field]] = {
    event_type: {name: _field(schema) for name, schema in model.model_json_schema()["properties"].items()}
    for event_type, model in LEARNING_MODELS.items()
}
"""The fields of each event type's data, as the event models declare them."""

HISTORY_FIELDS: Mapping[str, Field] = {
    "history.open_mistake": Field(Kind.FLAG),
    "history.mistake_age_days": Field(Kind.INTEGER, least=0),
    "history.days_since_seen": Field(Kind.INTEGER, least=0),
    "history.topic_weak": Field(Kind.FLAG),
}
"""Facts about the answered question and this user; question-answered events only."""

AUDIENCE_FACTS: Mapping[str, Field] = {
    "days_active": Field(Kind.INTEGER, least=1),
    "languages": Field(Kind.LIST),
    "language": Field(Kind.TEXT),
    "chapter": Field(Kind.TEXT),
    "open_mistakes": Field(Kind.INTEGER, least=0),
    "mistakes_yesterday": Field(Kind.INTEGER, least=0),
    "questions_seen": Field(Kind.INTEGER, least=0, most=QUESTIONS_SEEN_MAX),
    "current_streak": Field(Kind.INTEGER, least=0),
    "chapters_completed": Field(Kind.INTEGER, least=0),
    "units_completed": Field(Kind.INTEGER, least=0),
    "zone": Field(Kind.TEXT),
}
"""Facts about a user that `audience` may ask for; `profile.facts` gives them."""

FIT_FACTS = ("open_mistakes", "mistakes_yesterday", "questions_seen")
"""Facts that count what a mission can be done on; `fit` may name them."""

PARAMETERS: Mapping[str, Field] = {
    "current_chapter": Field(Kind.TEXT),
    "language": Field(Kind.TEXT),
    "weak_topics": Field(Kind.LIST),
}
"""`$name` operands, fixed when a mission is assigned; `profile.parameters` gives their values."""


def fields_of(event_type: str) -> Mapping[str, Field]:
    """Every field that a `where` on this event type may name; empty for an unknown type."""
    fields = EVENT_FIELDS.get(event_type, {})
    return {**fields, **HISTORY_FIELDS} if event_type == QUESTION_ANSWERED else fields
