"""Reads records a second time: by the published contract, with `json` alone, and as strict as the contract is."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from .journal import ANSWER, ITEM, LESSON, SESSION, STREAK, XP

Event = dict[str, Any]
Check = Callable[[Any], object]

VALUE_BYTES_MAX, DEPTH_MAX = 64 * 1024, 200
BEHIND_MAX, AHEAD_MAX = timedelta(days=35), timedelta(minutes=5)
NO_PLACES = {"Factory", "localtime", "posixrules"}

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:)(\d\d)(\.\d{1,30})?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
).fullmatch
_VISIBLE = re.compile(r"[!-~]{1,128}").fullmatch
_PRINTABLE = re.compile(r"[ -~]{1,128}").fullmatch
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.:-]{1,128}").fullmatch
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII).fullmatch


def identifier(value: Any) -> bool:
    return isinstance(value, str) and _IDENTIFIER(value) is not None


def printable(value: Any) -> bool:
    return isinstance(value, str) and _PRINTABLE(value) is not None


def visible(value: Any) -> bool:
    return isinstance(value, str) and _VISIBLE(value) is not None


def number(low: float, high: float, kinds: Any = int) -> Check:
    """A number between two bounds, which belong to it."""
    return lambda value: isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high


def one_of(names: str) -> Check:
    """One of these words."""
    words = set(names.split())
    return lambda value: isinstance(value, str) and value in words


@cache
def is_zone(name: str) -> bool:
    return name in available_timezones() - NO_PLACES and bool(ZoneInfo(name))


_share = number(0, 1, (int, float))
_seconds = number(0, 10**9, (int, float))
_count = number(0, 10**9)

SHAPES: dict[str, dict[str, Check]] = {
    LESSON: {
        **dict.fromkeys(("lesson_id", "chapter_id", "unit_id", "language", "lesson_type"), identifier),
        "hearts_lost": _count,
        "duration_seconds": _seconds,
        **dict.fromkeys(("accuracy?", "chapter_progress?", "unit_progress?"), _share),
    },
    XP: {
        "amount": number(1, 10**6),
        "xp_source": one_of("lesson practice streak_repair challenge mission_reward other"),
        "language?": identifier,
    },
    ANSWER: {
        **dict.fromkeys(
            ("question_id", "topic_id", "chapter_id", "language", "concept_id?", "concept_kind?"), identifier
        ),
        "correct": lambda value: isinstance(value, bool),
        "difficulty": one_of("easy medium hard"),
    },
    STREAK: {
        "days": _count,
        "day": lambda value: isinstance(value, str) and _DAY(value) and date.fromisoformat(value),
        "change": one_of("extended frozen repaired broken"),
    },
    ITEM: {"item_id": identifier, "item_type": identifier, "quantity": number(1, 10**9)},
    SESSION: {
        "timezone": lambda value: isinstance(value, str) and is_zone(value),
        "platform?": identifier,
        **dict.fromkeys(("locale?", "app_version?"), printable),
    },
}
"""Each event type's fields; a `?` marks those that may be absent."""

_FIELDS = {
    kind: [(name.rstrip("?"), name.endswith("?"), check) for name, check in shape.items()]
    for kind, shape in SHAPES.items()
}


def read(value: bytes | None, headers: Sequence[tuple[str, bytes | None]], recorded_at: datetime) -> Event | str:
    """The event of a record with its instant as `at`, or what else the record is: `unknown` or `dead_letter`.

    `data` has the documented fields that have a value.
    """
    try:
        if value is None or len(value) > VALUE_BYTES_MAX:
            return "dead_letter"
        attributes = _attributes(headers) if headers else None
        if attributes is not None and attributes["type"] not in SHAPES:
            body: Any = None
        else:
            body = json.loads(value.decode(), parse_constant=_refuse)
            if b"\\" in value:
                _check_texts(body)
            if value.count(b"[") + value.count(b"{") > DEPTH_MAX:
                _check_depth(body, DEPTH_MAX)
        event: Event = body if attributes is None else {**attributes, "data": body}
        at = instant(event["time"])
        if not recorded_at - BEHIND_MAX <= at <= recorded_at + AHEAD_MAX or not _is_sound(event):
            return "dead_letter"
        fields = _FIELDS.get(event["type"])
        if fields is None:
            return "unknown"
        data, told = event["data"], {}
        for name, is_optional, check in fields:
            found = data.get(name)
            if not (is_optional if found is None else check(found)):
                return "dead_letter"
            if found is not None:
                told[name] = found
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return "dead_letter"
    return {**event, "at": at, "data": told}


def instant(text: str) -> datetime:
    """The instant of an RFC 3339 text. A leap second is the next day's first one."""
    parts = _TIME(text)
    if parts is None:
        raise ValueError(f"{text} is not RFC 3339")
    if parts[2] != "60":
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    at = datetime.fromisoformat(f"{parts[1]}59{parts[3] or ''}{parts[4]}".upper()).astimezone(UTC)
    if (at.hour, at.minute) != (23, 59):
        raise ValueError("a leap second is the last one of a day")
    return at + timedelta(seconds=1)


def _is_sound(event: Event) -> bool:
    if event["specversion"] != "1.0" or not isinstance(event["specversion"], str):
        return False
    content = event.get("datacontenttype")
    if content is not None and not _is_json(content):
        return False
    return (
        identifier(event["id"]) and identifier(event["subject"]) and visible(event["source"]) and visible(event["type"])
    )


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("application/json", "text/json") or kind.endswith("+json")


def _attributes(headers: Sequence[tuple[str, bytes | None]]) -> dict[str, str] | None:
    """The attributes of an event in binary mode; None for one in structured mode."""
    told = {name.lower(): value for name, value in headers if value is not None}
    content = told.get("content-type", b"").decode("ascii", "replace").strip().lower()
    if content.startswith("application/cloudevents"):
        if content.partition(";")[0].strip() not in ("application/cloudevents", "application/cloudevents+json"):
            raise ValueError("a batch, or no JSON")
        return None
    binary = {name[3:]: value for name, value in told.items() if name.startswith("ce_")}
    if not binary.keys() & {"specversion", "id", "source", "type"}:
        return None
    if content and not _is_json(content):
        raise ValueError("not JSON")
    return {name: value.decode() for name, value in binary.items()}


def _refuse(token: str) -> None:
    raise ValueError(f"{token} is no JSON")


def _check_texts(body: Any) -> None:
    for text in _texts(body):
        if "\x00" in text:
            raise ValueError("holds NUL")
        text.encode()  # half a surrogate pair has no UTF-8


def _texts(body: Any) -> Iterator[str]:
    todo = [body]
    while todo:
        node = todo.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, dict):
            todo += node
            todo += node.values()
        elif isinstance(node, list):
            todo += node


def _check_depth(body: Any, left: int) -> None:
    level = [body]
    while level:
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        left -= 1
        if left < 0 and any(isinstance(node, dict | list) for node in level):
            raise ValueError("too deep")
