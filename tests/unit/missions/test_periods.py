"""Days and weeks of users, by example: clock changes, odd zones, and moving. The laws are in tests/properties/test_periods.py."""

from datetime import date, timedelta

import pytest

from services.missions.periods import (
    ZONE_SEGMENTS_MAX,
    Period,
    UnknownZone,
    change_zone,
    daily_period,
    local_day,
    weekly_period,
)
from services.missions.state import ZoneSegment
from tests.support.builders import at, living_in


def day(zone: str, instant: str) -> Period:
    return daily_period(living_in(zone), at(instant))


def hours(period: Period) -> float:
    return (period.ends_at - period.starts_at) / timedelta(hours=1)


def test_without_a_zone_days_and_weeks_are_utc() -> None:
    assert daily_period([], at("2026-11-25 12:00")) == (at("2026-11-25 00:00"), at("2026-11-26 00:00"))
    assert weekly_period([], at("2026-11-25 12:00")) == (at("2026-11-23 00:00"), at("2026-11-30 00:00"))


def test_a_day_runs_from_local_midnight_to_local_midnight() -> None:
    assert day("Europe/Berlin", "2026-11-25 22:59") == (at("2026-11-24 23:00"), at("2026-11-25 23:00"))
    assert day("Europe/Berlin", "2026-11-25 23:00") == (at("2026-11-25 23:00"), at("2026-11-26 23:00"))


def test_a_week_runs_from_local_monday() -> None:
    week = weekly_period(living_in("Asia/Tokyo"), at("2026-11-29 15:00"))
    assert week == (at("2026-11-29 15:00"), at("2026-12-06 15:00"))
    assert weekly_period(living_in("Asia/Tokyo"), at("2026-11-29 14:59")).ends_at == at("2026-11-29 15:00")


@pytest.mark.parametrize(
    ("zone", "instant", "length"),
    [
        ("Europe/Berlin", "2026-03-29 12:00", 23),
        ("Europe/Berlin", "2026-10-25 12:00", 25),
        ("Australia/Lord_Howe", "2026-04-05 03:00", 24.5),
        ("Australia/Lord_Howe", "2026-10-03 16:00", 23.5),
        ("Asia/Kathmandu", "2026-06-01 12:00", 24),
        ("Pacific/Kiritimati", "2026-06-01 12:00", 24),
        ("Etc/GMT+12", "2026-06-01 12:00", 24),
    ],
)
def test_days_are_as_long_as_the_clocks_make_them(zone: str, instant: str, length: float) -> None:
    assert hours(day(zone, instant)) == length


def test_a_quarter_hour_zone_has_its_own_midnight() -> None:
    assert day("Asia/Kathmandu", "2026-06-01 12:00").starts_at == at("2026-05-31 18:15")


def test_a_day_without_midnight_begins_with_its_first_instant() -> None:
    # In Santiago clocks went from 24:00 straight to 01:00 on 6 September 2026.
    spring = day("America/Santiago", "2026-09-06 12:00")
    assert spring == (at("2026-09-06 04:00"), at("2026-09-07 03:00"))


def test_a_jump_that_starts_before_midnight_begins_the_day_at_its_end() -> None:
    # In Toronto clocks went from 23:30 to 00:30 on 30 March 1919.
    first = day("America/Toronto", "1919-03-31 12:00")
    assert first.starts_at == at("1919-03-31 04:30")


def test_midnight_twice_does_not_make_two_days() -> None:
    # In St John's clocks went back from 00:01 to 23:01 on 6 November 2011.
    before, repeated = at("2011-11-06 02:30:30"), at("2011-11-06 02:45")
    zones = living_in("America/St_Johns")
    assert daily_period(zones, before) == daily_period(zones, repeated)
    assert daily_period(zones, before).starts_at == at("2011-11-06 02:30")
    assert local_day(zones, before) == local_day(zones, repeated) == date(2011, 11, 6).toordinal()


def test_a_date_that_a_zone_skipped_is_no_period() -> None:
    # Samoa had no 30 December 2011.
    last = day("Pacific/Apia", "2011-12-30 09:00")
    assert last.ends_at == at("2011-12-30 10:00")
    assert daily_period(living_in("Pacific/Apia"), last.ends_at).ends_at == at("2011-12-31 10:00")


def test_the_first_zone_also_covers_the_past() -> None:
    zones = change_zone([], "Asia/Tokyo", at("2026-11-25 12:00"))
    assert daily_period(zones, at("2026-11-20 12:00")) == (at("2026-11-19 15:00"), at("2026-11-20 15:00"))


def test_after_a_flight_west_the_day_goes_on_and_the_next_one_closes_at_local_midnight() -> None:
    zones = change_zone(living_in("Europe/Berlin"), "America/New_York", at("2026-11-25 12:00"))
    assert daily_period(zones, at("2026-11-25 12:00")) == (at("2026-11-24 23:00"), at("2026-11-25 23:00"))
    # 18:00 in New York: midnight is 6 hours off, so the day closes at the one after.
    assert daily_period(zones, at("2026-11-25 23:00")) == (at("2026-11-25 23:00"), at("2026-11-27 05:00"))
    assert daily_period(zones, at("2026-11-27 05:00")) == (at("2026-11-27 05:00"), at("2026-11-28 05:00"))


def test_after_a_flight_east_the_first_day_is_shorter_but_never_under_twelve_hours() -> None:
    zones = change_zone(living_in("America/New_York"), "Europe/Berlin", at("2026-11-25 12:00"))
    assert daily_period(zones, at("2026-11-26 05:00")) == (at("2026-11-26 05:00"), at("2026-11-26 23:00"))


def test_a_first_week_in_a_new_zone_closes_on_the_first_monday_after_half_a_week() -> None:
    zones = change_zone(living_in("Europe/Berlin"), "America/New_York", at("2026-11-25 12:00"))
    assert weekly_period(zones, at("2026-11-25 12:00")).ends_at == at("2026-11-29 23:00")
    assert weekly_period(zones, at("2026-11-29 23:00")) == (at("2026-11-29 23:00"), at("2026-12-07 05:00"))


def test_a_period_that_is_issued_already_is_kept() -> None:
    issued_until = at("2026-11-26 23:00")
    zones = change_zone(living_in("Europe/Berlin"), "Asia/Tokyo", at("2026-11-25 12:00"), issued_until, None)
    assert daily_period(zones, at("2026-11-26 12:00")) == (at("2026-11-25 23:00"), issued_until)
    assert daily_period(zones, issued_until).starts_at == issued_until


def test_periods_issued_before_the_zone_was_known_stay_as_they_were() -> None:
    zones = change_zone([], "Asia/Tokyo", at("2026-11-25 12:00"), at("2026-11-26 00:00"), at("2026-11-30 00:00"))
    assert daily_period(zones, at("2026-11-25 12:00")) == (at("2026-11-25 00:00"), at("2026-11-26 00:00"))
    assert daily_period(zones, at("2026-11-26 00:00")) == (at("2026-11-26 00:00"), at("2026-11-26 15:00"))
    assert weekly_period(zones, at("2026-11-30 00:00")) == (at("2026-11-30 00:00"), at("2026-12-06 15:00"))


def test_coming_back_before_the_change_took_hold_leaves_no_trace() -> None:
    home = living_in("Europe/Berlin")
    away = change_zone(home, "Asia/Tokyo", at("2026-11-25 08:00"))
    assert change_zone(away, "Europe/Berlin", at("2026-11-25 09:00")) == home


def test_the_same_zone_again_changes_nothing() -> None:
    home = living_in("Europe/Berlin")
    assert change_zone(home, "Europe/Berlin", at("2026-11-25 08:00")) == home


def test_a_name_that_is_no_zone_is_refused() -> None:
    with pytest.raises(UnknownZone, match="'Europe/Berln' is no IANA time zone"):
        change_zone([], "Europe/Berln", at("2026-11-25 08:00"))


def test_segments_that_are_long_over_are_forgotten_when_there_are_too_many() -> None:
    zones: list[ZoneSegment] = living_in("Europe/Berlin")
    for turn in range(30):
        zone = ("Asia/Tokyo", "America/New_York", "Asia/Kathmandu", "Europe/Berlin")[turn % 4]
        zones = change_zone(zones, zone, at("2026-02-10 12:00") + timedelta(days=4 * turn))
        assert len(zones) <= ZONE_SEGMENTS_MAX
        assert zones[-1].zone == zone


def test_the_local_day_of_a_past_instant_stays_when_the_user_travels_on() -> None:
    zones = living_in("Europe/Berlin")
    zones = change_zone(zones, "America/New_York", at("2026-10-24 10:00"))
    zones = change_zone(zones, "Europe/Berlin", at("2026-10-25 20:00"))
    before = local_day(zones, at("2026-10-24 22:30"))
    zones = change_zone(zones, "America/Santiago", at("2026-10-28 12:00"))
    assert local_day(zones, at("2026-10-24 22:30")) == before == date(2026, 10, 24).toordinal()


def test_who_changes_zones_all_the_time_keeps_the_last_one_that_fits() -> None:
    zones: list[ZoneSegment] = living_in("UTC")
    names = ("Asia/Tokyo", "America/New_York", "Europe/Berlin", "Pacific/Auckland", "Asia/Kathmandu")
    instant = at("2026-11-25 12:00")
    for turn in range(60):
        zones = change_zone(zones, names[turn % len(names)], instant)
        assert len(zones) <= ZONE_SEGMENTS_MAX
        instant = daily_period(zones, instant).ends_at


def test_the_local_day_is_the_users_calendar_date() -> None:
    assert local_day([], at("2026-11-25 23:59")) == date(2026, 11, 25).toordinal()
    assert local_day(living_in("Asia/Tokyo"), at("2026-11-25 15:00")) == date(2026, 11, 26).toordinal()
    moved = change_zone(living_in("Europe/Berlin"), "America/New_York", at("2026-11-25 12:00"))
    assert local_day(moved, at("2026-11-25 23:30")) == date(2026, 11, 25).toordinal()
