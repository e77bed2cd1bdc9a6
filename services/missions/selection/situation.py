"""Everything that selecting questions for one user depends on, in one value."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from zlib import crc32

from services.missions.catalogue import Catalogue
from services.missions.periods import local_day
from services.missions.state import QuestionRecord, UserState

from .questions import QuestionCatalogue


@dataclass(frozen=True)
class Situation:
    """One user at one instant. `records` is what is known of the user's history; more of it can be added."""

    state: UserState
    now: datetime
    catalogue: Catalogue
    questions: QuestionCatalogue
    records: Mapping[str, QuestionRecord]
    language: str
    """The language that the user learns now; "" when the question catalogue is empty."""
    chapter: str
    """The chapter of it that the user is in."""

    @classmethod
    def of(
        cls,
        state: UserState,
        now: datetime,
        catalogue: Catalogue,
        questions: QuestionCatalogue,
        records: Iterable[QuestionRecord],
    ) -> "Situation":
        """The situation after these records; language and chapter are the lesson's, else the newest answer's, else the first."""
        known = {record.question_id: record for record in records}
        language, chapter = _current_chapter(state, questions, known.values())
        return cls(state, now, catalogue, questions, known, language, chapter)

    def with_records(self, records: Iterable[QuestionRecord]) -> "Situation":
        """The same with more of the history known; where the user stands is not asked again."""
        return replace(self, records={**self.records, **{record.question_id: record for record in records}})

    @cached_property
    def day(self) -> int:
        """Ordinal of the user's local day."""
        return local_day(self.state.zones, self.now)

    @cached_property
    def languages(self) -> frozenset[str]:
        """What the user learns."""
        return frozenset([self.language, *self.state.languages])

    @cached_property
    def chapters(self) -> tuple[str, ...]:
        """The chapters of the current language: this one, those that follow, then those before."""
        course = self.questions.chapters(self.language)
        here = course.index(self.chapter) if self.chapter in course else 0
        return course[here:] + course[:here]

    @cached_property
    def start(self) -> int:
        """The place in the course at which the current chapter begins."""
        chapter = self.questions.chapter(self.language, self.chapter)
        return self.questions.place(chapter[0].question_id) if chapter else 0

    def lot(self, question_id: str) -> int:
        """A number that decides between questions as good as each other: the same for a user all day, another one tomorrow."""
        return crc32(f"{self.state.user_id}/{self.day}/{question_id}".encode())


def history_start(user_id: str, day: int, questions: QuestionCatalogue) -> str:
    """From which question id on a history is read that is too long to be read whole: another one each local day."""
    return questions.at(crc32(f"{user_id}/{day}".encode()) % len(questions)).question_id if len(questions) else ""


def _current_chapter(
    state: UserState, questions: QuestionCatalogue, records: Iterable[QuestionRecord]
) -> tuple[str, str]:
    if not questions.languages:
        return "", ""
    language = state.language if state.language in questions.languages else None
    if language is not None and state.chapter is not None and questions.chapter(language, state.chapter):
        return language, state.chapter
    newest: tuple[datetime, str] | None = None
    place = None
    for record in records:
        question, at = questions.get(record.question_id), record.last_answered_at
        if question is None or at is None or (language is not None and question.language != language):
            continue
        if newest is None or (at, record.question_id) > newest:
            newest, place = (at, record.question_id), (question.language, question.chapter_id)
    if place is not None:
        return place
    known = [name for name in state.languages if name in questions.languages]
    language = language or (known or questions.languages)[0]
    return language, questions.chapters(language)[0]
