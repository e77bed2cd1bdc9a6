"""A small course, and learners who answer its questions through the core and ask it for the next ones."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.missions.catalogue import Catalogue
from services.missions.decide import decide, issue_now
from services.missions.selection import (
    Question,
    QuestionCatalogue,
    Selected,
    Situation,
    candidates,
    parse_purpose,
    select,
)
from services.missions.selection.questions import DIFFICULTIES
from services.missions.state import Assignment, QuestionRecord, UserState
from tests.support.builders import NOON, USER, answer, catalogue, recorded

CHAPTER_SIZES = {"easy": 8, "medium": 6, "hard": 4}


def question(question_id: str = "question-1", **fields: Any) -> Question:
    """A question."""
    defaults: dict[str, Any] = {
        "language": "python",
        "chapter_id": "py-1",
        "topic_id": "py-1-a",
        "difficulty": "easy",
        "prompt": "What is it?",
    }
    return Question(question_id=question_id, **{**defaults, **fields})


def _course() -> list[Question]:
    return [
        question(
            f"{language}-{chapter}-{difficulty}-{number}",
            language=name,
            chapter_id=f"{language}-{chapter}",
            topic_id=f"{language}-{chapter}-{'ab'[number % 2]}",
            difficulty=difficulty,
            concept_kind="keyword" if number == 0 else None,
            concept_id=f"{language}-kw-{chapter}-{difficulty}" if number == 0 else None,
        )
        for language, name in (("py", "python"), ("sql", "sql"))
        for chapter in (1, 2)
        for difficulty in DIFFICULTIES
        for number in range(CHAPTER_SIZES[difficulty])
    ]


COURSE = QuestionCatalogue(_course())
"""Two languages of two chapters, each with two topics, 8 easy, 6 medium and 4 hard questions; the first of each kind is a keyword."""


@dataclass
class Learner:
    """One user, whose answers go through the same core as in the processor."""

    missions: Catalogue = field(default_factory=catalogue)
    course: QuestionCatalogue = COURSE
    state: UserState = field(default_factory=lambda: UserState(USER))
    records: dict[str, QuestionRecord] = field(default_factory=dict)

    def answers(self, question_id: str, correct: bool = True, at: datetime = NOON) -> None:
        """Answers a question of the course."""
        asked = self.course.get(question_id)
        assert asked is not None, question_id
        data = {**asked.answered_right(), "correct": correct}
        decision = decide(self.state, [recorded(answer(question_id, **_others(data)), at)], self.records, self.missions)
        self.records.update(decision.answered)

    def gets(self, count: int = 10, purpose: str | None = None, now: datetime = NOON) -> list[Selected]:
        """Asks for questions, as the api does with a history that fits into one read."""
        issue_now(self.state, now, self.missions)
        wanted = parse_purpose(purpose)
        situation = Situation.of(self.state, now, self.missions, self.course, self.records.values())
        return select(situation, candidates(situation, wanted), count, wanted)

    def looks_up(self, purpose: str | None = None, now: datetime = NOON) -> list[str]:
        """Questions whose records the api would look up."""
        situation = Situation.of(self.state, now, self.missions, self.course, self.records.values())
        return candidates(situation, parse_purpose(purpose))

    def assignment(self, mission_id: str = "mission-1", now: datetime = NOON) -> Assignment:
        """The one of a mission that is open at an instant."""
        [found] = [
            a
            for a in self.state.assignments
            if a.mission_id == mission_id and a.starts_at <= now and (a.expires_at is None or now < a.expires_at)
        ]
        return found

    def progress(self, mission_id: str = "mission-1") -> list[float]:
        """Progress of its objectives."""
        return [objective.progress for objective in self.assignment(mission_id).objectives]


def _others(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name != "question_id"}


def ids(selected: list[Selected]) -> list[str]:
    """Ids of the questions."""
    return [one.question.question_id for one in selected]


def codes(selected: list[Selected]) -> list[str]:
    """Codes of the reasons."""
    return [one.reason.code for one in selected]
