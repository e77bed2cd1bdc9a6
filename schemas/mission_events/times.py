"""Times on the wire: RFC 3339 texts with an offset, and the instants that they mean."""

from datetime import UTC, datetime, timedelta

RFC3339_PATTERN = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]{1,30})?"
    r"([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
"""A date, `T`, a time with seconds, and an offset. The offset is what makes it an instant."""


def parse_time(text: str) -> datetime:
    """The instant, in UTC, of a text that matches `RFC3339_PATTERN`; digits beyond microseconds are cut off.

    Raises ValueError or OverflowError if there is no such instant (30 February, the year 0).
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = _parse_unusual_time(text.upper())
    return instant if instant.tzinfo is UTC else instant.astimezone(UTC)


def _parse_unusual_time(text: str) -> datetime:
    """Lower-case `t` and `z` (by now upper), and a leap second, which becomes the next day's first second."""
    if text[17:19] != "60":
        return datetime.fromisoformat(text)
    before = datetime.fromisoformat(text[:17] + "59" + text[19:]).astimezone(UTC)
    if (before.hour, before.minute) != (23, 59):
        raise ValueError("a leap second is always 23:59:60 UTC")
    return before + timedelta(seconds=1)


def format_time(instant: datetime) -> str:
    """RFC 3339 in UTC, such as `2026-11-22T08:00:00Z`. Raises ValueError if the time has no zone."""
    if instant.tzinfo is None:
        raise ValueError("time has no time zone; pass an aware datetime such as datetime.now(UTC)")
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


_EPOCH = datetime.fromtimestamp(0, UTC)


def record_time(milliseconds: int) -> datetime:
    """The instant, in UTC, of a record's Kafka timestamp. Brokers may take any 64-bit number from a producer: one beyond the
    calendar gives the year 1970, to which no event is near, and which is newer than no other record."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return _EPOCH
