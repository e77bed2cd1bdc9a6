"""UserQuestionHistory: what an answer changes, and the facts that it is matched with."""

from datetime import timedelta

from services.missions.history import answer as apply_answer
from services.missions.state import QuestionRecord
from tests.support.builders import NOON, USER, answer, at, living_in

DAY = timedelta(days=1)


def record(*answers: tuple[bool, int]) -> QuestionRecord:
    """A record after (correct, days from noon) answers in this order."""
    known: QuestionRecord | None = None
    for correct, days in answers:
        known, _ = apply_answer(known, USER, answer(correct=correct).__dict__, NOON + days * DAY)
    assert known is not None
    return known


def facts(known: QuestionRecord | None, days: int = 0, *, correct: bool = True) -> dict[str, object]:
    return dict(apply_answer(known, USER, answer(correct=correct).__dict__, NOON + days * DAY)[1])


def test_a_first_answer_makes_a_record() -> None:
    made = record((False, 0))
    assert (made.user_id, made.question_id, made.answers, made.correct_answers) == (USER, "question-1", 1, 0)
    assert (made.last_correct, made.last_answered_at, made.mistake_since) == (False, NOON, NOON)
    assert (made.topic_id, made.chapter_id, made.language) == ("topic-1", "chapter-1", "python")


def test_a_question_never_seen_has_no_ages() -> None:
    assert facts(None) == {"history.open_mistake": False, "history.topic_weak": False}


def test_a_correct_answer_mends_a_mistake() -> None:
    assert facts(record((False, 0)), 1)["history.open_mistake"] is True
    mended = record((False, 0), (True, 1))
    assert (mended.mistake_since, mended.corrected_at) == (None, NOON + DAY)
    assert facts(mended, 2)["history.open_mistake"] is False


def test_a_mistake_is_as_old_as_its_first_wrong_answer() -> None:
    known = record((False, 0), (False, 2))
    assert known.mistake_since == NOON
    assert facts(known, 3)["history.mistake_age_days"] == 3


def test_days_are_the_users_own() -> None:
    known, _ = apply_answer(None, USER, answer(correct=False).__dict__, at("2026-11-25 14:30"))
    zones = living_in("Asia/Tokyo")
    _, seen = apply_answer(known, USER, answer().__dict__, at("2026-11-25 15:30"), zones)
    assert (seen["history.mistake_age_days"], seen["history.days_since_seen"]) == (1, 1)


def test_days_since_seen_count_from_the_last_answer() -> None:
    assert facts(record((True, 0), (True, 5)), 12)["history.days_since_seen"] == 7


def test_a_late_answer_counts_but_does_not_change_the_last_result() -> None:
    late = record((True, 2), (False, 1))
    assert (late.answers, late.correct_answers) == (2, 1)
    assert (late.last_correct, late.last_answered_at, late.mistake_since) == (True, NOON + 2 * DAY, None)


def test_a_late_correct_answer_does_not_mend_a_mistake_made_after_it() -> None:
    known = record((False, 2))
    assert facts(known, 1)["history.open_mistake"] is False
    assert record((False, 2), (True, 1)).mistake_since == NOON + 2 * DAY


def test_a_late_answer_has_no_negative_age() -> None:
    assert facts(record((True, 2)), 1)["history.days_since_seen"] == 0


def test_an_answer_does_not_change_the_record_that_it_was_given() -> None:
    known = record((False, 0))
    apply_answer(known, USER, answer().__dict__, NOON + DAY)
    assert known == record((False, 0))


def test_weak_topics_are_known_to_matching() -> None:
    _, seen = apply_answer(None, USER, answer(topic_id="lists").__dict__, NOON, (), ["lists"])
    assert seen["history.topic_weak"] is True
