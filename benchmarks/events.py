"""A seeded stream of learning events as an app's services would publish them: ten minutes of their first day with missions."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

SHARES = {
    "question-answered": 45,
    "xp-earned": 22,
    "lesson-completed": 15,
    "session-started": 8,
    "streak-updated": 6,
    "item-used": 4,
}
"""Percent of all events, by topic without `learning.`."""

DUPLICATE_SHARE = 0.002
"""Share of events that their producer publishes a second time, under the same id."""

QUESTIONS_PER_USER = 8
"""Few, so that wrong answers are met again and put right within the stream."""

ZONES = (
    "Europe/Berlin", "Europe/London", "Europe/Lisbon", "Africa/Lagos", "America/New_York", "America/Sao_Paulo",
    "America/Los_Angeles", "America/Mexico_City", "Asia/Kolkata", "Asia/Tokyo", "Asia/Jakarta", "Australia/Sydney",
)  # fmt: skip
LANGUAGES = ("python", "python", "python", "javascript", "es", "fr", "cpp")
LESSON_TYPES = ("core", "core", "core", "practice", "practice", "review", "story", "boss_challenge")
XP_SOURCES = ("lesson", "lesson", "lesson", "practice", "practice", "challenge", "other", "mission_reward")
DIFFICULTIES = ("easy", "easy", "medium", "medium", "hard")
ITEMS = ("streak_freeze", "extra_heart", "xp_boost")
CORRECT_SHARE = 0.7

_HEAD = '{"specversion":"1.0","id":"%s","source":"%s","type":"learning.%s.v1","subject":"%s","time":"%s","data":%s}'


class Generated(NamedTuple):
    """One event, ready to publish."""

    topic: str
    """Without prefix."""
    user: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Stream:
    """Which events: equal streams give equal events."""

    events: int
    users: int
    seed: int
    until: datetime
    """The newest event's time, aware."""
    span: timedelta = timedelta(minutes=10)
    """The events' times rise evenly over this long."""
    active_every: int = 1
    """Every so many-th user only has events."""

    @property
    def since(self) -> datetime:
        """The oldest event's time."""
        return self.until - self.span

    def __iter__(self) -> Iterator[Generated]:
        """Every event once, in the order of their times; some of them twice, as `DUPLICATE_SHARE` says."""
        rng = random.Random(self.seed)
        kinds = rng.choices(list(SHARES), weights=list(SHARES.values()), k=self.events)
        step = self.span / max(self.events, 1)
        since = self.since.astimezone(UTC)
        active = self.users // self.active_every
        for number, kind in enumerate(kinds):
            user = int(rng.random() * active) * self.active_every
            data = _DATA[kind](rng, user, self)
            time = (since + step * number).isoformat(timespec="milliseconds")
            event_id = f"{self.seed}-{number}"
            value = (_HEAD % (event_id, f"{kind}-service", kind, user_id(user), time, data)).encode()
            event = Generated(f"learning.{kind}", user, value)
            yield event
            if rng.random() < DUPLICATE_SHARE:
                yield event

    def is_one_day_for(self, user: int) -> bool:
        """Whether no midnight of the user's, nor UTC's, lies within the stream: then every event counts for the same missions."""
        return all(self.since.astimezone(z).date() == self.until.astimezone(z).date() for z in (UTC, _zone_of(user)))


def user_id(user: int) -> str:
    """The id of the user with this number."""
    return f"user-{user}"


def _zone_of(user: int) -> ZoneInfo:
    return ZoneInfo(ZONES[user % len(ZONES)])


def _language(user: int) -> str:
    return LANGUAGES[user % len(LANGUAGES)]


def _question(rng: random.Random, user: int, _stream: Stream) -> str:
    question = int(rng.random() * QUESTIONS_PER_USER)
    language = _language(user)
    keyword = f',"concept_id":"keyword-{question}","concept_kind":"keyword"' if question < 3 else ""
    return (
        f'{{"question_id":"{language}-{user % 40}-{question}",'
        f'"correct":{"true" if rng.random() < CORRECT_SHARE else "false"},'
        f'"difficulty":"{DIFFICULTIES[question % len(DIFFICULTIES)]}","topic_id":"topic-{question % 4}",'
        f'"chapter_id":"{language}-chapter-{user % 40}","language":"{language}"{keyword}}}'
    )


def _xp(rng: random.Random, user: int, _stream: Stream) -> str:
    source = XP_SOURCES[int(rng.random() * len(XP_SOURCES))]
    return f'{{"amount":{5 + int(rng.random() * 11)},"xp_source":"{source}","language":"{_language(user)}"}}'


def _lesson(rng: random.Random, user: int, _stream: Stream) -> str:
    language, lesson = _language(user), int(rng.random() * 12)
    return (
        f'{{"lesson_id":"{language}-{user % 40}-{lesson}","chapter_id":"{language}-chapter-{user % 40}",'
        f'"unit_id":"{language}-unit-{user % 10}","language":"{language}",'
        f'"lesson_type":"{LESSON_TYPES[int(rng.random() * len(LESSON_TYPES))]}","hearts_lost":{int(rng.random() * 4)},'
        f'"duration_seconds":{60 + int(rng.random() * 600)},"accuracy":0.{int(rng.random() * 90) + 10},'
        f'"chapter_progress":0.{lesson:02d},"unit_progress":0.{lesson // 2:02d}}}'
    )


def _streak(_rng: random.Random, user: int, stream: Stream) -> str:
    day = stream.since.astimezone(_zone_of(user)).date()
    return f'{{"days":{1 + user % 30},"day":"{day.isoformat()}","change":"extended"}}'


def _item(rng: random.Random, _user: int, _stream: Stream) -> str:
    item = ITEMS[int(rng.random() * len(ITEMS))]
    return f'{{"item_id":"{item}-1","item_type":"{item}","quantity":1}}'


def _session(_rng: random.Random, user: int, _stream: Stream) -> str:
    zone = ZONES[user % len(ZONES)]
    return (
        f'{{"timezone":"{zone}","locale":"en","platform":"{"ios" if user % 2 else "android"}","app_version":"5.2.0"}}'
    )


_DATA = {
    "question-answered": _question,
    "xp-earned": _xp,
    "lesson-completed": _lesson,
    "session-started": _session,
    "streak-updated": _streak,
    "item-used": _item,
}
