"""Mistakes: those of yesterday by the user's own days, each corrected once, and how many there are to correct."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from services.missions import profile
from services.missions.catalogue import Catalogue
from services.missions.fields import QUESTIONS_SEEN_MAX
from services.missions.issuing import issue_due
from services.missions.periods import change_zone, daily_period, local_day
from services.missions.state import QuestionRecord, UserState
from tests.support.builders import NOON, USER, answer, at, catalogue, living_in, mission, objective, play, recorded

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
YESTERDAYS = {"correct": True, "history.open_mistake": True, "history.mistake_age_days": 1}
FIX_YESTERDAYS = mission(
    objective(event="question-answered", where=YESTERDAYS, target=3),
    title={"en": "Fix {target} mistakes from yesterday"},
    fit={"to": "mistakes_yesterday"},
)
NOTHING = catalogue()


class Learner:
    """A user of one zone whose answers go through the fold one by one."""

    def __init__(self, zone: str, missions: Catalogue = NOTHING) -> None:
        self.state = UserState(USER, zones=living_in(zone))
        self.missions = missions
        self.records: dict[str, QuestionRecord] = {}

    def answers(self, question: str, correct: bool, time: datetime, **late: Any) -> None:
        decision = play(
            self.missions, [recorded(answer(question, correct=correct), time, **late)], self.state, self.records
        )
        self.records.update(decision.answered)

    def to_fix(self, time: datetime) -> int:
        """Open mistakes of the day before the local day of this instant."""
        day = local_day(self.state.zones, daily_period(self.state.zones, time).starts_at)
        count: int = profile.facts(self.state, day)["mistakes_yesterday"]
        return count

    def progress(self) -> list[float]:
        return [a.objectives[0].progress for a in self.state.assignments if a.mission_id == "mission-1"]


# (zone, last minute of a local day, as UTC): whole, half and quarter hours, far east and west, and both kinds of clock change
MIDNIGHTS = [
    ("UTC", "2026-11-25 23:59"),
    ("Europe/Berlin", "2026-11-25 22:59"),
    ("America/New_York", "2026-11-26 04:59"),
    ("Asia/Kathmandu", "2026-11-25 18:14"),
    ("Pacific/Kiritimati", "2026-11-25 09:59"),
    ("Etc/GMT+12", "2026-11-26 11:59"),
    ("Australia/Lord_Howe", "2026-11-25 12:59"),
    ("Australia/Lord_Howe", "2026-10-03 13:29"),  # half an hour is left out on the 4th
    ("America/New_York", "2026-11-01 03:59"),  # the 1st has 25 hours
    ("Europe/Berlin", "2026-03-28 22:59"),  # the 29th has 23 hours
    ("Australia/Sydney", "2026-10-03 13:59"),
]


@pytest.mark.parametrize(("zone", "last_minute"), MIDNIGHTS)
def test_yesterday_ends_at_the_users_own_midnight(zone: str, last_minute: str) -> None:
    late, early = at(last_minute), at(last_minute) + MINUTE
    learner = Learner(zone, catalogue(FIX_YESTERDAYS))
    learner.answers("late", False, late)
    learner.answers("early", False, early)
    assert learner.to_fix(early) == 1
    assert learner.to_fix(early + DAY + MINUTE) == 1

    learner.answers("early", True, early + 2 * MINUTE)  # of today
    assert learner.progress() == [0]
    learner.answers("late", True, early + 3 * MINUTE)
    assert learner.progress() == [1]
    assert learner.state.assignments[0].fit is not None
    assert learner.state.assignments[0].fit.target == 1


@pytest.mark.parametrize(("zone", "last_minute"), MIDNIGHTS)
def test_mistakes_of_the_day_before_yesterday_do_not_count(zone: str, last_minute: str) -> None:
    learner = Learner(zone, catalogue(mission(objective(event="question-answered", where=YESTERDAYS, target=3))))
    learner.answers("q", False, at(last_minute))
    later = at(last_minute) + MINUTE + 25 * timedelta(hours=1) + MINUTE
    assert learner.to_fix(later) == 0
    learner.answers("q", True, later)
    assert learner.progress()[-1] == 0


def test_a_corrected_mistake_counts_once_and_answering_right_again_does_not() -> None:
    learner = Learner("Europe/Berlin", catalogue(FIX_YESTERDAYS))
    for question in ("a", "b", "c"):
        learner.answers(question, False, NOON - DAY)
    for question in ("a", "a", "a", "b"):
        learner.answers(question, True, NOON)
    assert learner.progress() == [2]
    assert learner.to_fix(NOON) == 1


def test_a_mistake_made_again_today_is_no_mistake_from_yesterday() -> None:
    learner = Learner("UTC", catalogue(FIX_YESTERDAYS))
    learner.answers("a", False, NOON - DAY)
    learner.answers("b", False, NOON - DAY)
    for minute, correct in enumerate((True, False, True)):
        learner.answers("a", correct, NOON + minute * MINUTE)
    assert learner.progress() == [1]


def test_a_mistake_that_was_not_mended_stays_one_from_yesterday() -> None:
    learner = Learner("UTC", catalogue(FIX_YESTERDAYS))
    learner.answers("a", False, NOON - DAY)
    learner.answers("a", False, NOON)
    assert learner.to_fix(NOON) == 1
    learner.answers("a", True, NOON + MINUTE)
    assert learner.progress() == [1]


def test_after_a_flight_yesterday_is_that_of_the_new_zone() -> None:
    learner = Learner("Europe/Berlin")
    issue_due(learner.state, NOON, NOTHING)
    learner.answers("a", False, at("2026-11-25 20:00"))  # still the 25th: the day in Berlin has to end first
    state = learner.state
    state.zones = change_zone(state.zones, "Asia/Tokyo", NOON, *(p.ends_at for p in state.issued))
    first_morning, second_morning = at("2026-11-26 00:00"), at("2026-11-27 00:00")
    assert (learner.to_fix(first_morning), learner.to_fix(second_morning)) == (1, 0)
    learner.answers("b", False, at("2026-11-26 14:00"))
    assert (learner.to_fix(first_morning), learner.to_fix(second_morning)) == (1, 1)


def test_late_news_of_yesterdays_mistake_counts_as_yesterdays() -> None:
    learner = Learner("Asia/Kathmandu")
    learner.answers("a", False, NOON - DAY, late_by=timedelta(hours=30))
    assert learner.to_fix(NOON) == 1


def test_what_is_remembered_of_mistakes_is_bounded_in_time() -> None:
    learner = Learner("UTC")
    for hours in range(24 * 30):
        learner.answers(f"q{hours}", False, NOON + timedelta(hours=hours))
    quarters = learner.state.mistake_quarters
    assert len(quarters) == 4 * 24 + 1
    learner.answers("old", False, NOON)
    assert learner.state.mistake_quarters == quarters
    assert learner.state.open_mistakes == 24 * 30 + 1


def test_different_questions_are_counted_up_to_a_bound_and_then_cost_no_change() -> None:
    learner = Learner("UTC")
    for number in range(QUESTIONS_SEEN_MAX + 5):
        learner.answers(f"q{number}", True, NOON)
        learner.answers(f"q{number}", True, NOON)
    assert learner.state.questions_seen == QUESTIONS_SEEN_MAX
    decision = play(NOTHING, [recorded(answer("one-more"))], learner.state)
    assert not decision.changed
