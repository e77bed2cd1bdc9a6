"""One random learner: where they live, how they learn, and what happens in a session of theirs."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from random import Random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from .journal import ANSWER, ITEM, LESSON, SESSION, STREAK, XP

LANGUAGES = ("python", "python", "python", "javascript", "sql", "es")
CHAPTERS, LESSONS_IN_CHAPTER, QUESTIONS_IN_CHAPTER = 8, 3, 12
LESSON_TYPES = ("core", "core", "core", "practice", "review", "story", "boss_challenge")
ITEMS = ("streak_freeze", "extra_heart", "xp_boost")


class Happening(NamedTuple):
    """One event before it is put into an envelope."""

    type: str
    at: datetime
    data: dict[str, Any]


@dataclass
class Learner:
    """A persona drawn from `chance`, and what it has done so far, by event time."""

    name: str
    chance: Random
    homes: list[tuple[datetime, str]]
    """From when on they are where; more than one for who travels."""
    diligence: float = 0.8
    """How likely a day has a session."""
    mistakes_rate: float = 0.3
    tells_zone: bool = True
    language: str = "python"
    lessons: int = 0
    open_mistakes: list[str] = field(default_factory=list)
    streak: int = 0
    streak_day: date | None = None

    def zone(self, at: datetime) -> str:
        """Where they are."""
        return [zone for since, zone in self.homes if since <= at or since == self.homes[0][0]][-1]

    @property
    def chapter(self) -> int:
        """Number of the chapter they are in."""
        return self.lessons // LESSONS_IN_CHAPTER % CHAPTERS

    def session(self, at: datetime) -> list[Happening]:
        """What happens in a session that begins then; it takes less than 40 minutes."""
        clock = _Clock(at, self.chance)
        found = []
        if self.tells_zone and self.chance.random() < 0.85:
            found.append(Happening(SESSION, at, {"timezone": self.zone(at), "platform": "web"}))
        found += self._streak(at.astimezone(ZoneInfo(self.zone(at))).date(), clock)
        for _ in range(self.chance.choice((0, 1, 1, 2, 2))):
            found += self._lesson(clock)
        if self.open_mistakes and self.chance.random() < 0.6:
            found += self._practice(clock)
        if self.chance.random() < 0.12:
            found.append(self._uses(self.chance.choice(ITEMS), clock))
        if self.chance.random() < 0.1:
            source = self.chance.choice(("mission_reward", "challenge", "streak_repair", "other"))
            found.append(Happening(XP, clock.later(), {"amount": self.chance.randint(1, 50), "xp_source": source}))
        return found or self._practice(clock)

    def old_phone(self, until: datetime) -> list[Happening]:
        """What a phone found in a drawer knows: some events of days long before."""
        found = []
        for _ in range(self.chance.randint(3, 10)):
            clock = _Clock(until - timedelta(minutes=self.chance.randint(0, 14 * 24 * 60)), self.chance)
            question, correct = self._question(), self.chance.random() < 0.6
            found.append(_answer(self.language, question, correct, clock))
            if self.chance.random() < 0.3:
                found.append(Happening(XP, clock.later(), {"amount": 10, "xp_source": "lesson"}))
        return sorted(found, key=lambda happening: happening.at)

    def _streak(self, today: date, clock: "_Clock") -> list[Happening]:
        """What the streak service says of a day's first session; a missed day breaks the run, or a freeze keeps it."""
        if self.streak_day is not None and today <= self.streak_day:
            return []
        found, before = [], self.streak
        missed = self.streak_day is not None and (today - self.streak_day).days > 1
        if missed and self.streak_day is not None:
            if self.chance.random() < 0.4:
                found.append(self._uses("streak_freeze", clock))
                change = "frozen"
            else:
                self.streak, change = 0, "broken"
            found.append(_streak(self.streak, self.streak_day + timedelta(days=1), change, clock))
        self.streak, self.streak_day = self.streak + 1, today
        found.append(_streak(self.streak, today, "extended", clock))
        if self.streak < before and self.chance.random() < 0.5:  # bought back within the day
            self.streak = before + 1
            found.append(_streak(self.streak, today, "repaired", clock))
        return found

    def _lesson(self, clock: "_Clock") -> list[Happening]:
        found = []
        wrong = 0
        for _ in range(self.chance.randint(2, 8)):
            question, correct = self._question(), self.chance.random() > self.mistakes_rate
            wrong += not correct
            if not correct and question not in self.open_mistakes:
                self.open_mistakes.append(question)
            found.append(_answer(self.language, question, correct, clock))
        chapter, number = self.chapter, self.lessons % LESSONS_IN_CHAPTER + 1
        data: dict[str, Any] = {
            "lesson_id": f"{self.language}-{chapter}-{number}",
            "chapter_id": f"{self.language}-chapter-{chapter}",
            "unit_id": f"{self.language}-unit-{chapter // 2}",
            "language": self.language,
            "lesson_type": self.chance.choice(LESSON_TYPES),
            "hearts_lost": wrong if self.chance.random() < 0.8 else 0,
            "duration_seconds": self.chance.randint(60, 900),
            "chapter_progress": round(number / LESSONS_IN_CHAPTER, 2),
        }
        if self.chance.random() < 0.5:
            data["accuracy"] = round(self.chance.random(), 2)
        if number == LESSONS_IN_CHAPTER and chapter % 2:
            data["unit_progress"] = 1
        self.lessons += 1
        found.append(Happening(LESSON, clock.later(), data))
        found.append(Happening(XP, clock.later(), {"amount": self.chance.randint(4, 25), "xp_source": "lesson"}))
        return found

    def _practice(self, clock: "_Clock") -> list[Happening]:
        """Mistakes are met again, most of them are mended."""
        found = []
        for question in self.open_mistakes[: self.chance.randint(1, 6)] or [self._question()]:
            correct = self.chance.random() < 0.75
            if correct and question in self.open_mistakes:
                self.open_mistakes.remove(question)
            found.append(_answer(self.language, question, correct, clock))
        if self.chance.random() < 0.7:
            found.append(Happening(XP, clock.later(), {"amount": self.chance.randint(2, 12), "xp_source": "practice"}))
        return found

    def _uses(self, item: str, clock: "_Clock") -> Happening:
        quantity = self.chance.choice((1, 1, 1, 2))
        return Happening(ITEM, clock.later(), {"item_id": f"{item}-1", "item_type": item, "quantity": quantity})

    def _question(self) -> str:
        return f"{self.language}-q-{self.chapter * QUESTIONS_IN_CHAPTER + self.chance.randrange(QUESTIONS_IN_CHAPTER)}"


class _Clock:
    """Goes on by some seconds with each thing that happens; the second of two may be the same."""

    def __init__(self, at: datetime, chance: Random) -> None:
        self._at = at
        self._chance = chance

    def later(self) -> datetime:
        self._at += timedelta(seconds=self._chance.choice((0, 1, 5, 12, 30, 45)))
        return self._at


def _answer(language: str, question: str, correct: bool, clock: _Clock) -> Happening:
    number = int(question.rpartition("-")[2])
    data: dict[str, Any] = {
        "question_id": question,
        "correct": correct,
        "difficulty": ("easy", "medium", "easy", "medium", "hard")[number % 5],
        "topic_id": f"{language}-topic-{number // 6}",
        "chapter_id": f"{language}-chapter-{number // QUESTIONS_IN_CHAPTER}",
        "language": language,
    }
    if number % 3 == 0:
        data |= {"concept_id": f"{language}-word-{number}", "concept_kind": "keyword"}
    return Happening(ANSWER, clock.later(), data)


def _streak(days: int, day: date, change: str, clock: _Clock) -> Happening:
    return Happening(STREAK, clock.later(), {"days": days, "day": day.isoformat(), "change": change})
