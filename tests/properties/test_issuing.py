"""Laws of issuing. If one fails, a user farms missions, or sees another set on another device."""

from datetime import datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.missions.catalogue import Catalogue
from services.missions.decide import Recorded, decide, issue_now
from services.missions.issuing import issue_due
from services.missions.periods import DAILY, DAY_LENGTH_MIN, WEEK_LENGTH_MIN, WEEKLY
from services.missions.state import UserState, decode_state, encode_state
from tests.support.builders import USER, event, session

from .strategies import MISSIONS, START, recorded_events, zones

CATALOGUE = Catalogue(MISSIONS, 1)


@given(recorded_events(late_days=1, moving=True), st.integers(0, 3 * 24 * 60))
def test_issuing_twice_or_from_three_places_gives_the_same_set(events: list[Recorded], minutes: int) -> None:
    ordered = sorted(events, key=lambda e: e.recorded_at)
    now = (ordered[-1].recorded_at if ordered else START) + timedelta(minutes=minutes)
    lived = encode_state(decide(UserState(USER), ordered, {}, CATALOGUE).state)
    by_clock, by_look, by_event = (decode_state(lived) for _ in range(3))
    issue_due(by_clock, now, CATALOGUE)
    issue_now(by_look, now, CATALOGUE)
    decide(by_event, [Recorded(event(session("UTC"), now), now)], {}, CATALOGUE)
    sets = [{a.assignment_id for a in state.assignments} for state in (by_clock, by_look, by_event)]
    assert sets[1] == sets[2] <= sets[0]
    again = issue_due(by_clock, now, CATALOGUE)
    assert (again.assignments, again.changed) == ([], False)


# (hours until then, the zone of a session, minutes that its record is late)
VISITS = st.lists(st.tuples(st.integers(0, 20), zones, st.integers(0, 36 * 60)), max_size=40)


@given(VISITS)
def test_no_zone_changes_bring_more_than_one_daily_issue_in_twelve_hours(visits: list[tuple[int, str, int]]) -> None:
    state = UserState(USER)
    now = START
    issued: dict[str, set[tuple[datetime, datetime]]] = {DAILY: set(), WEEKLY: set()}
    assignments: list[str] = []
    for hours, zone, minutes in visits:
        now += timedelta(hours=hours)
        visit = Recorded(event(session(zone), now - timedelta(minutes=minutes)), now)
        assignments += [a.assignment_id for a in decide(state, [visit], {}, CATALOGUE).issued]
        assignments += [a.assignment_id for a in issue_now(state, now, CATALOGUE).issued]
        for period in state.issued:
            issued[period.kind].add((period.starts_at, period.ends_at))
    assert len(assignments) == len(set(assignments))
    for kind, shortest in ((DAILY, DAY_LENGTH_MIN), (WEEKLY, WEEK_LENGTH_MIN)):
        for (start, end), (following, _) in pairwise(
            [*sorted(issued[kind]), (datetime.max.replace(tzinfo=START.tzinfo), START)]
        ):
            assert end <= following
            assert end - start >= shortest
