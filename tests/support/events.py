"""Event data for tests, with values that make sense unless a test says otherwise."""

from typing import Any

from mission_events import ItemUsed, LessonCompleted, QuestionAnswered, StreakUpdated, XpEarned


def lesson(lesson_id: str = "python-basics-1", **changes: Any) -> LessonCompleted:
    """A finished lesson."""
    return LessonCompleted(
        **{
            "lesson_id": lesson_id,
            "chapter_id": "python-basics",
            "unit_id": "python-unit-1",
            "language": "python",
            "lesson_type": "core",
            "hearts_lost": 0,
            "duration_seconds": 240,
            **changes,
        }
    )


def answer(question_id: str, *, correct: bool, **changes: Any) -> QuestionAnswered:
    """An answered question."""
    return QuestionAnswered(
        **{
            "question_id": question_id,
            "correct": correct,
            "difficulty": "easy",
            "topic_id": "loops",
            "chapter_id": "python-basics",
            "language": "python",
            **changes,
        }
    )


def xp(amount: int, source: str = "lesson") -> XpEarned:
    """XP from somewhere."""
    return XpEarned.model_validate({"amount": amount, "xp_source": source})


def item(item_type: str = "streak_freeze", **changes: Any) -> ItemUsed:
    """A used item."""
    return ItemUsed(**{"item_id": f"{item_type}-1", "item_type": item_type, "quantity": 1, **changes})


def streak(days: int, day: str, change: str = "extended") -> StreakUpdated:
    """A streak that moved."""
    return StreakUpdated.model_validate_json(f'{{"days": {days}, "day": "{day}", "change": "{change}"}}')
