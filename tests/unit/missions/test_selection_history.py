"""What answers say: the attempts that a record remembers, when a question is due again, and which topics are weak."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from services.missions.history import RECENT_ANSWERS_MAX, Attempt, attempts
from services.missions.history import answer as answered
from services.missions.selection import topic_statistics, weak_topics
from services.missions.selection.memory import recall
from services.missions.state import QuestionRecord
from services.missions.topics import TOPIC_ATTEMPTS_MAX, WEAK_TOPICS_MAX
from tests.support.builders import NOON, USER

DAY = timedelta(days=1)


def record(*answers: tuple[bool, datetime], topic: str = "loops", question: str = "q-1") -> QuestionRecord:
    """A record after these answers, in the order in which they arrive."""
    known: QuestionRecord | None = None
    for correct, at in answers:
        data = {"question_id": question, "correct": correct, "topic_id": topic, "chapter_id": "c", "language": "python"}
        known, _ = answered(known, USER, data, at)
    assert known is not None
    return known


def topic(name: str, right: int, wrong: int, at: datetime = NOON - DAY) -> list[QuestionRecord]:
    """One record for each answer of a topic."""
    return [record((number < right, at), topic=name, question=f"{name}-{number}") for number in range(right + wrong)]


def weak(records: Iterable[QuestionRecord]) -> list[str]:
    """The weak topics at NOON."""
    return weak_topics(topic_statistics(records, NOON))


def seconds(instant: datetime) -> int:
    return int(instant.timestamp())


def test_a_record_remembers_its_newest_answers_in_order_of_time() -> None:
    answers = [(number % 3 == 0, NOON + number * DAY) for number in range(RECENT_ANSWERS_MAX + 3)]
    late = [*answers[1:], answers[0], answers[5]]
    expected = [Attempt(seconds(at), correct) for correct, at in sorted([*answers, answers[5]], key=lambda a: a[1])]
    assert attempts(record(*late)) == expected[-RECENT_ANSWERS_MAX:]


def test_whatever_order_answers_arrive_in_the_same_ones_are_remembered() -> None:
    answers = [(True, NOON), (False, NOON), (True, NOON + DAY), (False, NOON + 2 * DAY)]
    assert len({tuple(attempts(record(*order))) for order in permutations(answers)}) == 1


def test_a_record_from_before_answers_were_remembered_has_its_last_one() -> None:
    old = QuestionRecord(USER, "q-1", 5, 2, True, NOON)
    assert attempts(old) == [Attempt(seconds(NOON), True)]
    assert attempts(QuestionRecord(USER, "q-1")) == []


def test_a_question_never_answered_has_no_recall() -> None:
    assert recall(QuestionRecord(USER, "q-1"), NOON) is None


def test_a_wrong_answer_is_due_a_day_later_and_a_right_one_later_than_that() -> None:
    wrong, right = recall(record((False, NOON)), NOON), recall(record((True, NOON)), NOON)
    assert wrong is not None
    assert right is not None
    assert wrong.due_at == NOON + DAY
    assert right.due_at > wrong.due_at
    assert wrong.due_at.tzinfo is UTC


def test_each_spaced_right_answer_lengthens_the_wait_and_a_wrong_one_shortens_it() -> None:
    waits = []
    answers: list[tuple[bool, datetime]] = []
    at = NOON
    for _ in range(5):
        answers.append((True, at))
        known = recall(record(*answers), at)
        assert known is not None
        waits.append(known.due_at - at)
        at = known.due_at
    assert waits == sorted(set(waits))
    lapsed = recall(record(*answers, (False, at)), at)
    assert lapsed is not None
    assert lapsed.due_at - at < waits[-1]


def test_answers_crammed_into_one_sitting_lengthen_the_wait_less_than_spaced_ones() -> None:
    crammed = recall(record(*((True, NOON + timedelta(minutes=n)) for n in range(5))), NOON)
    spaced = recall(record(*((True, NOON + timedelta(days=4 * n)) for n in range(5))), NOON)
    assert crammed is not None
    assert spaced is not None
    assert crammed.due_at - NOON < spaced.due_at - (NOON + timedelta(days=16))


def test_the_chance_to_know_it_falls_with_time() -> None:
    known = record((True, NOON))
    chances = [found.chance for days in range(0, 60, 10) if (found := recall(known, NOON + days * DAY))]
    assert chances[0] == 1
    assert chances == sorted(chances, reverse=True)


def test_answers_with_the_same_distances_wait_equally_long() -> None:
    waits = set()
    for second in range(30):
        at = NOON + timedelta(seconds=second)
        known = recall(record((True, at), (True, at + 3 * DAY), (True, at + 14 * DAY)), at)
        assert known is not None
        waits.add(known.due_at - at)
    assert len(waits) == 1


def test_statistics_count_the_answers_of_each_topic() -> None:
    found = topic_statistics([*topic("loops", 3, 1), *topic("lists", 0, 2)], NOON)
    assert [(s.topic_id, s.attempts, s.correct, s.accuracy) for s in found.values()] == [
        ("lists", 2, 0, 0.0),
        ("loops", 4, 3, 0.75),
    ]
    assert found["loops"].last_answered_at == NOON - DAY


def test_statistics_forget_old_answers_and_know_no_future_ones() -> None:
    records = [*topic("old", 1, 2, NOON - 61 * DAY), *topic("ahead", 1, 2, NOON + DAY), *topic("new", 1, 2)]
    assert set(topic_statistics(records, NOON)) == {"new"}


def test_of_a_topic_only_the_newest_answers_count() -> None:
    records = [*topic("loops", 0, 30, NOON - 30 * DAY)]
    records += [record((True, NOON - DAY), question=f"new-{number}") for number in range(TOPIC_ATTEMPTS_MAX)]
    found = topic_statistics(records, NOON)["loops"]
    assert (found.attempts, found.correct) == (TOPIC_ATTEMPTS_MAX, TOPIC_ATTEMPTS_MAX)


@pytest.mark.parametrize(
    ("right", "wrong", "is_weak"),
    [
        (0, 2, False),  # two answers say too little
        (0, 3, True),
        (1, 2, True),
        (2, 1, False),  # nine times in ten is not sure enough yet
        (10, 10, True),
        (12, 8, True),
        (15, 5, False),
        (20, 0, False),
    ],
)
def test_which_topics_are_weak(right: int, wrong: int, is_weak: bool) -> None:
    assert weak(topic("loops", right, wrong)) == (["loops"] if is_weak else [])


def test_the_weakest_topic_comes_first_and_there_are_only_so_many() -> None:
    records = [one for number in range(8) for one in topic(f"topic-{number}", number % 4, 10)]
    found = weak(records)
    assert found == ["topic-0", "topic-4", "topic-1", "topic-5", "topic-2"]
    assert len(found) == WEAK_TOPICS_MAX


def test_practice_ends_a_weakness() -> None:
    records = topic("loops", 1, 6, NOON - 10 * DAY)
    assert weak(records) == ["loops"]
    records += [record((True, NOON - DAY), question=f"practice-{number}") for number in range(14)]
    assert weak(records) == []
