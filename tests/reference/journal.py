"""What happened to a system, step by step: the records published, and the looks, clock ticks and claims between them."""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo


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

Event = dict[str, Any]
Check = Callable[[Any], bool]

LESSON = "learning.lesson-completed.v1"
XP = "learning.xp-earned.v1"
ANSWER = "learning.question-answered.v1"
STREAK = "learning.streak-updated.v1"
ITEM = "learning.item-used.v1"
SESSION = "learning.session-started.v1"


def text(value: Any) -> bool:
    """An identifier."""
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.:-]{1,128}", value) is not None


def number(low: float, high: float, kinds: Any = int) -> Check:
    """A number between two bounds, which belong to it."""
    return lambda value: isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high


def one_of(names: str) -> Check:
    """One of these words."""
    return lambda value: value in names.split()


_share = number(0, 1, (int, float))
_seconds = number(0, 10**9, (int, float))
_count = number(0, 10**9)

SHAPES: dict[str, dict[str, Check]] = {
    LESSON: {
        **dict.fromkeys(("lesson_id", "chapter_id", "unit_id", "language", "lesson_type"), text),
        "hearts_lost": _count,
        "duration_seconds": _seconds,
        **dict.fromkeys(("accuracy?", "chapter_progress?", "unit_progress?"), _share),
    },
    XP: {
        "amount": number(1, 10**6),
        "xp_source": one_of("lesson practice streak_repair challenge mission_reward other"),
        "language?": text,
    },
    ANSWER: {
        **dict.fromkeys(("question_id", "topic_id", "chapter_id", "language", "concept_id?", "concept_kind?"), text),
        "correct": lambda value: isinstance(value, bool),
        "difficulty": one_of("easy medium hard"),
    },
    STREAK: {
        "days": _count,
        "day": lambda value: isinstance(value, str) and bool(date.fromisoformat(value)),
        "change": one_of("extended frozen repaired broken"),
    },
    ITEM: {"item_id": text, "item_type": text, "quantity": number(1, 10**9)},
    SESSION: {"timezone": lambda value: bool(ZoneInfo(value))},
}
"""Each event type's fields; a `?` marks those that may be absent."""


def read(record: Record) -> Event | str:
    """The event of a record with its instant as `at`, or what else the record is: `unknown` or `dead_letter`."""
    try:
        if record.value is None or len(record.value) > 64 * 1024:
            return "dead_letter"
        body = json.loads(record.value.decode())
        binary = {name.removeprefix("ce_"): value.decode() for name, value in record.headers if name.startswith("ce_")}
        event: Event = {**binary, "data": body} if binary else dict(body)
        at = datetime.fromisoformat(event["time"]).astimezone(UTC)
        sound = event["specversion"] == "1.0" and text(event["id"]) and text(event["subject"]) and event["source"]
        if not sound or not record.at - timedelta(days=35) <= at <= record.at + timedelta(minutes=5):
            return "dead_letter"
        if event["type"] not in SHAPES:
            return "unknown"
        for name, check in SHAPES[event["type"]].items():
            value = event["data"].get(name.rstrip("?"))
            if not (name.endswith("?") if value is None else check(value)):
                return "dead_letter"
    except (ValueError, KeyError, TypeError, AttributeError):
        return "dead_letter"
    return {**event, "at": at}
