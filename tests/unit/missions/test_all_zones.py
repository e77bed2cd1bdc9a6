"""Two years of every IANA zone: a user's days and weeks join without overlap and without a hole."""

from datetime import UTC, datetime, timedelta

import pytest

from mission_events.fields import known_zones
from services.missions.periods import change_zone, daily_period, local_day, weekly_period

FROM = datetime(2026, 1, 1, tzinfo=UTC)
UNTIL = datetime(2028, 1, 2, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)
ZONES = sorted(known_zones())
GROUPS = 12
"""Zones are walked in groups, so that a failure says roughly where, and the clock of the test sees progress."""


def test_the_zone_database_is_whole() -> None:
    assert len(ZONES) > 400


@pytest.mark.parametrize("group", range(GROUPS))
def test_every_instant_lies_in_exactly_one_day_and_one_week(group: int) -> None:
    for zone in ZONES[group::GROUPS]:
        zones = change_zone([], zone, FROM)
        day = daily_period(zones, FROM)
        week = weekly_period(zones, FROM)
        while day.starts_at < UNTIL:
            assert day.starts_at < day.ends_at <= day.starts_at + timedelta(hours=49), (zone, day)
            assert daily_period(zones, day.starts_at) == day, zone
            assert daily_period(zones, day.ends_at - INSTANT) == day, zone
            assert local_day(zones, day.starts_at) == local_day(zones, day.ends_at - INSTANT), zone
            following = daily_period(zones, day.ends_at)
            assert following.starts_at == day.ends_at, (zone, day, following)
            if day.starts_at == week.ends_at:
                week = weekly_period(zones, day.starts_at)
                assert week.starts_at == day.starts_at, (zone, week)
                assert weekly_period(zones, week.ends_at - INSTANT) == week, zone
            assert week.starts_at <= day.starts_at < day.ends_at <= week.ends_at, (zone, day, week)
            day = following
