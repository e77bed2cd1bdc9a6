"""The kinds of field that events are made of, their limits, and the base class of every model."""

import functools
import re
import zoneinfo
from datetime import UTC, datetime
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from mission_events.times import RFC3339_PATTERN, parse_time

IDENTIFIER_PATTERN = r"^[A-Za-z0-9_.:-]{1,128}$"
"""Ids of users, events, lessons and so on: safe in a key, a URL, a log line and a metric label."""

REFERENCE_PATTERN = r"^[!-~]{1,128}$"
"""`source` and `type` of the envelope: CloudEvents lets a source be a URI, so any visible ASCII."""

SHORT_TEXT_PATTERN = r"^[ -~]{1,128}$"
"""What an app says about itself (`locale`, `app_version`): any printable ASCII; nothing decides by it."""

MAX_XP = 1_000_000
"""Most XP that one event may add: far above any real lesson, low enough that a slipped unit shows."""

MAX_COUNT = 1_000_000_000
"""Most of anything counted in one event: 9,000,000,000 such events still sum inside a 64-bit integer."""

MAX_EXACT_INTEGER = 2**53 - 1
"""Greatest integer that a JSON reader in any language keeps exactly: the bound of targets and progress."""

MAX_LIST_ITEMS = 100
"""Most objectives or rewards in one event, so that an event stays a small message."""

NOT_ZONES = frozenset({"Factory", "localtime", "posixrules"})
"""Files of the zone database that name no place."""


_RFC3339 = re.compile(RFC3339_PATTERN.removesuffix("$") + r"\Z")


@functools.cache
def known_zones() -> frozenset[str]:
    """All IANA zone names of the zone database here (the `tzdata` package where it is installed)."""
    return frozenset(zoneinfo.available_timezones()) - NOT_ZONES


def _check_zone(name: str) -> str:
    if name not in known_zones():
        raise PydanticCustomError("bad_timezone", "Input should be an IANA time zone name")
    return name


def _to_instant(value: object) -> object:
    try:
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(UTC)
        if isinstance(value, str) and _RFC3339.match(value):
            return parse_time(value)
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError("bad_time", "Input should be RFC 3339 with seconds and an offset")


Identifier = Annotated[str, StringConstraints(pattern=IDENTIFIER_PATTERN)]
Reference = Annotated[str, StringConstraints(pattern=REFERENCE_PATTERN)]
ShortText = Annotated[str, StringConstraints(pattern=SHORT_TEXT_PATTERN)]
TimeText = Annotated[str, StringConstraints(pattern=RFC3339_PATTERN), Field(json_schema_extra={"format": "date-time"})]
ZoneName = Annotated[str, AfterValidator(_check_zone)]
Instant = Annotated[AwareDatetime, BeforeValidator(_to_instant), Field(json_schema_extra={"pattern": RFC3339_PATTERN})]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Seconds = Annotated[float, Field(ge=0, le=MAX_COUNT)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class EventModel(BaseModel):
    """Base of every model: nothing is coerced, unknown fields are passed over, instances never change."""

    model_config = ConfigDict(
        strict=True, extra="ignore", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
