"""What the ledger keeps of one user between two events: the profile and every assignment that can still change or be shown.

One value of `UserState` is one row of the ledger and one key of the projection; `version` counts its changes and is the guard of
every write. Everything that must be found again later (ended assignments, grants, the event log) has tables of its own.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Any

import msgspec

# `gc=False` below: states hold no cycles, and Python's collector would walk thousands of them in every batch.


class Status(StrEnum):
    """Where an assignment stands: `IN_PROGRESS -> COMPLETED -> CLAIMED`, or `-> EXPIRED`."""

    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    CLAIMED = "CLAIMED"
    EXPIRED = "EXPIRED"


class ObjectiveState(msgspec.Struct, array_like=True, gc=False):
    """Progress of one objective, never above its target, and what its measure must remember to go on."""

    progress: int | float = 0
    members: list[str] = []
    """`distinct`: the members seen, at most `target` of them, sorted."""
    days: list[int] = []
    """`consecutive_days`: proleptic ordinals of the local days that count, sorted and bounded."""
    broken_days: list[int] = []
    """`consecutive_days` with `break_on`: ordinals of the local days on which the run broke."""


class Fit(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Why an assignment is not the mission that everybody gets, as written."""

    reason: str
    """The fact that was too small for the mission as written, such as `open_mistakes`, or the `$parameter` that was unknown."""
    wanted: int | None = None
    """The target as written; None, like `target`, when it stayed as written."""
    target: int | None = None
    """The target of the only objective, for ever."""
    instead_of: str | None = None
    """The mission whose place this one takes."""


class Assignment(msgspec.Struct, array_like=True, gc=False):
    """One user's copy of one mission version for one period; its bounds were frozen as UTC instants when it was issued."""

    assignment_id: str
    mission_id: str
    mission_version: int
    starts_at: datetime
    expires_at: datetime | None
    status: Status
    objectives: list[ObjectiveState]
    parameters: dict[str, Any] = {}
    """`$name` values of the definition, fixed when it was issued."""
    completed_at: datetime | None = None
    claimable_until: datetime | None = None
    claimed_at: datetime | None = None
    fit: Fit | None = None
    """How it was fitted to the user when it was issued; None: it is the mission as written."""


class ZoneSegment(msgspec.Struct, array_like=True, gc=False):
    """From these period bounds on, the user's periods follow `zone`; before the first segment's bounds they follow it too."""

    zone: str
    daily_from: datetime
    weekly_from: datetime


class IssuedPeriod(msgspec.Struct, array_like=True, gc=False):
    """A marker: the missions of this period were issued, and the set stays as it is."""

    kind: str
    """`daily` or `weekly`."""
    starts_at: datetime
    ends_at: datetime
    left_out: dict[str, str] = {}
    """Mission id -> why it was not issued, of missions that were meant for this user and did not fit."""


class SuspectTopic(msgspec.Struct, array_like=True, gc=False):
    """A topic that a mistake was made in, and what came after it; `topics.py` says how it is read."""

    results: str = ""
    """The answers after that mistake, oldest first, `1` for a right one."""
    last_answered_at: int = 0
    """Second since 1970 of the newest answer."""


class StudyDays(msgspec.Struct, array_like=True, gc=False):
    """What the derived streak follows from: sets of local days (proleptic ordinals), and what older days came to.

    Only `streaks.py` reads and writes it. Days from `settled_until` on are kept one by one, as many as late events can be about.
    """

    settled_until: int
    """Days before this one have left the sets below."""
    as_of: int
    """The newest day that is known to have begun: those before it are over."""
    run: int = 0
    """Study days of the run that was unbroken when day `settled_until` began; 0 = there was none."""
    days: list[int] = []
    """Days with a completed lesson, sorted."""
    freezes: list[int] = []
    """The day on which each streak freeze was used, sorted; a day occurs once for each freeze."""
    lost_days: list[int] = []
    """Dates that the user never had, or for less than half a day, because of a zone change; sorted."""


class UserState(msgspec.Struct, omit_defaults=True, gc=False):
    """Everything that matching one event of one user needs, in one value."""

    user_id: str
    version: int = 0
    """0 = not in the ledger yet. Each saved change adds one."""
    stamp: int = 0
    """A random number drawn at each save. Two states with one version and different stamps come from different histories:
    Postgres lost its newest commits and went on from before them."""
    zones: list[ZoneSegment] = []
    """Oldest first; empty while the zone is unknown (UTC)."""
    zone_known_at: datetime | None = None
    """Event time of the newest zone that was taken over; older news of a zone are ignored."""
    issued: list[IssuedPeriod] = []
    catalogue_revision: int = 0
    """The catalogue that once and season missions were last issued from."""
    assignments: list[Assignment] = []
    days_active: int = 0
    """Local days with at least one event."""
    recent_days: list[int] = []
    """Ordinals of the newest active local days, sorted, at most `profile.RECENT_DAYS_MAX`."""
    languages: list[str] = []
    language: str | None = None
    chapter: str | None = None
    learned_at: datetime | None = None
    """Event time of the lesson that `language` and `chapter` were taken from."""
    open_mistakes: int = 0
    streak: int = 0
    streak_day: date | None = None
    once_issued: list[str] = []
    """Ids of once missions that were issued, ever: they are never issued again."""
    claimed_missions: list[str] = []
    """Ids of missions that were claimed at least once; `requires` reads it."""
    weak_topics: list[str] = []
    """Ids of the weak ones among `suspect_topics`, the weakest first; `$weak_topics` and `history.topic_weak` read it."""
    daily_closed_until: datetime | None = None
    """Daily periods that start before this are never issued any more: their markers may have been dropped."""
    weekly_closed_until: datetime | None = None
    """The same of weekly periods."""
    streak_longest: int = 0
    freezes_used: int = 0
    """Streak freezes that the user has used, ever."""
    chapters_completed: int = 0
    """Different chapters, over all languages; so are units."""
    units_completed: int = 0
    study: StudyDays | None = None
    """None unless the streak is derived here and a lesson or a freeze was seen."""
    suspect_topics: dict[str, SuspectTopic] = {}
    """By topic id, at most `topics.SUSPECT_TOPICS_MAX`."""
    questions_seen: int = 0
    """Different questions answered, counted up to `fields.QUESTIONS_SEEN_MAX`."""
    erased: bool = False
    """The user's data was erased: nothing else is known here, and nothing is ever added."""
    mistake_quarters: dict[int, int] = {}
    """Open mistakes by the quarter of an hour since 1970 that they were made in: of the last days before the newest one."""


class QuestionRecord(msgspec.Struct, array_like=True, gc=False):
    """UserQuestionHistory: what one user did with one question, by event time."""

    user_id: str
    question_id: str
    answers: int = 0
    """How often it was answered; the guard of every write to this row."""
    correct_answers: int = 0
    last_correct: bool = False
    last_answered_at: datetime | None = None
    mistake_since: datetime | None = None
    """Set while the last answer was wrong: when the mistake was made."""
    corrected_at: datetime | None = None
    topic_id: str = ""
    chapter_id: str = ""
    language: str = ""
    recent_answers: list[int] = []
    """The newest answers in order of time, at most `history.RECENT_ANSWERS_MAX`, each as `history.attempts` reads it."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(UserState)
_json_encoder = msgspec.json.Encoder()
_json_decoder = msgspec.json.Decoder(UserState)


def encode_state(state: UserState) -> bytes:
    """MessagePack of a state, for the ledger's `state` column and the projection: a map by field name, without what is as it begins."""
    return _encoder.encode(state)


def decode_state(data: bytes) -> UserState:
    """The state that `encode_state` or `state_json` wrote: states were kept as JSON once, and no MessagePack map begins with a brace.

    Raises `msgspec.ValidationError` when the bytes are of another shape, and `msgspec.DecodeError` when they are neither.
    """
    return _json_decoder.decode(data) if data.startswith(b"{") else _decoder.decode(data)


def state_json(state: UserState) -> bytes:
    """The same as JSON, for people and for whoever has no MessagePack."""
    return _json_encoder.encode(state)
