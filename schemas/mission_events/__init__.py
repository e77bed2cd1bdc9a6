"""The published language of the mission system: events in, events out, and their codec."""

from mission_events.codec import (
    Event,
    OutEvent,
    Reason,
    Rejected,
    UnknownType,
    decode,
    decode_out,
    encode,
    encode_event,
)
from mission_events.dead_letter import DeadLetter, decode_dead_letter
from mission_events.learning import (
    ItemUsed,
    LearningData,
    LessonCompleted,
    QuestionAnswered,
    SessionStarted,
    StreakUpdated,
    XpEarned,
)
from mission_events.missions import (
    MissionAssigned,
    MissionCompleted,
    MissionData,
    MissionExpired,
    ObjectiveTarget,
    Reward,
    RewardGranted,
    event_id,
)
from mission_events.topics import TOPICS_IN, TOPICS_OUT, Topic, topic_of, with_prefix

__all__ = [
    "TOPICS_IN",
    "TOPICS_OUT",
    "DeadLetter",
    "Event",
    "ItemUsed",
    "LearningData",
    "LessonCompleted",
    "MissionAssigned",
    "MissionCompleted",
    "MissionData",
    "MissionExpired",
    "ObjectiveTarget",
    "OutEvent",
    "QuestionAnswered",
    "Reason",
    "Rejected",
    "Reward",
    "RewardGranted",
    "SessionStarted",
    "StreakUpdated",
    "Topic",
    "UnknownType",
    "XpEarned",
    "decode",
    "decode_dead_letter",
    "decode_out",
    "encode",
    "encode_event",
    "event_id",
    "topic_of",
    "with_prefix",
]
