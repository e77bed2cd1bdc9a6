"""The six events in: what the learning services publish, with models of `data` and of the whole event."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from mission_events.envelope import Envelope
from mission_events.fields import (
    MAX_COUNT,
    MAX_XP,
    Count,
    EventModel,
    Fraction,
    Identifier,
    Seconds,
    ShortText,
    ZoneName,
)

XpSource = Literal["lesson", "practice", "streak_repair", "challenge", "mission_reward", "other"]
Difficulty = Literal["easy", "medium", "hard"]
StreakChange = Literal["extended", "frozen", "repaired", "broken"]


class LessonCompleted(EventModel):
    """A user finished a lesson. It adds no XP: that is an event of its own."""

    lesson_id: Identifier
    chapter_id: Identifier
    unit_id: Identifier
    language: Identifier
    """The language that is learnt, as a short name such as `python`, `cpp` or `es`."""
    lesson_type: Identifier
    """`core`, `practice`, `review`, `story`, `boss_challenge`, or one that is new."""
    hearts_lost: Count
    duration_seconds: Seconds
    accuracy: Fraction | None = None
    """Share of right answers, 0 to 1."""
    chapter_progress: Fraction | None = None
    """How much of the chapter is done after this lesson, 0 to 1."""
    unit_progress: Fraction | None = None
    """How much of the unit is done after this lesson, 0 to 1."""


class XpEarned(EventModel):
    """A user earned XP, from whatever source. The only event that XP is counted by."""

    amount: Annotated[int, Field(ge=1, le=MAX_XP)]
    xp_source: XpSource
    language: Identifier | None = None


class QuestionAnswered(EventModel):
    """A user answered a question, rightly or wrongly."""

    question_id: Identifier
    correct: bool
    difficulty: Difficulty
    topic_id: Identifier
    chapter_id: Identifier
    language: Identifier
    concept_id: Identifier | None = None
    """What the question teaches, such as one keyword."""
    concept_kind: Identifier | None = None
    """The kind of concept: `keyword`, or another."""


class StreakUpdated(EventModel):
    """The streak of a user changed."""

    days: Count
    """The length of the streak after the change."""
    day: date
    """The day it is about, in the user's own calendar: `YYYY-MM-DD`."""
    change: StreakChange


class ItemUsed(EventModel):
    """A user used something they own."""

    item_id: Identifier
    item_type: Identifier
    """`streak_freeze`, `extra_heart`, `xp_boost`, or one that is new."""
    quantity: Annotated[int, Field(ge=1, le=MAX_COUNT)]


class SessionStarted(EventModel):
    """A user opened the app; it tells which time zone their days are in."""

    timezone: ZoneName
    """IANA name, such as `Europe/Berlin`; never an offset."""
    locale: ShortText | None = None
    platform: Identifier | None = None
    app_version: ShortText | None = None


class LessonCompletedEvent(Envelope):
    """A user finished a lesson."""

    type: Literal["learning.lesson-completed.v1"]
    data: LessonCompleted


class XpEarnedEvent(Envelope):
    """A user earned XP."""

    type: Literal["learning.xp-earned.v1"]
    data: XpEarned


class QuestionAnsweredEvent(Envelope):
    """A user answered a question."""

    type: Literal["learning.question-answered.v1"]
    data: QuestionAnswered


class StreakUpdatedEvent(Envelope):
    """The streak of a user changed."""

    type: Literal["learning.streak-updated.v1"]
    data: StreakUpdated


class ItemUsedEvent(Envelope):
    """A user used an item."""

    type: Literal["learning.item-used.v1"]
    data: ItemUsed


class SessionStartedEvent(Envelope):
    """A user opened the app."""

    type: Literal["learning.session-started.v1"]
    data: SessionStarted


LearningData = LessonCompleted | XpEarned | QuestionAnswered | StreakUpdated | ItemUsed | SessionStarted

LearningEnvelope = Annotated[
    LessonCompletedEvent
    | XpEarnedEvent
    | QuestionAnsweredEvent
    | StreakUpdatedEvent
    | ItemUsedEvent
    | SessionStartedEvent,
    Field(discriminator="type"),
]

LEARNING_EVENTS: dict[str, type[Envelope]] = {
    "learning.lesson-completed.v1": LessonCompletedEvent,
    "learning.xp-earned.v1": XpEarnedEvent,
    "learning.question-answered.v1": QuestionAnsweredEvent,
    "learning.streak-updated.v1": StreakUpdatedEvent,
    "learning.item-used.v1": ItemUsedEvent,
    "learning.session-started.v1": SessionStartedEvent,
}
"""The whole event by its type, in the order of the contract."""

LEARNING_TYPES: dict[type[LearningData], str] = {
    LessonCompleted: "learning.lesson-completed.v1",
    XpEarned: "learning.xp-earned.v1",
    QuestionAnswered: "learning.question-answered.v1",
    StreakUpdated: "learning.streak-updated.v1",
    ItemUsed: "learning.item-used.v1",
    SessionStarted: "learning.session-started.v1",
}
"""The event type by the model of its `data`."""

LEARNING_MODELS: dict[str, type[LearningData]] = {event_type: model for model, event_type in LEARNING_TYPES.items()}
"""The model of `data` by the event type."""
