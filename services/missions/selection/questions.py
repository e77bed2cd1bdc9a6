"""The question catalogue: every question that may be asked, in the order of teaching, and quick ways to find some of them."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, get_args

import msgspec

from mission_events.learning import Difficulty

DIFFICULTIES: tuple[Difficulty, ...] = get_args(Difficulty)
"""From easy to hard."""

INDEXED_FIELDS = ("question_id", "concept_id", "topic_id", "chapter_id", "concept_kind", "difficulty", "language")
"""Fields by whose values questions are found without a look at all of them."""

_Bucket = Sequence[tuple[int, "Question"]]


class Question(msgspec.Struct, frozen=True, omit_defaults=True):
    """One question. The fields are those that an answer's event names it by, and what is asked."""

    question_id: str
    language: str
    chapter_id: str
    topic_id: str
    difficulty: Difficulty
    prompt: str
    concept_id: str | None = None
    concept_kind: str | None = None

    def answered_right(self) -> dict[str, Any]:
        """The data of the question-answered event that a right answer leads to."""
        return {
            "question_id": self.question_id,
            "correct": True,
            "difficulty": self.difficulty,
            "topic_id": self.topic_id,
            "chapter_id": self.chapter_id,
            "language": self.language,
            "concept_id": self.concept_id,
            "concept_kind": self.concept_kind,
        }


class QuestionCatalogue:
    """An immutable set of questions. Their order is the course: languages, then chapters, then questions as given."""

    def __init__(self, questions: Iterable[Question]) -> None:
        """Raises ValueError when a question is given twice."""
        self._by_id: dict[str, Question] = {}
        self._chapters: dict[str, dict[str, list[Question]]] = {}
        for question in questions:
            if question.question_id in self._by_id:
                raise ValueError(f"question {question.question_id} is given twice; give each once")
            self._by_id[question.question_id] = question
            chapters = self._chapters.setdefault(question.language, {})
            chapters.setdefault(question.chapter_id, []).append(question)
        course = self._course = [
            q for chapters in self._chapters.values() for chapter in chapters.values() for q in chapter
        ]
        self._places: Mapping[str, int] = {question.question_id: place for place, question in enumerate(course)}
        self._buckets: dict[tuple[str, str], list[tuple[int, Question]]] = {}
        for place, question in enumerate(course):
            for field in INDEXED_FIELDS:
                value = getattr(question, field)
                if value is not None:
                    self._buckets.setdefault((field, value), []).append((place, question))

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, question_id: str) -> Question | None:
        """The question of this id, or None."""
        return self._by_id.get(question_id)

    @property
    def languages(self) -> tuple[str, ...]:
        """All languages, in order."""
        return tuple(self._chapters)

    def chapters(self, language: str) -> tuple[str, ...]:
        """The chapters of a language, in order; none of an unknown one."""
        return tuple(self._chapters.get(language, ()))

    def chapter(self, language: str, chapter_id: str) -> Sequence[Question]:
        """The questions of a chapter, in order; none of an unknown one."""
        return self._chapters.get(language, {}).get(chapter_id, ())

    def at(self, place: int) -> Question:
        """The question at a place of the course."""
        return self._course[place]

    def place(self, question_id: str) -> int:
        """Where the question stands in the course. Raises KeyError for an unknown one."""
        return self._places[question_id]

    def size(self, field: str, values: Iterable[str]) -> int:
        """How many questions have one of the values in an indexed field."""
        return sum(len(self._buckets.get((field, value), ())) for value in values)

    def having(self, field: str, values: Iterable[str], start: int, limit: int) -> list[Question]:
        """At most `limit` questions with one of the values in an indexed field: from the place `start` on, then from the beginning."""
        found: list[tuple[int, Question]] = []
        for value in values:
            bucket: _Bucket = self._buckets.get((field, value), ())
            middle = bisect_left(bucket, start, key=itemgetter(0))
            after = bucket[middle : middle + limit]
            found += after
            found += bucket[: min(limit - len(after), middle)]
        found.sort(key=lambda pair: (pair[0] < start, pair[0]))
        return [question for _, question in found[:limit]]
