"""Pure time: the daily and weekly periods of a user, as UTC instants, across zone changes and clock changes.

A user's periods never overlap and leave no hole. A zone that is taken over begins where a period of the zone before ends; its
first period closes at the first local midnight (Monday) that is at least 12 hours (3.5 days) later, and from there on the
periods are the natural ones. All instants are aware and in UTC.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from mission_events.fields import known_zones

from .state import ZoneSegment

DAILY = "daily"
WEEKLY = "weekly"

LATENESS_BOUND = timedelta(hours=24)
"""How long after a period's end a record may still bring an event that counts in it."""

DAY_LENGTH_MIN = timedelta(hours=12)
WEEK_LENGTH_MIN = timedelta(hours=84)
"""Shortest first period after a zone change: half a natural one, so that changing zones never brings periods faster than
twice the natural pace."""

ZONE_SEGMENTS_MAX = 8
"""Most zones remembered at once. Only somebody who changes the zone every half day meets it, and then the newest zones wait."""

SETTLED = timedelta(days=2)
"""So long after its last period ended no record can make the system ask for a zone's periods again: the lateness bound of
24 hours, and room for a `time` that is ahead of its record."""

UNKNOWN_ZONE = "UTC"
"""The zone of users of whom none is known."""


class Period(NamedTuple):
    """From `starts_at` up to, and not including, `ends_at`."""

    starts_at: datetime
    ends_at: datetime


class UnknownZone(ValueError):
    """A name that is no IANA time zone."""


def daily_period(zones: Sequence[ZoneSegment], instant: datetime) -> Period:
    """The user's daily period that holds the instant."""
    return _period(zones, instant, _DAILY)


def weekly_period(zones: Sequence[ZoneSegment], instant: datetime) -> Period:
    """The user's weekly period that holds the instant."""
    return _period(zones, instant, _WEEKLY)


def local_day(zones: Sequence[ZoneSegment], instant: datetime) -> int:
    """Proleptic ordinal of the user's local date at the instant."""
    if not zones:
        return instant.toordinal() if instant.tzinfo is UTC else _day(UNKNOWN_ZONE, instant)
    zone = zones[0].zone
    for segment in zones:
        if segment.daily_from <= instant:
            zone = segment.zone
    return _day(zone, instant)


def change_zone(
    zones: Sequence[ZoneSegment],
    zone: str,
    at: datetime,
    daily_issued_until: datetime | None = None,
    weekly_issued_until: datetime | None = None,
) -> list[ZoneSegment]:
    """The segments after the user's zone became `zone` at the instant `at`.

    The new zone begins where the period that contains `at` ends or, if later, where the newest period that is issued
    (`…_issued_until`) ends. The result equals `zones` when nothing changes: the zone is the newest one already, or
    `ZONE_SEGMENTS_MAX` are still needed. Raises UnknownZone for a name that the zone database does not have.
    """
    if zone not in known_zones():
        raise UnknownZone(f"{zone!r} is no IANA time zone; send a name such as Europe/Berlin")
    segments = list(zones)
    if not segments:
        if daily_issued_until is None and weekly_issued_until is None:
            return [_first_segment(zone, at)]
        segments = [_first_segment(UNKNOWN_ZONE, at)]
    newest = segments[-1]
    if newest.zone == zone:
        return segments
    daily_from = max(daily_period(segments, at).ends_at, daily_issued_until or at, newest.daily_from)
    weekly_from = max(weekly_period(segments, at).ends_at, weekly_issued_until or at, newest.weekly_from)
    while segments and segments[-1].daily_from >= daily_from and segments[-1].weekly_from >= weekly_from:
        segments.pop()  # it was planned, and never began
    if segments and segments[-1].zone == zone:
        return segments
    segments.append(ZoneSegment(zone, daily_from, weekly_from))
    if len(segments) > ZONE_SEGMENTS_MAX:  # not before: an answer's or a run's local day may lie weeks back
        segments = _without_settled(segments, at - SETTLED)
    return segments if len(segments) <= ZONE_SEGMENTS_MAX else list(zones)


def _first_segment(zone: str, at: datetime) -> ZoneSegment:
    return ZoneSegment(zone, _natural_day(zone, at).starts_at, _natural_week(zone, at).starts_at)


def _without_settled(segments: list[ZoneSegment], settled: datetime) -> list[ZoneSegment]:
    """Leaves out segments whose periods of both kinds ended before `settled`, or that never had any."""
    kept: list[ZoneSegment] = []
    for segment, following in pairwise(segments):
        daily_over = following.daily_from <= max(settled, segment.daily_from)
        weekly_over = following.weekly_from <= max(settled, segment.weekly_from)
        if not (daily_over and weekly_over):
            kept.append(segment)
    return [*kept, segments[-1]]


@dataclass(frozen=True, slots=True)
class _Rhythm:
    """One kind of period: where a segment's periods of it begin, what they are when natural, and the shortest first one."""

    begins: Callable[[ZoneSegment], datetime]
    natural: Callable[[str, datetime], Period]
    length_min: timedelta


def _period(zones: Sequence[ZoneSegment], instant: datetime, rhythm: _Rhythm) -> Period:
    if not zones:
        return rhythm.natural(UNKNOWN_ZONE, instant)
    current: ZoneSegment | None = None
    for segment in zones:
        if rhythm.begins(segment) <= instant:
            current = segment
    if current is None:
        natural = rhythm.natural(zones[0].zone, instant)
        return Period(natural.starts_at, min(natural.ends_at, rhythm.begins(zones[0])))
    begins = rhythm.begins(current)
    closes = _first_close(current.zone, begins, rhythm)
    return rhythm.natural(current.zone, instant) if instant >= closes else Period(begins, closes)


def _first_close(zone: str, begins: datetime, rhythm: _Rhythm) -> datetime:
    earliest = begins + rhythm.length_min
    natural = rhythm.natural(zone, earliest)
    return earliest if natural.starts_at == earliest else natural.ends_at


def _natural_day(zone: str, instant: datetime) -> Period:
    day = _day(zone, instant)
    return Period(first_instant(zone, day), first_instant(zone, day + 1))


def _natural_week(zone: str, instant: datetime) -> Period:
    monday = _monday(_day(zone, instant))
    return Period(first_instant(zone, monday), first_instant(zone, monday + 7))


def _monday(day: int) -> int:
    """The Monday on or before a day: ordinal 1 was a Monday."""
    return day - (day - 1) % 7


_days: dict[str, tuple[datetime, datetime, int]] = {}
"""By zone: the day that was asked for last, with its bounds. Most events of an hour are about one day of each zone."""


def _day(zone: str, instant: datetime) -> int:
    known = _days.get(zone)
    if known is not None and known[0] <= instant < known[1]:
        return known[2]
    day = _find_day(zone, instant)
    _days[zone] = first_instant(zone, day), first_instant(zone, day + 1), day
    return day


def _find_day(zone: str, instant: datetime) -> int:
    day = instant.astimezone(_zone_info(zone)).toordinal()
    # A clock that goes back over midnight shows the old date again: its instants belong to the date that has begun.
    return day + 1 if instant >= first_instant(zone, day + 1) else day


@lru_cache(maxsize=1024)
def _zone_info(zone: str) -> ZoneInfo:
    return ZoneInfo(zone)


@lru_cache(maxsize=65_536)
def first_instant(zone: str, day: int) -> datetime:
    """The first instant of a local date, in UTC; local midnight, or what comes first where clocks jump over midnight."""
    info = _zone_info(zone)
    midnight = datetime.fromordinal(day)
    candidate = midnight.replace(tzinfo=info).astimezone(UTC)
    if candidate.astimezone(info).replace(tzinfo=None) == midnight:
        return candidate
    # Local midnight does not exist: find the jump, which lies between the two readings of the missing time.
    before, after = midnight.replace(tzinfo=info, fold=1).astimezone(UTC), candidate
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if middle.astimezone(info).toordinal() >= day:
            after = middle
        else:
            before = middle
    return after


_DAILY = _Rhythm(lambda segment: segment.daily_from, _natural_day, DAY_LENGTH_MIN)
_WEEKLY = _Rhythm(lambda segment: segment.weekly_from, _natural_week, WEEK_LENGTH_MIN)
