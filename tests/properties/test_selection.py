"""Laws of selecting questions: for every history, every purpose and every course."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.missions.catalogue import Catalogue
from services.missions.selection import COUNT_MAX, QuestionCatalogue, topic_statistics, weak_topics
from services.missions.selection.questions import DIFFICULTIES
from services.missions.selection.ramp import difficulty_mix
from services.missions.state import QuestionRecord, Status, decode_state, encode_state
from tests.support.builders import mission, objective
from tests.support.questions import COURSE, Learner, codes, ids, question

from .strategies import START

MISSIONS = Catalogue(
    [
        mission(
            objective(event="question-answered", where={"correct": True, "history.open_mistake": True}, target=2),
            id="fix",
        ),
        mission(
            objective({"distinct": "concept_id"}, 4, event="question-answered", where={"concept_kind": "keyword"}),
            id="keywords",
            period="weekly",
        ),
        mission(
            objective(event="question-answered", where={"history.days_since_seen": {"gte": 3}}, target=5, id="old"),
            objective(event="question-answered", where={"difficulty": {"not_in": ["easy"]}}, target=3, id="harder"),
            id="either",
            period="weekly",
            require={"at_least": 1},
        ),
    ],
    1,
)
NOW = START + timedelta(days=10, hours=12)
QUESTIONS = sorted(
    q.question_id for name in COURSE.languages for q in COURSE.having("language", [name], 0, len(COURSE))
)

answers = st.lists(st.tuples(st.sampled_from(QUESTIONS), st.booleans(), st.integers(0, 10 * 24 * 60)), max_size=40).map(
    lambda found: sorted(found, key=lambda one: one[2])
)
counts = st.integers(1, COUNT_MAX)
purposes = st.sampled_from([None, "mission", "mistakes", "review", "chapter"])


def learner_after(history: list[tuple[str, bool, int]]) -> Learner:
    learner = Learner(MISSIONS)
    for question_id, correct, minute in history:
        learner.answers(question_id, correct, START + timedelta(minutes=minute))
    return learner


@given(answers, counts, purposes)
def test_no_question_comes_twice_and_none_too_many(
    history: list[tuple[str, bool, int]], count: int, purpose: str | None
) -> None:
    selected = learner_after(history).gets(count, purpose, NOW)
    assert len(selected) == len(set(ids(selected))) <= count
    assert all(one.reason.text for one in selected)
    if purpose is None:
        assert len(selected) >= min(count, 36)  # as many questions as there are in one language


@given(answers, counts, purposes, st.randoms(use_true_random=False))
def test_the_same_history_in_any_order_gives_the_same_questions(
    history: list[tuple[str, bool, int]], count: int, purpose: str | None, random: object
) -> None:
    learner = learner_after(history)
    first = learner.gets(count, purpose, NOW)
    records = list(learner.records.items())
    random.shuffle(records)  # type: ignore[attr-defined] # Hypothesis gives a Random that it can replay
    again = Learner(MISSIONS, state=decode_state(encode_state(learner.state)), records=dict(records))
    assert again.gets(count, purpose, NOW) == first


@given(answers, counts)
def test_reasons_come_in_their_order_and_are_true(history: list[tuple[str, bool, int]], count: int) -> None:
    learner = learner_after(history)
    selected = learner.gets(count, None, NOW)
    order = ["mission", "open_mistake", "due_review", "chapter", "other_chapter", "practice"]
    places = [order.index(code) for code in codes(selected)]
    assert places == sorted(places)
    for asked, reason in selected:
        known = learner.records.get(asked.question_id)
        if reason.code == "open_mistake":
            assert known is not None
            assert known.mistake_since is not None
        elif reason.code == "due_review":
            assert known is not None
            assert known.last_answered_at is not None
            assert known.last_answered_at <= NOW - timedelta(days=1)
        elif reason.code in {"chapter", "other_chapter"}:
            assert known is None


@given(answers)
def test_each_question_for_a_mission_brings_it_on(history: list[tuple[str, bool, int]]) -> None:
    learner = learner_after(history)
    for asked, reason in learner.gets(COUNT_MAX, "mission", NOW):
        assert reason.mission_id is not None
        before = learner.assignment(reason.mission_id, NOW)
        reached = sum(o.progress for o in before.objectives)
        assert before.status is Status.IN_PROGRESS
        learner.answers(asked.question_id, at=NOW)
        assert sum(o.progress for o in learner.assignment(reason.mission_id, NOW).objectives) > reached


@given(answers)
def test_every_open_mistake_is_among_the_mistakes(history: list[tuple[str, bool, int]]) -> None:
    learner = learner_after(history)
    wrong = {record.question_id for record in learner.records.values() if record.mistake_since is not None}
    assert set(ids(learner.gets(COUNT_MAX, "mistakes", NOW))) == wrong


@given(st.floats(0, 1), st.floats(0, 1), counts)
def test_a_better_accuracy_never_makes_the_mix_easier(one: float, other: float, count: int) -> None:
    lower, higher = difficulty_mix(min(one, other), count), difficulty_mix(max(one, other), count)
    assert sum(lower.values()) == sum(higher.values()) == count
    assert min(*lower.values(), *higher.values()) >= 0
    assert higher["hard"] >= lower["hard"]
    assert higher["easy"] <= lower["easy"]


@given(answers, st.randoms(use_true_random=False))
def test_weak_topics_do_not_depend_on_the_order_of_records(
    history: list[tuple[str, bool, int]], random: object
) -> None:
    records = list(learner_after(history).records.values())
    statistics = topic_statistics(records, NOW)
    random.shuffle(records)  # type: ignore[attr-defined] # Hypothesis gives a Random that it can replay
    assert topic_statistics(records, NOW) == statistics
    for topic_id in weak_topics(statistics):
        assert statistics[topic_id].accuracy < 0.8


@given(st.lists(st.sampled_from(DIFFICULTIES), max_size=300), st.integers(0, 300), counts)
def test_what_is_looked_up_is_bounded_whatever_the_course_and_the_history(
    difficulties: list[str], answered: int, count: int
) -> None:
    course = QuestionCatalogue(question(f"q-{n}", difficulty=d) for n, d in enumerate(difficulties))
    records = {
        f"q-{n}": QuestionRecord("user-42", f"q-{n}", 1, 1, True, START, language="python") for n in range(answered)
    }
    learner = Learner(MISSIONS, course, records=records)
    assert len(learner.looks_up(now=NOW)) <= 150 + 12 * 60
    assert len(learner.gets(count, None, NOW)) == min(count, len(difficulties))
