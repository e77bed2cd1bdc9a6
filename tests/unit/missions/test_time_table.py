"""The table of time: where a user is, an instant, and the day and the week that it must lie in, each worked out by hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import pytest

from services.missions.decide import issue_now
from services.missions.periods import Period, UnknownZone, change_zone, daily_period, local_day, weekly_period
from services.missions.state import UserState, ZoneSegment
from tests.support.builders import LONG_AGO, at, catalogue, mission

BEFORE = timedelta(microseconds=1)


@dataclass(frozen=True)
class Where:
    """Where a user is, and was told to be."""

    zone: str
    """Since `LONG_AGO`; "" = nobody ever told."""
    moves: tuple[tuple[str, str], ...] = ()
    """(new zone, instant of the session that told it)."""
    issued: tuple[str, str] | None = None
    """Ends of the newest day and week that were issued before the moves."""

    @property
    def zones(self) -> list[ZoneSegment]:
        segments = change_zone([], self.zone, LONG_AGO) if self.zone else []
        for zone, told_at in self.moves:
            issued = [at(end) for end in self.issued] if self.issued else [None, None]
            segments = change_zone(segments, zone, at(told_at), *issued)
        return segments


class Row(NamedTuple):
    """An instant, and the bounds of its day and of its week. All in UTC."""

    where: Where
    instant: datetime
    day: Period
    week: Period
    what: str


BERLIN, YORK, SYDNEY, TOKYO = "Europe/Berlin", "America/New_York", "Australia/Sydney", "Asia/Tokyo"
LORD_HOWE, KATHMANDU, ANGELES = "Australia/Lord_Howe", "Asia/Kathmandu", "America/Los_Angeles"
FIRST, LAST = "Pacific/Kiritimati", "Etc/GMT+12"
"""UTC+14 and UTC-12: where a date begins first, and where it ends last."""

# Each line: an instant | the day that it lies in | the week that it lies in | what it is about.

MIDNIGHTS = {
    Where(BERLIN): """
        2026-11-25 11:00 | 2026-11-24 23:00/2026-11-25 23:00 | 2026-11-22 23:00/2026-11-29 23:00 | a Wednesday noon
        2026-11-25 22:59:59.999999 | 2026-11-24 23:00/2026-11-25 23:00 | 2026-11-22 23:00/2026-11-29 23:00 | the last moment of a day
        2026-11-25 23:00 | 2026-11-25 23:00/2026-11-26 23:00 | 2026-11-22 23:00/2026-11-29 23:00 | midnight
        2026-11-29 22:59:59.999999 | 2026-11-28 23:00/2026-11-29 23:00 | 2026-11-22 23:00/2026-11-29 23:00 | the last moment of a week
        2026-11-29 23:00 | 2026-11-29 23:00/2026-11-30 23:00 | 2026-11-29 23:00/2026-12-06 23:00 | Monday
    """,
    Where(YORK): """
        2026-11-26 00:00 | 2026-11-25 05:00/2026-11-26 05:00 | 2026-11-23 05:00/2026-11-30 05:00 | midnight in UTC is none in New York
        2026-11-30 04:59 | 2026-11-29 05:00/2026-11-30 05:00 | 2026-11-23 05:00/2026-11-30 05:00 | Monday in UTC is Sunday in New York
        2026-11-30 05:00 | 2026-11-30 05:00/2026-12-01 05:00 | 2026-11-30 05:00/2026-12-07 05:00 | Monday in New York
    """,
    Where(""): """
        2026-11-25 12:00 | 2026-11-25 00:00/2026-11-26 00:00 | 2026-11-23 00:00/2026-11-30 00:00 | nobody told the zone
        2026-11-30 00:00 | 2026-11-30 00:00/2026-12-01 00:00 | 2026-11-30 00:00/2026-12-07 00:00 | nobody told the zone, Monday
    """,
}

MONTHS_AND_YEARS = {
    Where(KATHMANDU): """
        2026-02-28 18:14 | 2026-02-27 18:15/2026-02-28 18:15 | 2026-02-22 18:15/2026-03-01 18:15 | the last of February
        2026-02-28 18:15 | 2026-02-28 18:15/2026-03-01 18:15 | 2026-02-22 18:15/2026-03-01 18:15 | the first of March
    """,
    Where(BERLIN): """
        2028-02-29 12:00 | 2028-02-28 23:00/2028-02-29 23:00 | 2028-02-27 23:00/2028-03-05 23:00 | a 29 February
        2026-12-31 22:30 | 2026-12-30 23:00/2026-12-31 23:00 | 2026-12-27 23:00/2027-01-03 23:00 | the last hour of the year
        2026-12-31 23:00 | 2026-12-31 23:00/2027-01-01 23:00 | 2026-12-27 23:00/2027-01-03 23:00 | New Year's day
    """,
    Where(TOKYO): """
        2026-04-30 14:59 | 2026-04-29 15:00/2026-04-30 15:00 | 2026-04-26 15:00/2026-05-03 15:00 | the last of April
        2026-04-30 15:00 | 2026-04-30 15:00/2026-05-01 15:00 | 2026-04-26 15:00/2026-05-03 15:00 | the first of May
    """,
    Where(YORK): """
        2029-01-01 05:00 | 2029-01-01 05:00/2029-01-02 05:00 | 2029-01-01 05:00/2029-01-08 05:00 | a year that begins on a Monday
    """,
    Where(FIRST): """
        2026-12-31 10:00 | 2026-12-31 10:00/2027-01-01 10:00 | 2026-12-27 10:00/2027-01-03 10:00 | the first place with a new year
    """,
    Where(LAST): """
        2027-01-01 11:59 | 2026-12-31 12:00/2027-01-01 12:00 | 2026-12-28 12:00/2027-01-04 12:00 | the last place with the old year
    """,
}

CLOCK_CHANGES = {
    Where(BERLIN): """
        2026-03-29 12:00 | 2026-03-28 23:00/2026-03-29 22:00 | 2026-03-22 23:00/2026-03-29 22:00 | 23 hours
        2026-03-29 01:00 | 2026-03-28 23:00/2026-03-29 22:00 | 2026-03-22 23:00/2026-03-29 22:00 | the first moment of summer time
        2026-10-25 12:00 | 2026-10-24 22:00/2026-10-25 23:00 | 2026-10-18 22:00/2026-10-25 23:00 | 25 hours
        2026-10-25 00:30 | 2026-10-24 22:00/2026-10-25 23:00 | 2026-10-18 22:00/2026-10-25 23:00 | half past two
        2026-10-25 01:30 | 2026-10-24 22:00/2026-10-25 23:00 | 2026-10-18 22:00/2026-10-25 23:00 | half past two again
    """,
    Where(YORK): """
        2026-03-08 12:00 | 2026-03-08 05:00/2026-03-09 04:00 | 2026-03-02 05:00/2026-03-09 04:00 | 23 hours
        2026-11-01 03:59 | 2026-10-31 04:00/2026-11-01 04:00 | 2026-10-26 04:00/2026-11-02 05:00 | the month ends before the clock changes
        2026-11-01 12:00 | 2026-11-01 04:00/2026-11-02 05:00 | 2026-10-26 04:00/2026-11-02 05:00 | 25 hours
    """,
    Where(SYDNEY): """
        2026-04-05 02:00 | 2026-04-04 13:00/2026-04-05 14:00 | 2026-03-29 13:00/2026-04-05 14:00 | 25 hours
        2026-10-04 02:00 | 2026-10-03 14:00/2026-10-04 13:00 | 2026-09-27 14:00/2026-10-04 13:00 | 23 hours
    """,
    Where(LORD_HOWE): """
        2026-04-05 02:00 | 2026-04-04 13:00/2026-04-05 13:30 | 2026-03-29 13:00/2026-04-05 13:30 | 24 hours and a half
        2026-10-04 02:00 | 2026-10-03 13:30/2026-10-04 13:00 | 2026-09-27 13:30/2026-10-04 13:00 | 23 hours and a half
    """,
    Where(KATHMANDU): """
        2026-03-29 01:00 | 2026-03-28 18:15/2026-03-29 18:15 | 2026-03-22 18:15/2026-03-29 18:15 | no change, quarter of an hour
        2026-06-01 12:00 | 2026-05-31 18:15/2026-06-01 18:15 | 2026-05-31 18:15/2026-06-07 18:15 | no change, Monday
    """,
}

TRAVEL = {
    Where(BERLIN, ((TOKYO, "2026-11-25 12:00"),)): """
        2026-11-25 13:00 | 2026-11-24 23:00/2026-11-25 23:00 | 2026-11-22 23:00/2026-11-29 23:00 | east: the day goes on
        2026-11-26 14:59 | 2026-11-25 23:00/2026-11-26 15:00 | 2026-11-22 23:00/2026-11-29 23:00 | east: 16 hours
        2026-11-26 15:00 | 2026-11-26 15:00/2026-11-27 15:00 | 2026-11-22 23:00/2026-11-29 23:00 | east: from then on the new midnight
        2026-11-30 00:00 | 2026-11-29 15:00/2026-11-30 15:00 | 2026-11-29 23:00/2026-12-06 15:00 | east: a week of 6 days 16 hours
        2026-12-06 15:00 | 2026-12-06 15:00/2026-12-07 15:00 | 2026-12-06 15:00/2026-12-13 15:00 | east: from then on the new Monday
    """,
    Where(YORK, ((BERLIN, "2026-11-25 12:00"),)): """
        2026-11-26 05:00 | 2026-11-26 05:00/2026-11-26 23:00 | 2026-11-23 05:00/2026-11-30 05:00 | east: 18 hours
        2026-12-01 00:00 | 2026-11-30 23:00/2026-12-01 23:00 | 2026-11-30 05:00/2026-12-06 23:00 | east: a week of 6 days 18 hours
    """,
    Where(BERLIN, ((YORK, "2026-11-25 12:00"),)): """
        2026-11-26 12:00 | 2026-11-25 23:00/2026-11-27 05:00 | 2026-11-22 23:00/2026-11-29 23:00 | west: 6 hours to midnight, so 30
        2026-12-06 23:00 | 2026-12-06 05:00/2026-12-07 05:00 | 2026-11-29 23:00/2026-12-07 05:00 | west: 6 hours to Monday, so 7 days 6
    """,
    Where(BERLIN, ((YORK, "2026-10-28 12:00"),)): """
        2026-10-29 12:00 | 2026-10-28 23:00/2026-10-30 04:00 | 2026-10-25 23:00/2026-11-01 23:00 | west, into the week of a clock change
        2026-11-02 05:00 | 2026-11-02 05:00/2026-11-03 05:00 | 2026-11-01 23:00/2026-11-09 05:00 | west, over a clock change
    """,
    Where("UTC", (("Etc/GMT-12", "2026-11-25 06:00"),)): """
        2026-11-26 06:00 | 2026-11-26 00:00/2026-11-26 12:00 | 2026-11-23 00:00/2026-11-30 00:00 | exactly 12 hours are enough
    """,
    Where("UTC", (("Etc/GMT-13", "2026-11-25 06:00"),)): """
        2026-11-26 12:00 | 2026-11-26 00:00/2026-11-27 11:00 | 2026-11-23 00:00/2026-11-30 00:00 | 11 hours are not
    """,
    Where(FIRST, ((LAST, "2026-11-25 12:00"),)): """
        2026-11-26 12:00 | 2026-11-26 10:00/2026-11-27 12:00 | 2026-11-22 10:00/2026-11-29 10:00 | over the date line, west to east of it
        2026-12-07 11:00 | 2026-12-06 12:00/2026-12-07 12:00 | 2026-11-29 10:00/2026-12-07 12:00 | over the date line: 8 days 2 hours
    """,
    Where(LAST, ((FIRST, "2026-11-25 13:00"),)): """
        2026-11-27 09:59 | 2026-11-26 12:00/2026-11-27 10:00 | 2026-11-23 12:00/2026-11-30 12:00 | over the date line, back
        2026-12-01 00:00 | 2026-11-30 10:00/2026-12-01 10:00 | 2026-11-30 12:00/2026-12-06 10:00 | over the date line, back: 5 days 22 hours
    """,
    Where(
        BERLIN,
        (
            (TOKYO, "2026-11-25 12:00"),
            (BERLIN, "2026-11-27 12:00"),
        ),
    ): """
        2026-11-28 12:00 | 2026-11-27 15:00/2026-11-28 23:00 | 2026-11-22 23:00/2026-11-29 23:00 | there and home again: 32 hours
        2026-11-30 12:00 | 2026-11-29 23:00/2026-11-30 23:00 | 2026-11-29 23:00/2026-12-06 23:00 | there and home again within a week
    """,
    Where(
        BERLIN,
        (
            (TOKYO, "2026-11-25 12:00"),
            (BERLIN, "2026-11-25 18:00"),
        ),
    ): """
        2026-11-26 12:00 | 2026-11-25 23:00/2026-11-26 23:00 | 2026-11-22 23:00/2026-11-29 23:00 | home again before anything began
    """,
    Where("", ((ANGELES, "2026-11-25 12:00"),)): """
        2026-11-25 12:00 | 2026-11-25 08:00/2026-11-26 08:00 | 2026-11-23 08:00/2026-11-30 08:00 | told before anything was issued
    """,
    Where("", ((ANGELES, "2026-11-25 12:00"),), issued=("2026-11-26 00:00", "2026-11-30 00:00")): """
        2026-11-25 23:59 | 2026-11-25 00:00/2026-11-26 00:00 | 2026-11-23 00:00/2026-11-30 00:00 | told after a day in UTC was issued
        2026-11-27 07:59 | 2026-11-26 00:00/2026-11-27 08:00 | 2026-11-23 00:00/2026-11-30 00:00 | then 32 hours
        2026-12-07 07:59 | 2026-12-06 08:00/2026-12-07 08:00 | 2026-11-30 00:00/2026-12-07 08:00 | and a week of 7 days 8 hours
    """,
}


def period(text: str) -> Period:
    starts_at, ends_at = text.split("/")
    return Period(at(starts_at), at(ends_at))


def rows() -> Iterator[Row]:
    for table in (MIDNIGHTS, MONTHS_AND_YEARS, CLOCK_CHANGES, TRAVEL):
        for where, lines in table.items():
            for line in lines.strip().splitlines():
                instant, day, week, what = (cell.strip() for cell in line.split("|"))
                yield Row(where, at(instant), period(day), period(week), f"{where.zone or 'no zone'}: {what}")


the_table = pytest.mark.parametrize("row", list(rows()), ids=lambda row: row.what)


@the_table
def test_an_instant_lies_in_the_day_and_week_that_its_user_lives_in(row: Row) -> None:
    zones = row.where.zones
    assert daily_period(zones, row.instant) == row.day
    assert weekly_period(zones, row.instant) == row.week


@the_table
def test_all_of_a_period_and_nothing_else_is_in_it(row: Row) -> None:
    zones = row.where.zones
    for period_of, (starts_at, ends_at) in ((daily_period, row.day), (weekly_period, row.week)):
        assert period_of(zones, starts_at) == period_of(zones, ends_at - BEFORE) == (starts_at, ends_at)
        assert period_of(zones, starts_at - BEFORE).ends_at == starts_at
        assert period_of(zones, ends_at).starts_at == ends_at


@the_table
def test_missions_are_issued_with_these_bounds(row: Row) -> None:
    missions = catalogue(mission(id="of-the-day"), mission(id="of-the-week", period="weekly", type="weekly"))
    state = UserState("user-42", zones=row.where.zones)
    issued = {a.mission_id: (a.starts_at, a.expires_at) for a in issue_now(state, row.instant, missions).issued}
    assert issued == {"of-the-day": row.day, "of-the-week": row.week}


@pytest.mark.parametrize(
    ("zone", "instant", "date"),
    [
        (FIRST, "2026-12-31 10:00", "2027-01-01"),
        (LAST, "2027-01-01 11:59", "2026-12-31"),
        (KATHMANDU, "2026-02-28 18:15", "2026-03-01"),
        (LORD_HOWE, "2026-04-05 13:29", "2026-04-05"),
        (LORD_HOWE, "2026-04-05 13:30", "2026-04-06"),
        (BERLIN, "2026-10-25 01:30", "2026-10-25"),
        ("", "2026-12-31 23:59", "2026-12-31"),
    ],
)
def test_the_local_date_follows_the_same_clocks(zone: str, instant: str, date: str) -> None:
    zones = change_zone([], zone, LONG_AGO) if zone else []
    assert local_day(zones, at(instant)) == datetime.fromisoformat(date).toordinal()


@pytest.mark.parametrize(
    "zone", ["Mars/Olympus", "", "europe/berlin", "+01:00", "UTC+1", "../zoneinfo/UTC", "Europe/Berlin "]
)
def test_a_zone_that_nobody_knows_moves_nobody(zone: str) -> None:
    home = change_zone([], BERLIN, LONG_AGO)
    for zones in ([], home):
        before = list(zones)
        with pytest.raises(UnknownZone):
            change_zone(zones, zone, at("2026-11-25 12:00"))
        assert zones == before
