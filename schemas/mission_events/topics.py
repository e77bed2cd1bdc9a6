"""The topics as data: what is in each, who writes and reads it, and how Kafka keeps it."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Self

LOCAL_PARTITIONS = 4
"""Partitions of a topic out, unless a deployment sets more: enough to see several at work on one machine."""

LEARNING_PARTITIONS = 12
"""Partitions of each topic in, the same for all, so that a user's events have one number everywhere. The more there are, the more events
of each user a batch of one number holds, and a user is written once for all of them; 1, 2, 3, 4, 6 or 12 processors have equal parts."""

LEARNING_RETENTION = timedelta(days=35)
"""As long as the event log, so that whatever can still count can still be replayed."""

MISSIONS_RETENTION = timedelta(days=7)
"""A consumer may be down for a week; it must know ids that it has seen for at least as long."""

GRANTS_RETENTION = timedelta(days=35)
"""Grants are owed to users, so their consumer gets more time."""

KAFKA_MAX_MESSAGE_BYTES = 1_048_588
"""Kafka's own default: 1 MiB and a batch's overhead, so that an oversize event is refused with a reason."""

DEAD_LETTER_MAX_MESSAGE_BYTES = 2 * 1024 * 1024
"""Any original record that fits its topic, and its headers again with ours."""

_VERSION = ".v1"


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `event_type` is None where the values are not events; events have the user id as key."""

    name: str
    event_type: str | None
    description: str
    key: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    retention: timedelta
    partitions: int = LOCAL_PARTITIONS
    max_message_bytes: int = KAFKA_MAX_MESSAGE_BYTES
    cleanup_policy: str = "delete"

    def with_prefix(self, prefix: str) -> Self:
        """The same topic under a name of its own deployment; the event type stays."""
        return replace(self, name=prefix + self.name)

    def config(self) -> dict[str, str]:
        """Kafka's topic settings."""
        return {
            "cleanup.policy": self.cleanup_policy,
            "retention.ms": str(self.retention // timedelta(milliseconds=1)),
            "max.message.bytes": str(self.max_message_bytes),
        }


def _learning(name: str, producer: str, description: str) -> Topic:
    return Topic(
        name=f"learning.{name}",
        event_type=f"learning.{name}{_VERSION}",
        description=description,
        key="user id",
        producers=(producer,),
        consumers=("missions processor",),
        retention=LEARNING_RETENTION,
        partitions=LEARNING_PARTITIONS,
    )


def _missions(name: str, description: str, *consumers: str, retention: timedelta = MISSIONS_RETENTION) -> Topic:
    return Topic(
        name=f"missions.{name}",
        event_type=f"missions.{name}{_VERSION}",
        description=description,
        key="user id",
        producers=("missions relay",),
        consumers=consumers,
        retention=retention,
    )


TOPICS_IN: tuple[Topic, ...] = (
    _learning("lesson-completed", "lesson-service", "A user finished a lesson. It adds no XP by itself."),
    _learning("xp-earned", "xp-service", "A user earned XP; the only event that XP is counted by."),
    _learning("question-answered", "question-service", "A user answered a question, rightly or wrongly."),
    _learning("streak-updated", "streak-service", "The streak of a user changed."),
    _learning("item-used", "inventory-service", "A user used an item."),
    _learning("session-started", "app-gateway", "A user opened the app; says which time zone they are in."),
)

TOPICS_OUT: tuple[Topic, ...] = (
    _missions("mission-assigned", "A user was given a mission for one period.", "analytics", "notifications"),
    _missions("mission-completed", "A user completed a mission.", "analytics", "notifications"),
    _missions(
        "reward-granted",
        "A user is entitled to rewards; pay each grant out once, by its id.",
        "reward service",
        "analytics",
        retention=GRANTS_RETENTION,
    ),
    _missions("mission-expired", "A mission ended without being completed.", "analytics"),
    Topic(
        name="missions.dead-letter",
        event_type=None,
        description="Records that can never be applied, byte for byte, with the reason in their headers.",
        key="the original record's key",
        producers=("missions relay",),
        consumers=("missions operators", "the publishing team"),
        retention=LEARNING_RETENTION,
        max_message_bytes=DEAD_LETTER_MAX_MESSAGE_BYTES,
    ),
)

_BY_TYPE = {topic.event_type: topic for topic in TOPICS_IN + TOPICS_OUT if topic.event_type}


def with_prefix(prefix: str) -> tuple[Topic, ...]:
    """All topics, in and out, under the names of one deployment."""
    return tuple(topic.with_prefix(prefix) for topic in TOPICS_IN + TOPICS_OUT)


def topic_of(event_type: str) -> Topic:
    """The topic that events of this type belong in, without prefix. Raises ValueError for any other type."""
    topic = _BY_TYPE.get(event_type)
    if topic is None:
        raise ValueError(f"{event_type!r} is not an event type; known are {', '.join(_BY_TYPE)}")
    return topic
