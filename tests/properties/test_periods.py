"""Laws of periods. If one fails, a user gets two days in one, or loses a day, by living or by moving."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.missions.periods import (
    DAY_LENGTH_MIN,
    SETTLED,
    WEEK_LENGTH_MIN,
    ZONE_SEGMENTS_MAX,
    Period,
    change_zone,
    daily_period,
    local_day,
    weekly_period,
)
from services.missions.state import ZoneSegment
from tests.support.builders import living_in

from .strategies import START, instants, zones

PeriodAt = Callable[[Sequence[ZoneSegment], datetime], Period]

KINDS = pytest.mark.parametrize(
    ("period_at", "length_min"),
    [(daily_period, DAY_LENGTH_MIN), (weekly_period, WEEK_LENGTH_MIN)],
    ids=["daily", "weekly"],
)
INSTANT = timedelta(microseconds=1)


@KINDS
@given(zone=zones, instant=instants)
def test_every_instant_lies_in_exactly_one_period(
    period_at: PeriodAt, length_min: timedelta, zone: str, instant: datetime
) -> None:
    home = living_in(zone)
    period = period_at(home, instant)
    assert period.starts_at <= instant < period.ends_at
    assert period_at(home, period.starts_at) == period == period_at(home, period.ends_at - INSTANT)
    assert period_at(home, period.ends_at).starts_at == period.ends_at
    assert period_at(home, period.starts_at - INSTANT).ends_at == period.starts_at
    assert period.ends_at - period.starts_at >= length_min


@given(zones, instants)
def test_the_local_day_changes_exactly_where_the_daily_period_does(zone: str, instant: datetime) -> None:
    home = living_in(zone)
    period = daily_period(home, instant)
    day = local_day(home, instant)
    assert local_day(home, period.starts_at) == day == local_day(home, period.ends_at - INSTANT)
    assert local_day(home, period.ends_at) > day > local_day(home, period.starts_at - INSTANT)


@given(zones, instants)
def test_a_week_begins_on_a_local_monday_where_a_day_begins(zone: str, instant: datetime) -> None:
    home = living_in(zone)
    week = weekly_period(home, instant)
    assert daily_period(home, week.starts_at).starts_at == week.starts_at
    assert local_day(home, week.starts_at) % 7 == 1


# (hours since the last move, zone)
MOVES = st.lists(st.tuples(st.integers(0, 60), zones), min_size=1, max_size=25)


def travel(moves: list[tuple[int, str]]) -> list[tuple[datetime, list[ZoneSegment]]]:
    """(instant of the move, segments after it); what begins at each move was issued by then."""
    now = START
    segments: list[ZoneSegment] = []
    day_until: datetime | None = None
    week_until: datetime | None = None
    stops = []
    for hours, zone in moves:
        now += timedelta(hours=hours)
        segments = change_zone(segments, zone, now, day_until, week_until)
        day_until = daily_period(segments, now).ends_at
        week_until = weekly_period(segments, now).ends_at
        stops.append((now, segments))
    return stops


@KINDS
@given(moves=MOVES)
def test_moving_leaves_no_hole_no_overlap_and_no_short_period(
    period_at: PeriodAt, length_min: timedelta, moves: list[tuple[int, str]]
) -> None:
    for now, segments in travel(moves):
        period = period_at(segments, now)
        assert period.starts_at <= now < period.ends_at
        for _ in range(6):
            following = period_at(segments, period.ends_at)
            assert following.starts_at == period.ends_at
            assert following.ends_at - following.starts_at >= length_min
            assert period_at(segments, following.ends_at - INSTANT) == following
            period = following


@KINDS
@given(moves=MOVES)
def test_moving_never_changes_a_period_that_has_begun(
    period_at: PeriodAt, length_min: timedelta, moves: list[tuple[int, str]]
) -> None:
    for (_, before), (now, after) in pairwise(travel(moves)):
        for instant in (now, now - SETTLED / 2, now - SETTLED + timedelta(hours=1)):
            assert period_at(after, instant) == period_at(before, instant)


@given(MOVES)
def test_however_often_somebody_moves_few_zones_are_remembered(moves: list[tuple[int, str]]) -> None:
    for _, segments in travel(moves):
        assert 1 <= len(segments) <= ZONE_SEGMENTS_MAX
        for one, other in pairwise(segments):
            assert (one.daily_from, one.weekly_from) <= (other.daily_from, other.weekly_from)
            assert one.weekly_from <= other.weekly_from
