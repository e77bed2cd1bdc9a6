"""Fitted missions: they ask for what there is, another one takes their place, or they are not issued; the target stays as it was frozen."""

from datetime import timedelta
from typing import Any

import pytest

from mission_events import OutEvent, decode_out
from mission_events.missions import MissionAssigned
from services.adapters.catalogue_files import default_catalogue
from services.missions.announcements import assigned
from services.missions.catalogue import Catalogue
from services.missions.definition import Mission
from services.missions.issuing import LEFT_OUT_MAX, issue_due
from services.missions.progress import Outcome
from services.missions.state import Fit, QuestionRecord, Status, UserState, decode_state, encode_state
from services.missions.view import mission_view
from tests.support.builders import NOON, USER, answer, catalogue, mission, objective, play, recorded
from tests.support.questions import Learner

DAY = timedelta(days=1)
FIXED: dict[str, Any] = {"correct": True, "history.open_mistake": True}


def fix(target: int = 5, **fields: Any) -> Mission:
    """A mission that asks for as many open mistakes as there are."""
    defaults: dict[str, Any] = {
        "title": {"en": "Fix {target} mistakes"},
        "fit": {"to": "open_mistakes", "at_least": 2},
    }
    return mission(objective(event="question-answered", where=FIXED, target=target), **{**defaults, **fields})


def issued(state: UserState, known: Catalogue) -> dict[str, Fit | None]:
    return {a.mission_id: a.fit for a in issue_due(state, NOON, known).assignments}


def mistaken(count: int) -> tuple[UserState, dict[str, QuestionRecord]]:
    """A user with so many open mistakes of the week before, and the records of the answers."""
    wrong = [recorded(answer(f"q{n}", correct=False), NOON - 7 * DAY + timedelta(minutes=n)) for n in range(count)]
    decision = play(catalogue(), wrong)
    return decision.state, decision.answered


@pytest.mark.parametrize(
    ("open_mistakes", "fit"),
    [(2, Fit("open_mistakes", 5, 2)), (4, Fit("open_mistakes", 5, 4)), (5, None), (30, None)],
)
def test_a_mission_asks_for_what_there_is(open_mistakes: int, fit: Fit | None) -> None:
    assert issued(UserState(USER, open_mistakes=open_mistakes), catalogue(fix())) == {"mission-1": fit}


def test_a_mission_for_which_there_is_too_little_is_not_issued_and_the_marker_says_why() -> None:
    state = UserState(USER, open_mistakes=1)
    assert issued(state, catalogue(fix())) == {}
    (marker,) = (m for m in state.issued if m.kind == "daily")
    assert marker.left_out == {"mission-1": "open_mistakes is 1, and at least 2 is needed"}
    assert decode_state(encode_state(state)) == state


def test_a_mission_without_a_value_for_its_parameter_is_not_issued_and_the_marker_says_why() -> None:
    state = UserState(USER)
    known = catalogue(mission(objective(where={"chapter_id": "$current_chapter"}), period="weekly"))
    assert issued(state, known) == {}
    assert [m.left_out for m in state.issued] == [{}, {"mission-1": "$current_chapter is not known"}]


def test_missions_that_were_never_meant_for_the_user_leave_no_note() -> None:
    state = UserState(USER)
    issued(state, catalogue(fix(audience={"days_active": {"gte": 2}}), fix(id="second", requires=["first"])))
    assert all(not marker.left_out for marker in state.issued)


def test_notes_are_bounded_however_many_missions_do_not_fit() -> None:
    state = UserState(USER)
    issued(state, catalogue(*(fix(id=f"m{n}") for n in range(LEFT_OUT_MAX + 5))))
    assert len(state.issued[0].left_out) == LEFT_OUT_MAX


LINE = (
    fix(otherwise="smaller", fit={"to": "open_mistakes", "at_least": 4}),
    fix(3, id="smaller", stand_in=True, otherwise="practice"),
    mission(objective(event="question-answered", target=10), id="practice", stand_in=True),
)
"""Fix 5; with fewer than four mistakes 3; with fewer than two another mission."""


@pytest.mark.parametrize(
    ("open_mistakes", "expected"),
    [
        (9, {"mission-1": None}),
        (4, {"mission-1": Fit("open_mistakes", 5, 4)}),
        (3, {"smaller": Fit("open_mistakes", instead_of="mission-1")}),
        (2, {"smaller": Fit("open_mistakes", 3, 2, "mission-1")}),
        (1, {"practice": Fit("open_mistakes", instead_of="mission-1")}),
        (0, {"practice": Fit("open_mistakes", instead_of="mission-1")}),
    ],
)
def test_another_mission_takes_the_place_of_one_that_does_not_fit(
    open_mistakes: int, expected: dict[str, Fit | None]
) -> None:
    state = UserState(USER, open_mistakes=open_mistakes)
    assert issued(state, catalogue(*LINE)) == expected
    assert state.issued[0].left_out == {}


def test_a_stand_in_also_takes_the_place_of_a_mission_whose_parameter_is_unknown() -> None:
    slot = mission(objective(where={"chapter_id": "$current_chapter"}), id="slot", otherwise="practice")
    known = catalogue(slot, LINE[2])
    assert issued(UserState(USER), known) == {"practice": Fit("$current_chapter", instead_of="slot")}
    assert issued(UserState(USER, chapter="loops"), known) == {"slot": None}


def test_a_stand_in_is_issued_once_however_many_missions_it_could_replace() -> None:
    state = UserState(USER)
    first, second = fix(otherwise="practice"), fix(id="second", otherwise="practice")
    assert list(issued(state, catalogue(first, second, LINE[2]))) == ["practice"]
    assert list(state.issued[0].left_out) == ["second"]


def test_a_stand_in_is_never_issued_by_itself_and_only_to_whom_the_mission_is_for() -> None:
    known = catalogue(fix(audience={"days_active": {"gte": 2}}, otherwise="practice"), LINE[2])
    assert issued(UserState(USER), known) == {}


def test_a_stand_in_waits_for_what_it_requires() -> None:
    practice = mission(id="practice", stand_in=True, requires=["first"])
    known = catalogue(fix(otherwise="practice"), practice)
    assert issued(UserState(USER), known) == {}
    assert list(issued(UserState(USER, claimed_missions=["first"]), known)) == ["practice"]


def test_a_paused_stand_in_takes_no_place() -> None:
    known = Catalogue([fix(otherwise="practice"), LINE[2]], 1, held={"practice"})
    assert issued(UserState(USER), known) == {}


def test_a_once_mission_that_does_not_fit_yet_is_issued_when_it_does() -> None:
    known = catalogue(fix(period="once"))
    state = UserState(USER)
    assert issued(state, known) == {}
    state.open_mistakes = 3
    (assignment,) = issue_due(state, NOON + DAY, known).assignments
    assert assignment.fit == Fit("open_mistakes", 5, 3)
    state.open_mistakes = 9
    assert not issue_due(state, NOON + 2 * DAY, known).assignments


def test_the_frozen_target_completes_the_mission_and_is_what_everybody_is_told() -> None:
    known = catalogue(fix())
    state, records = mistaken(2)
    (assignment,) = issue_due(state, NOON, known).assignments
    told = decode_out(assigned(USER, assignment, known).payload)
    assert isinstance(told, OutEvent)
    assert isinstance(told.data, MissionAssigned)
    assert [o.target for o in told.data.objectives] == [2]

    def seen() -> tuple[str, float, int, list[int], str]:
        (view,) = mission_view(state, known, NOON + timedelta(hours=1), "en")
        return view.title, view.progress, view.target, [o.target for o in view.objectives], str(view.status)

    assert seen() == ("Fix 2 mistakes", 0, 2, [2], "IN_PROGRESS")
    first = play(known, [recorded(answer("q0"), NOON)], state, records)
    assert seen() == ("Fix 2 mistakes", 1, 2, [2], "IN_PROGRESS")
    second = play(known, [recorded(answer("q1"), NOON)], state, {**records, **first.answered})
    assert seen() == ("Fix 2 mistakes", 2, 2, [2], "COMPLETED")
    assert [a.mission_id for a in second.completed] == ["mission-1"]


def test_the_question_selector_gives_as_many_questions_as_the_frozen_target_needs() -> None:
    learner = Learner(catalogue(fix()))
    for number in range(3):
        learner.answers(f"py-1-easy-{number}", correct=False, at=NOON - DAY)
    state = learner.state
    state.issued.clear()
    assert len(learner.gets(10, "mission")) == 3
    assert state.assignments[0].fit == Fit("open_mistakes", 5, 3)


def test_the_target_stays_frozen_when_mistakes_come_or_go_or_the_mission_changes() -> None:
    state, records = mistaken(3)
    issue_due(state, NOON, catalogue(fix()))
    more = [recorded(answer(f"new-{n}", correct=False), NOON) for n in range(4)]
    newer = catalogue(fix(), fix(4, version=2), revision=2)
    decision = play(newer, [*more, *(recorded(answer(f"q{n}"), NOON) for n in range(3))], state, records)
    assert state.assignments[0].status is Status.COMPLETED
    assert decision.outcomes[-3:] == [Outcome.APPLIED] * 3


def test_distinct_members_are_bounded_by_the_frozen_target_too() -> None:
    review = mission(
        objective({"distinct": "question_id"}, 10, event="question-answered"),
        title={"en": "Review {target}"},
        fit={"to": "questions_seen"},
    )
    state, records = mistaken(3)
    decision = play(catalogue(review), [recorded(answer(f"q{n}")) for n in range(3)], state, records)
    (assignment,) = decision.completed
    assert (assignment.objectives[0].progress, assignment.objectives[0].members) == (3, [])


def test_the_same_set_and_targets_whoever_comes_first() -> None:
    known = default_catalogue()
    state, records = mistaken(3)
    state.days_active = 8
    lived = encode_state(state)
    by_look, by_clock = decode_state(lived), decode_state(lived)
    issue_due(by_look, NOON + timedelta(hours=9), known)
    issue_due(by_clock, NOON - timedelta(hours=12), known)
    by_event = play(known, [recorded(answer("q0"), NOON)], state, records).state
    fits = {a.mission_id: a.fit for a in by_look.assignments}
    assert fits == {a.mission_id: a.fit for a in by_clock.assignments}
    assert fits == {a.mission_id: a.fit for a in by_event.assignments}
    assert fits["fix-mistakes-3"] == Fit("open_mistakes", instead_of="fix-mistakes-5")
    assert fits["review-old-10"] == Fit("questions_seen", 10, 3)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"days_active": 0}, {"fix-mistakes-2": None}),
        ({"days_active": 1}, {"practice-right-10": Fit("open_mistakes", instead_of="fix-mistakes-5")}),
        ({"days_active": 9, "open_mistakes": 4}, {"fix-mistakes-5": Fit("open_mistakes", 5, 4)}),
        ({"days_active": 9, "open_mistakes": 50}, {"fix-mistakes-5": None}),
    ],
)
def test_the_default_catalogue_always_has_a_daily_skill_mission(
    fields: dict[str, int], expected: dict[str, Fit | None]
) -> None:
    daily = issued(UserState(USER, **fields), default_catalogue())  # type: ignore[arg-type]
    skills = ("fix-mistakes-2", "fix-mistakes-3", "fix-mistakes-5", "practice-right-10")
    assert {name: fit for name, fit in daily.items() if name in skills} == expected


def test_master_your_weak_topics_gives_way_to_hard_questions_while_no_topic_is_weak() -> None:
    known = default_catalogue()
    strong = issued(UserState(USER, days_active=9), known)
    assert strong["hard-questions-5"] == Fit("$weak_topics", instead_of="master-weak-topics")
    weak = issued(UserState(USER, days_active=9, weak_topics=["lists"]), known)
    assert "master-weak-topics" in weak
    assert "hard-questions-5" not in weak
