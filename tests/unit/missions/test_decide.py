"""The fold over one user's events: the brief's first day, and how zone, issuing, history and progress meet."""

from datetime import timedelta

from services.adapters.catalogue_files import default_catalogue
from services.missions.decide import Recorded, decide, issue_now
from services.missions.progress import Outcome
from services.missions.state import QuestionRecord, UserState
from tests.support.builders import (
    NOON,
    USER,
    answer,
    at,
    catalogue,
    event,
    item,
    lesson,
    mission,
    objective,
    play,
    recorded,
    session,
    statuses,
    streak,
    xp,
)

DAY = timedelta(days=1)


def test_day_one() -> None:
    known = default_catalogue()
    opened = issue_now(UserState(USER), at("2026-11-25 07:00"), known, zone="Europe/Berlin")
    assert sorted(a.mission_id for a in opened.issued) == ["daily-lesson-1", "daily-xp-20", "fix-mistakes-2"]

    decision = play(
        known,
        [
            recorded(session("Europe/Berlin"), at("2026-11-25 07:00")),
            recorded(answer("q1", correct=False), at("2026-11-25 07:05")),
            recorded(answer("q2", correct=False), at("2026-11-25 07:06")),
            recorded(answer("q1"), at("2026-11-25 07:09")),
            recorded(lesson(), at("2026-11-25 07:10")),
            recorded(xp(20), at("2026-11-25 07:10")),
        ],
        opened.state,
    )

    assert statuses(decision.state) == {
        "daily-lesson-1": ("COMPLETED", [1]),
        "daily-xp-20": ("COMPLETED", [20]),
        "fix-mistakes-2": ("IN_PROGRESS", [1]),
    }
    assert [a.mission_id for a in decision.completed] == ["daily-lesson-1", "daily-xp-20"]
    assert decision.issued == []
    assert decision.state.open_mistakes == 1


def test_the_first_event_of_a_user_issues_the_day_and_counts_in_it() -> None:
    decision = play(catalogue(mission()), [recorded(lesson())])
    assert [a.mission_id for a in decision.issued] == ["mission-1"]
    assert [a.mission_id for a in decision.completed] == ["mission-1"]
    assert decision.changed


def test_an_event_that_changes_nothing_costs_no_row() -> None:
    known = catalogue(mission())
    state = play(known, [recorded(lesson())]).state
    decision = play(known, [recorded(item(), NOON + timedelta(minutes=1)), recorded(lesson(), NOON)], state)
    assert not decision.changed
    assert decision.outcomes == [Outcome.UNMATCHED, Outcome.UNMATCHED]


def test_a_session_tells_the_zone_before_the_day_is_issued() -> None:
    decision = play(catalogue(mission()), [recorded(session("Asia/Tokyo"))])
    assert decision.issued[0].starts_at == at("2026-11-24 15:00")


def test_what_the_first_event_tells_does_not_change_what_it_issues() -> None:
    python = mission(audience={"languages": "python"})
    assert play(catalogue(python), [recorded(lesson(language="python"))]).issued == []
    mistakes = mission(audience={"open_mistakes": {"gte": 1}})
    assert play(catalogue(mistakes), [recorded(answer(correct=False))]).issued == []


def test_an_event_of_the_week_before_issues_and_counts_there() -> None:
    known = catalogue(mission(), mission(objective(target=3), id="week", type="weekly", period="weekly"))
    sunday = at("2026-11-22 22:00")
    state = play(known, [recorded(lesson(), at("2026-11-23 08:00"))]).state
    decision = play(known, [recorded(lesson(), sunday, late_by=timedelta(hours=11))], state)
    assert decision.outcomes == [Outcome.APPLIED]
    assert [(a.mission_id, a.objectives[0].progress) for a in decision.issued] == [("mission-1", 1), ("week", 1)]


def test_a_late_event_is_kept_in_history_and_counts_nowhere() -> None:
    known = catalogue(mission(objective(event="question-answered")))
    decision = play(known, [recorded(answer(correct=False), late_by=timedelta(days=20))])
    assert decision.outcomes == [Outcome.LATE]
    assert decision.issued == []
    assert decision.answered["question-1"].answers == 1
    assert decision.state.open_mistakes == 1


def test_answers_in_one_batch_build_on_each_other() -> None:
    fix = mission(objective(event="question-answered", where={"correct": True, "history.open_mistake": True}, target=5))
    answers = [
        recorded(answer(correct=c), NOON + timedelta(seconds=n)) for n, c in enumerate((False, True, True, False))
    ]
    decision = play(catalogue(fix), answers)
    assert statuses(decision.state)["mission-1"] == ("IN_PROGRESS", [1])
    assert (decision.answered["question-1"].answers, decision.answers_before) == (4, {"question-1": 0})
    assert decision.state.open_mistakes == 1


def test_a_known_record_is_the_guard_of_its_write_and_is_left_as_it_was() -> None:
    known = QuestionRecord(USER, "question-1", 7, 3, False, NOON - DAY, NOON - DAY)
    questions = {"question-1": known}
    decision = play(catalogue(mission()), [recorded(answer())], UserState(USER, open_mistakes=1), questions)
    assert decision.answers_before == {"question-1": 7}
    assert decision.answered["question-1"].answers == 8
    assert decision.state.open_mistakes == 0
    assert known.answers == 7


def test_a_streak_counts_by_its_days() -> None:
    seven = mission(objective({"max": "days"}, 7, event="streak-updated"), type="streak", period="once")
    known = catalogue(seven)
    state = play(known, [recorded(streak(5, "2026-11-25"))]).state
    assert statuses(state)["mission-1"] == ("IN_PROGRESS", [5])
    state = play(known, [recorded(streak(7, "2026-11-27"), NOON + 2 * DAY)], state).state
    assert statuses(state)["mission-1"] == ("COMPLETED", [7])


def test_version_and_stamp_belong_to_the_ledger() -> None:
    state = UserState(USER, version=7, stamp=99)
    decision = play(catalogue(mission()), [recorded(lesson())], state)
    assert (decision.state.version, decision.state.stamp) == (7, 99)


def test_looking_at_the_missions_twice_issues_once() -> None:
    known = catalogue(mission())
    first = issue_now(UserState(USER), NOON, known)
    again = issue_now(first.state, NOON + timedelta(hours=1), known)
    assert (first.changed, len(first.issued)) == (True, 1)
    assert (again.changed, again.issued) == (False, [])


def test_a_clients_zone_is_used_until_a_session_tells_another() -> None:
    known = catalogue(mission())
    looked = issue_now(UserState(USER), NOON, known, zone="Asia/Tokyo")
    assert looked.issued[0].expires_at == at("2026-11-25 15:00")
    moved = play(known, [recorded(session("Europe/Berlin"), NOON + timedelta(minutes=1))], looked.state)
    assert moved.issued == []
    later = issue_now(moved.state, at("2026-11-25 15:00"), known, zone="Asia/Tokyo")
    assert (later.issued[0].starts_at, later.issued[0].expires_at) == (at("2026-11-25 15:00"), at("2026-11-26 23:00"))


def test_what_is_long_over_is_forgotten_when_a_new_day_is_issued() -> None:
    known = catalogue(mission(objective(target=3)))
    state = play(known, [recorded(lesson())]).state
    decision = issue_now(state, NOON + 9 * DAY, known)
    assert [a.starts_at for a in decision.forgotten] == [at("2026-11-25 00:00")]
    assert [a.starts_at for a in decision.state.assignments] == [at("2026-12-04 00:00")]


def test_a_period_whose_marker_is_forgotten_is_not_issued_again() -> None:
    known = catalogue(mission())
    state = play(known, [recorded(lesson())]).state
    state = issue_now(state, NOON + 30 * DAY, known).state
    straggler = Recorded(event(lesson(), NOON), NOON + timedelta(hours=1))
    decision = decide(state, [straggler], {}, known)
    assert decision.issued == []


def test_a_day_whose_first_event_was_overtaken_by_days_is_still_issued() -> None:
    """Another topic's partition was read three days further; by its own record's timestamp the event is in time."""
    known = catalogue(mission())
    state = play(known, [recorded(lesson(), NOON + DAY)]).state
    state = play(known, [recorded(lesson(), NOON + 3.5 * DAY)], state).state
    straggler = Recorded(event(lesson(), NOON), NOON + timedelta(hours=13))
    decision = decide(state, [straggler], {}, known)
    assert [a.starts_at for a in decision.issued] == [at("2026-11-25 00:00")]
    assert list(decision.outcomes) == [Outcome.APPLIED]
