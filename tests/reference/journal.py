"""What happened to a system, step by step: the records published, and the looks, clock ticks and claims between them."""

from datetime import datetime
from typing import NamedTuple


class Record(NamedTuple):
    """A published record; `at` is its Kafka timestamp. Those of one user in one topic stand in the order of their log."""

    topic: str
    """Without prefix."""
    key: str
    value: bytes | None
    at: datetime
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None
    """Where the publisher put it; None: where the key belongs."""


class Look(NamedTuple):
    """A user opened the app, which asked for the missions and told its time zone."""

    user: str
    now: datetime
    zone: str | None = None


class Tick(NamedTuple):
    """The scheduler looked at the clock when everything before had been applied."""

    now: datetime


class Claim(NamedTuple):
    """A claim of the assignment that `owner` has of a mission, and its answer: granted, not_completed, expired or unknown."""

    user: str
    owner: str
    mission: str
    starts_at: datetime
    now: datetime
    answer: str


Step = Record | Look | Tick | Claim

LESSON = "learning.lesson-completed.v1"
XP = "learning.xp-earned.v1"
ANSWER = "learning.question-answered.v1"
STREAK = "learning.streak-updated.v1"
ITEM = "learning.item-used.v1"
SESSION = "learning.session-started.v1"
