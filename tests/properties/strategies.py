"""What laws are tried on: zones with every kind of clock, instants around their jumps, events, and missions of all measures."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from services.missions.decide import Recorded
from services.missions.definition import Mission
from tests.support.builders import answer, event, item, lesson, mission, objective, session, streak, xp

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",  # clocks jump over midnight
    "America/St_Johns",  # once went back just after midnight
    "Asia/Beirut",  # clocks change at midnight
    "Asia/Kathmandu",  # +05:45
    "Australia/Lord_Howe",  # half an hour of summer time
    "Pacific/Apia",  # skipped a date
    "Pacific/Kiritimati",  # +14
    "Etc/GMT+12",  # -12
    "Antarctica/Troll",  # two hours of summer time
    "Africa/Casablanca",  # changes around Ramadan
)

zones = st.sampled_from(ZONES)
instants = st.datetimes(datetime(2008, 1, 1), datetime(2037, 1, 1)).map(lambda naive: naive.replace(tzinfo=UTC))  # noqa: DTZ001

START = datetime(2026, 10, 12, tzinfo=UTC)
"""A Monday; two weeks later clocks change in Europe."""


def within(days: float) -> st.SearchStrategy[datetime]:
    """Instants from START on, to the minute."""
    return st.integers(0, int(days * 24 * 60)).map(lambda minutes: START + timedelta(minutes=minutes))


MISSIONS: tuple[Mission, ...] = (
    mission(objective(target=3), id="count"),
    mission(objective({"sum": "amount"}, 40, event="xp-earned"), id="sum", period="weekly"),
    mission(objective({"max": "accuracy"}, 1), id="max", period="once"),
    mission(objective({"distinct": "chapter_id"}, 3), id="distinct", period="weekly"),
    mission(objective("consecutive_days", 3), id="days", period="weekly"),
    mission(
        objective({"consecutive_days": {"break_on": {"hearts_lost": {"gt": 0}}}}, 4, where={"hearts_lost": 0}),
        id="hearts",
        period="once",
    ),
    mission(
        objective({"max": "days"}, 3, event="streak-updated", id="streak"),
        objective({"sum": "quantity"}, 2, event="item-used", id="items"),
        objective({"distinct": "question_id"}, 2, event="question-answered", id="questions"),
        id="two-of-three",
        period="season",
        opens_at="2026-10-13T00:00:00Z",
        closes_at="2026-10-20T00:00:00Z",
        require={"at_least": 2},
    ),
    mission(
        objective(event="question-answered", where={"correct": True, "history.open_mistake": True}, target=2),
        id="fix",
        audience={"open_mistakes": {"lt": 2}},
    ),
    mission(
        objective(where={"chapter_id": "$current_chapter"}, target=2),
        id="chapter",
        audience={"days_active": {"gte": 2}},
    ),
    mission(
        objective(event="question-answered", where={"correct": True}, target=4),
        id="fitted",
        fit={"to": "open_mistakes", "at_least": 2},
        otherwise="stand-in",
    ),
    mission(objective({"distinct": "question_id"}, 3, event="question-answered"), id="stand-in", stand_in=True),
    mission(
        objective(event="question-answered", where={"topic_id": {"in": "$weak_topics"}}, target=3),
        id="weak",
        audience={"days_active": {"gte": 2}},
    ),
)
"""One mission for each measure and more, over all kinds of periods."""

letters = st.sampled_from("abcd")
learning_data = st.one_of(
    st.builds(
        lesson,
        chapter_id=letters,
        hearts_lost=st.sampled_from((0, 0, 1)),
        accuracy=st.sampled_from((None, 0.25, 0.5, 1.0)),
    ),
    st.builds(xp, st.integers(1, 30)),
    st.builds(
        lambda q, topic, correct: answer(q, topic_id=topic, correct=correct),
        letters,
        st.sampled_from("xy"),
        st.booleans(),
    ),
    st.builds(lambda days, day: streak(days, f"2026-10-{day}"), st.integers(0, 5), st.integers(12, 25)),
    st.builds(item, st.integers(1, 2)),
)
sessions = st.builds(session, zones)


def recorded_events(
    days: float = 10, *, late_days: float = 0, moving: bool = False
) -> st.SearchStrategy[list[Recorded]]:
    """Events with their records' timestamps, in any order; `moving` users also start sessions in other zones."""
    data = st.one_of(learning_data, sessions) if moving else learning_data
    late = st.integers(0, int(late_days * 24 * 60)).map(lambda minutes: timedelta(minutes=minutes))
    one = st.builds(lambda d, time, by: Recorded(event(d, time), time + by), data, within(days), late)
    return st.lists(one, max_size=30)
