"""What the verifier takes for certain and what it leaves open: only what the order of different partitions can decide is open."""

from datetime import UTC, datetime, timedelta
from itertools import count as numbers
from typing import Any

from tests.chaos.verifier import Report
from tests.chaos.verifier.counting import Counts, Given, count
from tests.chaos.verifier.definitions import prepared
from tests.chaos.verifier.inputs import Seen
from tests.chaos.verifier.learner import Learner
from tests.reference.journal import ANSWER, LESSON, XP

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
DAY = timedelta(days=1)
_offsets = numbers()


def seen(kind: str, at: datetime, data: dict[str, Any], partition: int = 0) -> Seen:
    """The next record of a partition; it came when it happened."""
    number = next(_offsets)
    return Seen("test", f"e{number}", "ada", kind, at, at, data, kind.removesuffix(".v1"), partition, number)


def answered(at: datetime, correct: bool, partition: int = 0) -> Seen:
    places = {"topic_id": "t", "chapter_id": "c", "language": "python"}
    return seen(ANSWER, at, {"question_id": "q", "correct": correct, "difficulty": "easy", **places}, partition)


def counted(
    events: list[Seen], objective: dict[str, Any], *, period: str = "weekly", starts_at: datetime = MONDAY
) -> Counts:
    """What a mission of this one objective must have, and can have."""
    mission = {"id": "m", "period": period, "objectives": [{"id": "o", "target": 10, **objective}], "rewards": []}
    definition = prepared(mission)
    learner = Learner("ada", events, {})
    is_once = period == "once"
    first = learner.triggers(learner.period(starts_at, "daily")) if is_once else None
    expires_at = None if is_once else starts_at + 7 * DAY
    return count(learner, Given(definition, starts_at, expires_at, [10], {}, first, is_certain=True))


def lesson(at: datetime, hearts_lost: int = 0) -> Seen:
    return seen(LESSON, at, {"hearts_lost": hearts_lost, "lesson_id": "l"})


def xp(at: datetime, amount: int, partition: int = 0) -> Seen:
    return seen(XP, at, {"amount": amount, "xp_source": "lesson"}, partition)


FIXED = {"event": ANSWER, "where": {"correct": True, "history.open_mistake": True}, "measure": "count"}
SUM = {"event": XP, "measure": {"sum": "amount"}}


def test_a_mended_mistake_counts_for_certain_when_both_answers_came_by_one_partition() -> None:
    events = [answered(MONDAY, correct=False), answered(MONDAY + DAY, correct=True)]
    assert counted(events, FIXED).progress == [(1, 1)]


def test_a_mended_mistake_may_count_when_the_answers_came_by_two() -> None:
    events = [answered(MONDAY, correct=False, partition=0), answered(MONDAY + DAY, correct=True, partition=1)]
    assert counted(events, FIXED).progress == [(0, 1)]


def test_events_of_the_period_count_for_certain_whatever_they_came_by() -> None:
    assert counted([xp(MONDAY, 2, 0), xp(MONDAY + DAY, 3, 1)], SUM).progress == [(5, 5)]


def test_an_event_after_the_lateness_bound_counts_nowhere() -> None:
    late = xp(MONDAY, 3)._replace(recorded_at=MONDAY + 8 * DAY)
    assert counted([xp(MONDAY, 2), late], SUM).progress == [(2, 2)]


def test_a_once_mission_has_for_certain_what_came_behind_an_event_of_its_first_day() -> None:
    events = [xp(MONDAY, 1), xp(MONDAY + DAY, 2), xp(MONDAY + DAY, 4, partition=1)]
    assert counted(events, SUM, period="once").progress == [(3, 7)]


def test_a_run_that_a_break_ends_is_open_when_the_break_may_have_come_late() -> None:
    run = {
        "event": LESSON,
        "where": {"hearts_lost": 0},
        "measure": {"consecutive_days": {"break_on": {"hearts_lost": {"gt": 0}}}},
    }
    days = [lesson(MONDAY + n * DAY) for n in range(3)]
    assert counted(days, run).progress == [(3, 3)]
    assert counted([*days, lesson(MONDAY + DAY, hearts_lost=1)], run).progress == [(2, 3)]


def test_a_report_spells_out_some_of_a_kind_and_counts_all() -> None:
    report = Report()
    assert report.lines[-1] == "ALL EVENTS ACCOUNTED FOR"
    for number in range(30):
        report.differ("xp", f"user {number}", 1, None, "learning.xp-earned/0@7")

    assert report.lines[0] == "xp: user 0: expected 1, found none (look at learning.xp-earned/0@7)"
    assert report.lines[-2:] == ["xp: … and 20 more", "30 DIFFERENCES"]
    assert not report.ok
