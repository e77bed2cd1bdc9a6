"""XPLogs and the LessonCompletionHandler: what new events add, for good, to a user's XP, lessons, chapters and units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from mission_events import Event
from services.missions.fields import LESSON_COMPLETED, XP_EARNED
from services.missions.profile import NOTHING_COMPLETED, Completed

from .columns import numbers, texts
from .connection import Connection, Pool
from .queries import queries

_SQL = queries("records")

WHOLE = 1.0
"""The progress at which a chapter or a unit is completed."""

EventKey = tuple[str, str]
"""(source, id) of an event."""


class HasEvent(Protocol):
    """Whatever carries an event."""

    @property
    def event(self) -> Event:
        """The event, as decoded."""
        ...


@dataclass(slots=True)
class _Lesson:
    """Completions of one lesson by one user in a batch, folded into one."""

    chapter: tuple[datetime, str]
    """With the instant of the completion that told it; so are `unit` and `lesson_type`."""
    unit: tuple[datetime, str]
    lesson_type: tuple[datetime, str]
    times: int
    first: datetime
    accuracy: float | None

    def add(self, at: datetime, data: Mapping[str, Any]) -> None:
        """One more completion."""
        self.chapter = max(self.chapter, (at, data["chapter_id"]))
        self.unit = max(self.unit, (at, data["unit_id"]))
        self.lesson_type = max(self.lesson_type, (at, data["lesson_type"]))
        self.times += 1
        self.first = min(self.first, at)
        accuracy = data["accuracy"]
        if accuracy is not None:
            self.accuracy = accuracy if self.accuracy is None else max(self.accuracy, accuracy)


async def write_records(connection: Connection, events: Sequence[HasEvent]) -> Mapping[EventKey, Completed]:
    """Adds what these events tell to the records. Call it once for an event that is new, however often users are decided.

    Returns the events that completed a chapter or a unit which their user had not completed before. Rows are locked in one
    order, so that lanes which meet in a user do not block each other for good.
    """
    await _log_xp(connection, [e.event for e in events if e.event.type == XP_EARNED])
    lessons = [e.event for e in events if e.event.type == LESSON_COMPLETED]
    await _record_lessons(connection, lessons)
    return await _record_completions(connection, lessons)


async def _log_xp(connection: Connection, events: Sequence[Event]) -> None:
    if not events:
        return
    ordered = sorted(events, key=lambda event: event.subject)  # neighbours share pages of the index
    earned = [event.fields for event in ordered]
    await connection.execute(
        _SQL["log_xp"],
        texts([event.subject for event in ordered]),
        [event.time for event in ordered],
        numbers([data["amount"] for data in earned]),
        texts([data["xp_source"] for data in earned]),
        texts([event.source for event in ordered]),
        texts([event.id for event in ordered]),
    )


async def _record_lessons(connection: Connection, events: Sequence[Event]) -> None:
    folded: dict[tuple[str, str, str], _Lesson] = {}
    for event in events:
        data, at = event.fields, event.time
        key = (event.subject, data["language"], data["lesson_id"])
        lesson = folded.get(key)
        if lesson is None:
            told = (at, data["chapter_id"]), (at, data["unit_id"]), (at, data["lesson_type"])
            folded[key] = _Lesson(*told, 1, at, data["accuracy"])
        else:
            lesson.add(at, data)
    if not folded:
        return
    ordered = sorted(folded.items(), key=lambda item: item[0])
    await connection.execute(
        _SQL["record_lessons"],
        *(texts([key[place] for key, _ in ordered]) for place in range(3)),
        texts([lesson.chapter[1] for _, lesson in ordered]),
        texts([lesson.unit[1] for _, lesson in ordered]),
        texts([lesson.lesson_type[1] for _, lesson in ordered]),
        numbers([lesson.times for _, lesson in ordered]),
        [lesson.first for _, lesson in ordered],
        [lesson.chapter[0] for _, lesson in ordered],
        [lesson.accuracy for _, lesson in ordered],
    )


async def _record_completions(connection: Connection, events: Sequence[Event]) -> Mapping[EventKey, Completed]:
    first: dict[tuple[str, str, str, str], tuple[datetime, EventKey]] = {}
    for event in events:
        data = event.fields
        for kind in ("chapter", "unit"):
            progress = data[f"{kind}_progress"]
            if progress is not None and progress >= WHOLE:
                key = (event.subject, data["language"], kind, data[f"{kind}_id"])
                at, by = first.setdefault(key, (event.time, (event.source, event.id)))
                first[key] = (min(at, event.time), by)
    if not first:
        return {}
    ordered = sorted(first)
    rows = await connection.fetch(
        _SQL["record_completions"],
        *(texts([key[place] for key in ordered]) for place in range(4)),
        [first[key][0] for key in ordered],
    )
    found: dict[EventKey, Completed] = {}
    for user_id, language, kind, content, is_new in rows:
        if is_new:
            by = first[user_id, language, kind, content][1]
            before = found.get(by, NOTHING_COMPLETED)
            is_chapter = kind == "chapter"
            found[by] = Completed(before.chapters + is_chapter, before.units + (not is_chapter))
    return found


@dataclass(frozen=True, slots=True)
class XpTotals:
    """All XP of a user: `earned` as events told, `granted` by claims of missions."""

    earned: int
    granted: int

    @property
    def total(self) -> int:
        """What the level follows from."""
        return self.earned + self.granted


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a user has completed in one language; `times` counts a lesson that was done again once more."""

    language: str
    lessons: int
    times: int
    chapters: int
    units: int


class Records:
    """Reads the records of single users."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def xp_totals(self, user_id: str) -> XpTotals:
        """The sums over the user's XP log."""
        row = await self._pool.fetchrow(_SQL["xp_totals"], user_id)
        return XpTotals(*row) if row else XpTotals(0, 0)

    async def completed(self, user_id: str) -> list[Learnt]:
        """Counts by language, in alphabetical order."""
        return [Learnt(*row) for row in await self._pool.fetch(_SQL["completed_by_language"], user_id)]
