"""Times as people type them: RFC 3339, or how long ago."""

import re
from datetime import UTC, datetime, timedelta

from services.cli.run import stop

_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def instant(text: str | None) -> datetime:
    """The time that a text names, now without one. Says what is wrong with it and exits."""
    if text is None:
        return datetime.now(UTC)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        stop(f"{text!r} is no time", "write it as 2026-11-22T08:00:00Z")
    if at.tzinfo is None:
        stop(f"{text!r} says no offset", "add one, such as Z for UTC")
    return at.astimezone(UTC)


def instant_or_ago(text: str | None) -> datetime | None:
    """The time that a text names, or so long ago: `90s`, `15m`, `2h`, `7d`. None without one."""
    if text is None:
        return None
    if ago := _AGO.fullmatch(text):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    return instant(text)
