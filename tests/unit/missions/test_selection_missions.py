"""Questions for missions: those that the mission's own definition counts, as many as it needs, whatever the definition is."""

from datetime import timedelta
from typing import Any

import pytest

from services.adapters.catalogue_files import default_catalogue
from services.missions.catalogue import UnknownMission
from services.missions.selection import QuestionCatalogue
from services.missions.state import Status
from tests.support.builders import NOON, catalogue, mission, objective
from tests.support.questions import COURSE, Learner, codes, ids, question

DAY = timedelta(days=1)


def answers_objective(where: dict[str, Any], target: int = 3, measure: Any = "count", **fields: Any) -> dict[str, Any]:
    """An objective over answers."""
    return objective(measure, target, event="question-answered", where=where, **fields)


def with_mission(where: dict[str, Any], target: int = 3, measure: Any = "count", **fields: Any) -> Learner:
    """A learner with one mission over answers."""
    return Learner(catalogue(mission(answers_objective(where, target, measure), **fields)))


def experienced(learner: Learner) -> Learner:
    """With mistakes of yesterday and of last week, and right answers of long ago and of this morning."""
    state = learner.state
    state.weak_topics, state.language, state.chapter = ["py-2-a"], "python", "py-1"
    for number in range(4):
        learner.answers(f"py-1-easy-{number}", correct=False, at=NOON - DAY - timedelta(minutes=number))
        learner.answers(f"py-1-medium-{number}", correct=False, at=NOON - 8 * DAY - timedelta(minutes=number))
        learner.answers(f"py-1-hard-{number}", at=NOON - timedelta(days=15, minutes=number))
    return learner


WHERES: list[dict[str, Any]] = [
    {},
    {"correct": True, "history.open_mistake": True},
    {"correct": True, "history.open_mistake": True, "history.mistake_age_days": 1},
    {"history.open_mistake": True, "history.mistake_age_days": {"gte": 7}},
    {"history.days_since_seen": {"gte": 14}},
    {"history.days_since_seen": {"exists": False}, "difficulty": "hard"},
    {"history.topic_weak": True},
    {"correct": True, "difficulty": "medium"},
    {"difficulty": {"in": ["medium", "hard"]}, "language": {"not_in": ["python"]}},
    {"language": {"not_in": ["python"]}},
    {"topic_id": "sql-2-b"},
    {"chapter_id": "$current_chapter", "difficulty": {"not_in": ["easy"]}},
    {"concept_kind": "keyword", "language": "python"},
    {"concept_id": {"exists": True}, "difficulty": {"in": ["easy", "medium"]}},
    {"question_id": {"in": ["sql-2-hard-3", "sql-2-hard-2", "py-2-easy-1"]}},
    {"topic_id": {"in": "$weak_topics"}},
]


@pytest.mark.parametrize("measure", ["count", {"distinct": "question_id"}], ids=str)
@pytest.mark.parametrize("where", WHERES, ids=str)
def test_answering_what_was_selected_completes_the_mission(where: dict[str, Any], measure: Any) -> None:
    learner = experienced(with_mission(where, 3, measure))
    selected = learner.gets(10, "mission")
    assert codes(selected) == ["mission"] * 3
    assert len(set(ids(selected))) == 3
    for number, (asked, reason) in enumerate(selected):
        assert (reason.mission_id, reason.assignment_id) == ("mission-1", learner.assignment().assignment_id)
        assert learner.progress() == [number]
        learner.answers(asked.question_id)
    assert learner.assignment().status is Status.COMPLETED
    assert learner.gets(10, "mission") == []


def test_missions_come_before_mistakes_reviews_and_the_chapter() -> None:
    learner = experienced(with_mission({"difficulty": "hard", "language": "sql"}, 2))
    selected = learner.gets(30)
    assert codes(selected)[:2] == ["mission", "mission"]
    assert codes(selected)[2:10] == ["open_mistake"] * 8
    assert set(codes(selected)[10:14]) == {"due_review"}
    assert selected[0].reason.text == 'Counts for "A mission".'


def test_a_mission_that_nothing_fits_leaves_its_place_to_others() -> None:
    learner = with_mission({"history.open_mistake": True}, 2)
    assert learner.gets(10, "mission") == []
    assert codes(learner.gets(3)) == ["chapter"] * 3


def test_what_a_distinct_mission_has_counted_is_not_asked_for_it_again() -> None:
    learner = with_mission({"concept_kind": "keyword", "language": "python"}, 3, {"distinct": "concept_id"})
    learner.gets()
    learner.answers("py-1-easy-0")
    selected = learner.gets(10, "mission")
    assert len(selected) == 2
    assert "py-1-easy-0" not in ids(selected)


def test_questions_of_one_member_are_asked_once_for_a_distinct_mission() -> None:
    learner = with_mission({"language": "python"}, 4, {"distinct": "topic_id"})
    assert len({one.question.topic_id for one in learner.gets(10, "mission")}) == 4


def test_a_day_counts_once_for_a_mission_over_days() -> None:
    learner = with_mission({"correct": True}, 3, "consecutive_days", period="weekly")
    assert len(learner.gets(10, "mission")) == 1
    learner.answers("py-1-easy-0")
    assert learner.gets(10, "mission") == []


def test_one_question_may_serve_several_missions_and_is_preferred() -> None:
    hard = mission(answers_objective({"difficulty": "hard"}, 1), id="hard")
    sql = mission(answers_objective({"language": "sql"}, 1), id="sql")
    learner = Learner(catalogue(hard, sql))
    [selected] = learner.gets(10, "mission")
    assert (selected.question.language, selected.question.difficulty) == ("sql", "hard")


def test_what_ends_first_is_served_first() -> None:
    week = mission(answers_objective({"difficulty": "hard"}, 2), id="week", period="weekly")
    day = mission(answers_objective({"difficulty": "medium"}, 2), id="day")
    selected = Learner(catalogue(week, day)).gets(3)
    assert [one.reason.mission_id for one in selected] == ["day", "day", "week"]


def test_an_open_mistake_is_preferred_for_a_mission_that_any_question_serves() -> None:
    learner = with_mission({"difficulty": "medium"}, 1)
    learner.answers("py-1-medium-4", correct=False, at=NOON - DAY)
    assert ids(learner.gets(1)) == ["py-1-medium-4"]


def test_a_mission_of_several_objectives_gets_what_each_needs() -> None:
    learner = Learner(
        catalogue(
            mission(
                answers_objective({"difficulty": "easy"}, 2, id="easy"),
                answers_objective({"difficulty": "medium"}, 1, id="medium"),
                objective(id="lessons"),
            )
        )
    )
    assert [one.question.difficulty for one in learner.gets(10, "mission")] == ["easy", "easy", "medium"]


def test_a_mission_that_needs_one_of_two_gets_no_more_than_that() -> None:
    one_of_two = mission(
        answers_objective({"difficulty": "easy"}, 2, id="easy"),
        answers_objective({"difficulty": "hard"}, 2, id="hard"),
        require={"at_least": 1},
    )
    assert len(Learner(catalogue(one_of_two)).gets(10, "mission")) == 2


def test_one_assignment_alone_may_be_asked_for() -> None:
    easy = mission(answers_objective({"difficulty": "easy"}, 2), id="easy")
    hard = mission(answers_objective({"difficulty": "hard"}, 2), id="hard")
    learner = Learner(catalogue(easy, hard))
    learner.gets()
    selected = learner.gets(10, f"mission:{learner.assignment('hard').assignment_id}")
    assert [one.question.difficulty for one in selected] == ["hard", "hard"]


def test_missions_that_have_ended_or_not_begun_ask_for_nothing() -> None:
    learner = with_mission({})
    learner.gets()
    [assignment] = learner.state.assignments
    for starts_at, expires_at in ((NOON - DAY, NOON), (NOON + DAY, NOON + 2 * DAY)):
        assignment.starts_at, assignment.expires_at = starts_at, expires_at
        assert learner.gets(10, f"mission:{assignment.assignment_id}") == []


def test_a_mission_in_a_language_that_the_user_does_not_learn_is_served_all_the_same() -> None:
    learner = experienced(with_mission({"topic_id": {"in": ["py-2-b", "sql-1-a"]}}, 3))
    assert {one.question.topic_id for one in learner.gets(10, "mission")} == {"py-2-b"}
    learner = experienced(with_mission({"topic_id": "sql-1-a"}, 3))
    assert {one.question.topic_id for one in learner.gets(10, "mission")} == {"sql-1-a"}


def test_a_mission_without_a_language_stays_near_the_current_chapter() -> None:
    learner = with_mission({"difficulty": "medium"}, 3)
    learner.state.language, learner.state.chapter = "python", "py-2"
    assert {one.question.chapter_id for one in learner.gets(10, "mission")} == {"py-2"}


def test_work_stays_bounded_in_a_huge_catalogue() -> None:
    huge = QuestionCatalogue(question(f"question-{number}", topic_id=f"t-{number % 7}") for number in range(20_000))
    many = [mission(answers_objective({"topic_id": f"t-{n % 7}"}, 50), id=f"mission-{n}") for n in range(30)]
    learner = Learner(catalogue(*many), huge)
    assert len(learner.gets(50)) == 50
    assert len(learner.looks_up()) <= 12 * 60 + 150


def test_a_version_that_only_a_newer_catalogue_has_is_said_to_be_unknown() -> None:
    learner = with_mission({})
    learner.gets()
    learner.state.assignments[0].mission_version = 2
    with pytest.raises(UnknownMission):
        learner.gets()


def test_the_default_missions_over_answers_are_all_served() -> None:
    learner = experienced(Learner(default_catalogue(), COURSE))
    learner.state.days_active = 10
    next_week = NOON + 7 * DAY
    for one in learner.gets(50, "mission", next_week):
        learner.answers(one.question.question_id, at=next_week)
    reached = {
        a.mission_id: [o.progress for o in a.objectives]
        for a in learner.state.assignments
        if a.starts_at <= next_week and (a.expires_at is None or next_week < a.expires_at)
    }
    assert {name: progress for name, progress in reached.items() if sum(progress)} == {
        "daily-medium-3": [3],
        "fix-mistakes-5": [5],
        "master-chapter": [5, 5],
        "master-weak-topics": [10],
        "python-keywords-10": [6],  # all that there are in the course
        "review-old-10": [10],
    }
