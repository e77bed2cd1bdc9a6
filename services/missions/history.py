"""UserQuestionHistory: what one answer changes in a user's record of a question, and the facts it is matched with."""

from bisect import insort
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from msgspec.structs import replace

from .periods import local_day
from .state import QuestionRecord, ZoneSegment

RECENT_ANSWERS_MAX = 8
"""Answers of one question that are remembered one by one. What spaced repetition makes of the last eight differs little from what it
makes of all, and they are as many bytes as the rest of the row."""

HistoryFacts = Mapping[str, Any]
"""The `history.…` fields of one answer, as known when it is applied; absent facts are not in it."""


def answer(
    record: QuestionRecord | None,
    user_id: str,
    data: Mapping[str, Any],
    at: datetime,
    zones: Sequence[ZoneSegment] = (),
    weak_topics: Collection[str] = (),
) -> tuple[QuestionRecord, HistoryFacts]:
    """The record after an answer at the instant `at` (data of a question-answered event), and the facts before it.

    An answer that is older than the last one known counts as an answer, but it changes neither the last result nor the
    mistake; and a mistake made after it is not one that it could mend.
    """
    if record is None:
        record = QuestionRecord(user_id, data["question_id"])
    facts = _facts(record, data, at, zones, weak_topics)
    correct = data["correct"]
    answers = record.answers + 1
    correct_answers = record.correct_answers + correct
    recent = _with_answer(record.recent_answers, at, correct)
    last = record.last_answered_at
    if last is not None and at < last:
        return replace(record, answers=answers, correct_answers=correct_answers, recent_answers=recent), facts
    mistake_since, corrected_at = record.mistake_since, record.corrected_at
    if not correct:
        mistake_since = mistake_since or at
    elif mistake_since is not None:
        mistake_since, corrected_at = None, at
    after = QuestionRecord(
        user_id=record.user_id,
        question_id=record.question_id,
        answers=answers,
        correct_answers=correct_answers,
        last_correct=correct,
        last_answered_at=at,
        mistake_since=mistake_since,
        corrected_at=corrected_at,
        topic_id=data["topic_id"],
        chapter_id=data["chapter_id"],
        language=data["language"],
        recent_answers=recent,
    )
    return after, facts


class Attempt(NamedTuple):
    """One answer: seconds since 1970, and whether it was right."""

    at: int
    correct: bool


def attempts(record: QuestionRecord) -> list[Attempt]:
    """The newest answers that are remembered, oldest first; the last one alone in a record from before they were."""
    if record.recent_answers:
        return [Attempt(answer >> 1, bool(answer & 1)) for answer in record.recent_answers]
    if record.last_answered_at is None:
        return []
    return [Attempt(int(record.last_answered_at.timestamp()), record.last_correct)]


def _with_answer(recent: Sequence[int], at: datetime, correct: bool) -> list[int]:
    """Adds an answer as twice its second, plus one if it was right: in whatever order answers come, the newest stay."""
    answers = [*recent]
    insort(answers, 2 * int(at.timestamp()) + correct)
    return answers[-RECENT_ANSWERS_MAX:]


def _facts(
    record: QuestionRecord,
    data: Mapping[str, Any],
    at: datetime,
    zones: Sequence[ZoneSegment],
    weak_topics: Collection[str],
) -> HistoryFacts:
    mistake_since, last = record.mistake_since, record.last_answered_at
    is_open = mistake_since is not None and mistake_since <= at
    facts: dict[str, Any] = {
        "history.open_mistake": is_open,
        "history.topic_weak": data["topic_id"] in weak_topics,
    }
    if last is not None:
        today = local_day(zones, at)
        facts["history.days_since_seen"] = max(today - local_day(zones, last), 0)
        if is_open and mistake_since is not None:
            facts["history.mistake_age_days"] = today - local_day(zones, mistake_since)
    return facts
