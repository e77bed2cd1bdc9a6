"""The next questions: mistakes, due reviews, the current chapter; for what purpose, how many, how hard."""

from datetime import timedelta

import pytest

from services.missions.selection import QuestionCatalogue, UnknownPurpose, parse_purpose
from services.missions.selection.purposes import PurposeKind
from services.missions.selection.ramp import difficulty_mix, recent_accuracy
from services.missions.state import UserState
from tests.support.builders import NOON, USER, lesson, living_in, recorded
from tests.support.questions import COURSE, Learner, codes, ids, question

DAY = timedelta(days=1)
EASY = [f"py-1-easy-{number}" for number in range(8)]
MEDIUM = [f"py-1-medium-{number}" for number in range(6)]


def difficulties(learner: Learner, count: int, purpose: str = "chapter") -> list[str]:
    return [one.question.difficulty for one in learner.gets(count, purpose)]


def test_a_new_user_gets_easy_questions_of_the_first_chapter() -> None:
    selected = Learner().gets(5)
    assert codes(selected) == ["chapter"] * 5
    assert {(one.question.language, one.question.chapter_id, one.question.difficulty) for one in selected} == {
        ("python", "py-1", "easy")
    }


def test_a_new_user_who_wants_more_than_the_easy_ones_gets_the_rest_of_the_chapter_and_then_the_next_one() -> None:
    selected = Learner().gets(30)
    assert [one.question.difficulty for one in selected[:18]] == ["easy"] * 8 + ["medium"] * 6 + ["hard"] * 4
    assert codes(selected) == ["chapter"] * 18 + ["other_chapter"] * 12
    assert {one.question.chapter_id for one in selected[18:]} == {"py-2"}


def test_an_empty_catalogue_gives_nothing() -> None:
    assert Learner(course=QuestionCatalogue([])).gets(50) == []


def test_a_catalogue_refuses_a_question_given_twice() -> None:
    with pytest.raises(ValueError, match="question-1 is given twice"):
        QuestionCatalogue([question(), question()])


def test_the_chapter_is_that_of_the_newest_lesson() -> None:
    learner = Learner()
    learner.state.language, learner.state.chapter = "sql", "sql-2"
    assert {one.question.chapter_id for one in learner.gets(5)} == {"sql-2"}


def test_without_a_lesson_the_chapter_is_that_of_the_newest_answer() -> None:
    learner = Learner()
    learner.answers("py-1-easy-0", at=NOON - DAY)
    learner.answers("sql-2-easy-0", at=NOON - DAY / 2)
    assert {one.question.chapter_id for one in learner.gets(3, "chapter")} == {"sql-2"}


def test_a_lesson_of_a_chapter_without_questions_still_says_the_language() -> None:
    learner = Learner()
    learner.state.language, learner.state.chapter = "sql", "sql-unheard-of"
    assert {one.question.chapter_id for one in learner.gets(3)} == {"sql-1"}


def test_open_mistakes_come_before_all_else_the_oldest_first() -> None:
    learner = Learner()
    learner.answers("py-1-easy-3", correct=False, at=NOON - DAY)
    learner.answers("py-1-easy-5", correct=False, at=NOON - 2 * DAY)
    selected = learner.gets(4)
    assert ids(selected)[:2] == ["py-1-easy-5", "py-1-easy-3"]
    assert codes(selected) == ["open_mistake", "open_mistake", "chapter", "chapter"]
    assert selected[0].reason.text == "You got this wrong on 2026-11-23."


def test_the_day_of_a_mistake_is_the_users_own() -> None:
    learner = Learner(state=UserState(USER, zones=living_in("Pacific/Kiritimati")))
    learner.answers("py-1-easy-3", correct=False)  # noon UTC is two in the morning of the next day there
    assert learner.gets(1)[0].reason.text == "You got this wrong on 2026-11-26."


def test_a_corrected_mistake_is_not_asked_as_one() -> None:
    learner = Learner()
    learner.answers("py-1-easy-3", correct=False, at=NOON - DAY)
    learner.answers("py-1-easy-3", at=NOON - DAY / 2)
    assert learner.gets(50, "mistakes") == []


def test_a_review_is_due_when_it_is_likely_forgotten_and_the_likeliest_comes_first() -> None:
    learner = Learner()
    learner.answers("py-1-easy-0", at=NOON - 30 * DAY)
    learner.answers("py-1-easy-1", at=NOON - 60 * DAY)
    learner.answers("py-1-easy-2", at=NOON - DAY / 2)
    selected = learner.gets(10, "review")
    assert ids(selected) == ["py-1-easy-1", "py-1-easy-0"]
    assert codes(selected) == ["due_review"] * 2
    assert "chance that you still know this is" in selected[0].reason.text


def test_what_was_answered_right_again_and_again_rests_longer() -> None:
    learner = Learner()
    for days in (100, 80, 60):
        learner.answers("py-1-easy-0", at=NOON - days * DAY)
    learner.answers("py-1-easy-1", at=NOON - 60 * DAY)
    assert ids(learner.gets(10, "review")) == ["py-1-easy-1"]


def test_mistakes_then_reviews_then_the_chapter() -> None:
    learner = Learner()
    learner.answers("py-1-easy-0", at=NOON - 30 * DAY)
    learner.answers("py-1-easy-1", correct=False, at=NOON - DAY / 4)
    assert codes(learner.gets(4)) == ["open_mistake", "due_review", "chapter", "chapter"]


@pytest.mark.parametrize(
    ("purpose", "code"), [("mistakes", "open_mistake"), ("review", "due_review"), ("chapter", "chapter")]
)
def test_a_purpose_keeps_to_itself(purpose: str, code: str) -> None:
    learner = Learner()
    learner.answers("py-1-easy-0", at=NOON - 30 * DAY)
    learner.answers("py-1-easy-1", correct=False, at=NOON - DAY / 4)
    assert set(codes(learner.gets(3, purpose))) == {code}


@pytest.mark.parametrize("text", ["", "mission:", "Mistakes", "fun", "mission=1"])
def test_an_unknown_purpose_is_refused_with_those_that_there_are(text: str) -> None:
    with pytest.raises(UnknownPurpose, match="mission, mistakes, review, chapter and mission:<assignment_id>"):
        parse_purpose(text)


def test_a_purpose_may_name_one_assignment() -> None:
    assert parse_purpose("mission:a-1") == (PurposeKind.MISSION, "a-1")


def test_good_answers_bring_harder_questions_and_bad_ones_easier() -> None:
    good, bad = Learner(), Learner()
    for number, name in enumerate(EASY):
        good.answers(name, at=NOON - timedelta(minutes=number))
        bad.answers(name, correct=number == 0, at=NOON - timedelta(minutes=number))
    assert difficulties(good, 5) == ["medium"] * 3 + ["hard"] * 2
    assert difficulties(bad, 5) == ["medium"] * 5  # its chapter has no easy one left
    assert difficulties(Learner(), 5) == ["easy"] * 5


def test_only_the_newest_answers_in_the_language_count_for_the_ramp() -> None:
    learner = Learner()
    for number in range(8):
        learner.answers(f"sql-1-easy-{number}", correct=False, at=NOON - timedelta(minutes=number))
    for number in range(20):
        learner.answers(MEDIUM[number % 6], correct=False, at=NOON - timedelta(days=9, minutes=number))
        learner.answers(EASY[number % 8], at=NOON - timedelta(minutes=number))
    assert recent_accuracy(learner.records.values(), "python") == 21 / 22


def test_without_answers_the_accuracy_is_a_half() -> None:
    assert recent_accuracy([], "python") == 0.5


@pytest.mark.parametrize(
    ("accuracy", "mix"), [(0.5, (10, 0, 0)), (0.7, (7, 3, 0)), (0.8, (4, 5, 1)), (0.9, (2, 5, 3)), (0.99, (0, 5, 5))]
)
def test_the_mix_of_ten_questions(accuracy: float, mix: tuple[int, int, int]) -> None:
    assert tuple(difficulty_mix(accuracy, 10).values()) == mix


def test_weak_topics_come_first_in_a_chapter() -> None:
    learner = Learner()
    learner.state.weak_topics = ["py-1-b"]
    assert {one.question.topic_id for one in learner.gets(4)} == {"py-1-b"}


def test_when_everything_is_known_the_longest_unseen_is_practised() -> None:
    learner = Learner(course=QuestionCatalogue([question("one"), question("two"), question("three")]))
    for number, name in enumerate(("two", "three", "one")):
        learner.answers(name, at=NOON - timedelta(hours=3 - number))
    selected = learner.gets(2)
    assert ids(selected) == ["two", "three"]
    assert codes(selected) == ["practice"] * 2


def test_records_of_questions_that_are_gone_are_passed_over() -> None:
    learner = Learner()
    learner.answers("py-1-easy-0", correct=False)
    without = QuestionCatalogue([question("left")])
    assert ids(Learner(course=without, state=learner.state, records=learner.records).gets(50)) == ["left"]


def test_the_choice_is_the_same_all_day_and_another_one_tomorrow() -> None:
    learner = Learner()
    today = ids(learner.gets(5))
    assert ids(learner.gets(5, now=NOON + timedelta(hours=2))) == today
    assert ids(learner.gets(5, now=NOON + DAY)) != today


def test_two_users_get_different_questions() -> None:
    assert ids(Learner().gets(5)) != ids(Learner(state=UserState("user-43")).gets(5))


def test_a_lesson_in_the_core_moves_the_chapter() -> None:
    learner = Learner()
    learner.gets(1)
    play_lesson(learner, "py-2")
    assert {one.question.chapter_id for one in learner.gets(3)} == {"py-2"}


def play_lesson(learner: Learner, chapter: str) -> None:
    from services.missions.decide import decide

    decide(learner.state, [recorded(lesson(chapter_id=chapter, language="python"))], {}, learner.missions)


def test_the_course_finds_questions_by_field_from_a_place_on() -> None:
    start = COURSE.place("py-2-easy-0")
    found = COURSE.having("concept_kind", ["keyword"], start, 4)
    assert [q.question_id for q in found] == ["py-2-easy-0", "py-2-medium-0", "py-2-hard-0", "sql-1-easy-0"]
    both = COURSE.having("topic_id", ["sql-1-a", "py-1-b", "py-2-a"], start, 100)
    places = [(COURSE.place(q.question_id) < start, COURSE.place(q.question_id)) for q in both]
    assert places == sorted(places)
    assert len(both) == 9 * 3
    everything = COURSE.having("concept_kind", ["keyword"], start, 100)
    assert len(everything) == COURSE.size("concept_kind", ["keyword"]) == 12
    assert everything[-1].question_id == "py-1-hard-0"
