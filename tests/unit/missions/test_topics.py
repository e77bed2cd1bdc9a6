"""Weak topics as the state knows them: a mistake raises a suspicion, the answers after it confirm or dispel it."""

from datetime import UTC, datetime, timedelta

import pytest

from services.missions import topics
from services.missions.issuing import issue_due
from services.missions.state import UserState, decode_state, encode_state
from tests.support.builders import NOON, USER, answer, catalogue, mission, objective, play, recorded

DAY = timedelta(days=1)


def after(results: str, topic: str = "lists", state: UserState | None = None) -> UserState:
    """A user who answered like this, `1` for right, a minute between answers."""
    state = state or UserState(USER)
    for number, result in enumerate(results):
        topics.observe_answer(state, topic, result == "1", NOON + timedelta(minutes=number))
    return state


@pytest.mark.parametrize(
    ("results", "is_weak"),
    [
        ("", False),
        ("1111", False),
        ("000", False),  # of the three the first only raised the suspicion
        ("0000", True),
        ("0001", True),
        ("0010", True),
        ("0011", False),  # two of three
        ("00110", True),  # two of four
        ("001101", False),  # three of five
        ("01000", False),  # mended at once, then a new suspicion with two answers
        ("010000", True),
        ("00001111", True),  # four of seven
        ("000011111", False),  # five of eight
    ],
)
def test_a_topic_is_weak_when_enough_answers_after_a_mistake_say_so(results: str, is_weak: bool) -> None:
    assert after(results).weak_topics == (["lists"] if is_weak else [])


def test_right_answers_change_nothing_while_a_topic_is_not_suspect() -> None:
    state = UserState(USER)
    assert not topics.observe_answer(state, "lists", True, NOON)
    assert encode_state(state) == encode_state(UserState(USER))


def test_a_right_answer_straight_after_a_mistake_dispels_the_suspicion() -> None:
    assert after("01") == UserState(USER)


def test_only_the_newest_answers_count() -> None:
    state = after("0" * 40)
    assert topics.suspects(state)["lists"].attempts == topics.TOPIC_ATTEMPTS_MAX
    assert after("1" * 14, state=state).weak_topics == []


def test_what_is_known_of_a_suspect_topic_is_attempts_accuracy_and_recency() -> None:
    known = topics.suspects(after("00010", state=after("0", "loops")))
    assert set(known) == {"lists"}
    assert (known["lists"].attempts, known["lists"].correct, known["lists"].accuracy) == (4, 1, 0.25)
    assert known["lists"].last_answered_at == NOON + timedelta(minutes=4)


def test_the_weakest_come_first_and_only_so_many() -> None:
    state = UserState(USER)
    for number in range(topics.WEAK_TOPICS_MAX + 2):
        after("00" + "0" * number + "01", f"topic-{number}", state)
    worst = [f"topic-{number}" for number in range(topics.WEAK_TOPICS_MAX + 1, 1, -1)]
    assert state.weak_topics == worst[: topics.WEAK_TOPICS_MAX]


def test_topics_remembered_are_bounded_and_the_one_met_longest_ago_leaves() -> None:
    state = after("0000", "first")
    for number in range(topics.SUSPECT_TOPICS_MAX):
        topics.observe_answer(state, f"topic-{number:02}", False, NOON + DAY)
    assert len(state.suspect_topics) == topics.SUSPECT_TOPICS_MAX
    assert "first" not in state.suspect_topics
    assert state.weak_topics == []


def test_a_late_answer_does_not_make_a_topic_look_older() -> None:
    state = after("00")
    topics.observe_answer(state, "lists", False, NOON - 9 * DAY)
    assert topics.suspects(state)["lists"].last_answered_at == NOON + timedelta(minutes=1)


def test_a_topic_not_met_for_two_months_is_forgotten_when_a_day_is_issued() -> None:
    known, state = catalogue(), after("0000")
    issue_due(state, NOON + topics.TOPIC_WINDOW, known)
    assert state.weak_topics == ["lists"]
    issue_due(state, NOON + topics.TOPIC_WINDOW + DAY, known)
    assert (state.weak_topics, state.suspect_topics) == ([], {})


def test_whoever_comes_first_in_a_day_finds_the_same_weak_topics() -> None:
    weak = mission(objective(event="question-answered", where={"topic_id": {"in": "$weak_topics"}}))
    lived = encode_state(after("0000"))
    midnight = datetime(2027, 1, 24, tzinfo=UTC)  # the window ends within this day
    issued = [
        issue_due(decode_state(lived), midnight + timedelta(hours=hours), catalogue(weak)).assignments
        for hours in (0, 11, 13, 23)
    ]
    assert issued[0][0].parameters == {"weak_topics": ["lists"]}
    assert all(set_ == issued[0] for set_ in issued)


def test_answers_make_topics_weak_through_the_whole_fold() -> None:
    weak = mission(objective(event="question-answered", where={"history.topic_weak": True}, target=5))
    answers = [recorded(answer(f"q{n}", correct=n == 6), NOON + timedelta(minutes=n)) for n in range(7)]
    state = play(catalogue(weak), answers).state
    assert state.weak_topics == ["topic-1"]
    # Four answers made it weak; the three after them were answers of a weak topic.
    assert state.assignments[0].objectives[0].progress == 3


def test_an_assignment_keeps_the_weak_topics_that_it_was_issued_with() -> None:
    weak = mission(
        objective(event="question-answered", where={"topic_id": {"in": "$weak_topics"}}, target=9), period="weekly"
    )
    state = after("0000")
    (assignment,) = issue_due(state, NOON, catalogue(weak)).assignments
    after("0000", "loops", state)
    assert state.weak_topics == ["lists", "loops"]
    assert assignment.parameters == {"weak_topics": ["lists"]}
