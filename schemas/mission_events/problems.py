"""From what the JSON parser and the models complain of to a reason code, a place and a sentence."""

import json
import math
from collections.abc import Iterable, Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

from mission_events.fields import IDENTIFIER_PATTERN, REFERENCE_PATTERN, SHORT_TEXT_PATTERN
from mission_events.missions import REWARD_KINDS
from mission_events.reasons import Reason, Rejected, reject
from mission_events.times import RFC3339_PATTERN

MAX_SHOWN = 60
"""How much of a wrong value a detail quotes."""

MAX_ALSO = 3
"""How many further places a detail names after the first."""

_REASONS: Mapping[str, Reason] = {
    "missing": Reason.MISSING_FIELD,
    "union_tag_not_found": Reason.MISSING_FIELD,
    "union_tag_invalid": Reason.UNKNOWN_VALUE,
    "literal_error": Reason.UNKNOWN_VALUE,
    "greater_than_equal": Reason.OUT_OF_RANGE,
    "less_than_equal": Reason.OUT_OF_RANGE,
    "too_short": Reason.OUT_OF_RANGE,
    "too_long": Reason.OUT_OF_RANGE,
    "finite_number": Reason.NOT_FINITE,
    "date_parsing": Reason.BAD_DATE,
    "date_from_datetime_parsing": Reason.BAD_DATE,
    "datetime_parsing": Reason.BAD_TIME,
    "datetime_from_date_parsing": Reason.BAD_TIME,
    "timezone_aware": Reason.BAD_TIME,
    "bad_time": Reason.BAD_TIME,
    "bad_timezone": Reason.BAD_TIMEZONE,
}
"""Reason by the validator's error type; every other type means a wrong JSON type."""

_ALLOWED: Mapping[str, str] = {
    IDENTIFIER_PATTERN: "should be 1 to 128 of the characters A-Z a-z 0-9 _ . : -",
    REFERENCE_PATTERN: "should be 1 to 128 visible ASCII characters without spaces",
    SHORT_TEXT_PATTERN: "should be 1 to 128 printable ASCII characters",
    RFC3339_PATTERN: "should be RFC 3339 with seconds and an offset",
}

_PARSER_REASONS: Iterable[tuple[str, Reason]] = (
    ("recursion limit", Reason.TOO_DEEP),
    ("number out of range", Reason.OUT_OF_RANGE),
    ("surrogate", Reason.BAD_UTF8),
    ("unexpected end of hex escape", Reason.BAD_UTF8),  # a leading surrogate and then no second escape
)
"""Reason by words of the parser's message; every other message means that the text is not JSON."""


def pointer_of(location: Iterable[str | int]) -> str:
    """The JSON pointer (RFC 6901) of a path of field names and list positions."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def explain_model_error(
    error: ValidationError, *, skip: int = 0, prefix: tuple[str, ...] = (), note: str = ""
) -> Rejected:
    """The first complaint of a model, with the places of a few others.

    `skip` is how many leading parts of a location name no field (the tag of a union); `prefix` goes before
    the rest; `note` ends the detail.
    """
    errors = error.errors(include_url=False)
    places = [pointer_of((*prefix, *_fields_only(item["loc"][skip:], item))) for item in errors]
    others = [place for place in places[1:] if place != places[0]]
    also = f" Also wrong: {', '.join(others[:MAX_ALSO])}." if others else ""
    reason = _reason_of(errors[0], places[0])
    return reject(reason, places[0], _what(errors[0], reason), also + note)


def _fields_only(location: tuple[str | int, ...], item: ErrorDetails) -> Iterable[str | int]:
    """A location without the kind of reward, which stands after the position in a list of rewards."""
    before = ("", *location)
    fields = [
        part
        for last, part in zip(before, location, strict=False)
        if not (isinstance(last, int) and part in REWARD_KINDS)
    ]
    return [*fields, "kind"] if item["type"].startswith("union_tag") else fields


def _reason_of(item: ErrorDetails, pointer: str) -> Reason:
    kind, value = item["type"], item["input"]
    if isinstance(value, float) and not math.isfinite(value):
        return Reason.NOT_FINITE
    reason = _REASONS.get(kind, Reason.WRONG_TYPE)
    if kind == "string_pattern_mismatch":
        is_time = item.get("ctx", {}).get("pattern") == RFC3339_PATTERN
        reason = Reason.BAD_TIME if is_time else Reason.BAD_IDENTIFIER
    elif kind == "literal_error" and not isinstance(value, str):
        reason = Reason.WRONG_TYPE
    elif kind == "literal_error" and pointer == "/specversion":
        reason = Reason.UNSUPPORTED_SPECVERSION
    elif kind == "missing" and pointer == "/data" and isinstance(value, dict) and "data_base64" in value:
        reason = Reason.BAD_DATA_CONTENT_TYPE
    elif kind in ("dict_type", "model_type") and not pointer:
        reason = Reason.NOT_AN_OBJECT
    return reason


def _what(item: ErrorDetails, reason: Reason) -> str:
    if reason in (Reason.MISSING_FIELD, Reason.BAD_DATA_CONTENT_TYPE, Reason.NOT_AN_OBJECT):
        return reason.meaning
    context = item.get("ctx", {})
    if item["type"] == "union_tag_invalid":
        return f"{shown(context['tag'])} should be one of {context['expected_tags']}"
    wanted = _ALLOWED.get(context.get("pattern", ""), item["msg"])
    if item["type"] == "model_type" and isinstance(item["input"], str):
        wanted = "should be an object itself, not JSON inside a string"
    return f"{shown(item['input'])} {wanted.removeprefix('Input ').removeprefix('List ')}"


def shown(value: object) -> str:
    """A wrong value as short JSON in ASCII, which is safe in a header, a log and a terminal."""
    if isinstance(value, dict):
        return "an object"
    text = "a list" if isinstance(value, list) else json.dumps(value, default=repr)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."


def explain_parse_error(value: bytes, message: str) -> Rejected:
    """Why these bytes are no JSON text; `message` is what the parser said."""
    if value.startswith((b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe")):
        return reject(Reason.NOT_JSON, what="the value begins with a byte order mark; send UTF-8 without one")
    try:
        value.decode()
    except UnicodeDecodeError as error:
        return reject(Reason.BAD_UTF8, what=f"byte {error.start} of the value is not UTF-8")
    if b"\x00" in value:
        return reject(Reason.NUL_CHARACTER, what=f"byte {value.index(0)} of the value is NUL (is it UTF-16?)")
    if not value.strip():
        return reject(Reason.NOT_JSON, what="the value is empty")
    reason = next((reason for words, reason in _PARSER_REASONS if words in message), Reason.NOT_JSON)
    return reject(reason, what=message.removeprefix("Invalid JSON: "))


def might_hold_forbidden(value: bytes) -> bool:
    """Whether to look closer with `find_forbidden`. One-byte tests come first: they are much the quickest."""
    return (
        (b"\\" in value and b"\\u0000" in value)
        or (b"N" in value and b"NaN" in value)
        or (b"I" in value and b"Infinity" in value)
    )


def find_forbidden(value: bytes) -> Rejected | None:
    """A NUL character or a NaN anywhere in the JSON, in unknown fields too; None if none or not JSON."""
    try:
        from_json(value, allow_inf_nan=False)
        has_nan_token = False
    except ValueError:
        has_nan_token = True
    try:
        todo: list[tuple[tuple[str | int, ...], object]] = [((), from_json(value))]
    except ValueError:
        return None
    while todo:
        place, node = todo.pop()
        if isinstance(node, str) and "\x00" in node:
            return reject(Reason.NUL_CHARACTER, pointer_of(place), f"{shown(node)} holds a NUL character")
        if has_nan_token and isinstance(node, float) and not math.isfinite(node):
            return reject(Reason.NOT_FINITE, pointer_of(place), f"{node} is not a finite number")
        if isinstance(node, dict):
            if any("\x00" in key for key in node):
                return reject(Reason.NUL_CHARACTER, pointer_of(place), "a field name holds a NUL character")
            todo.extend(((*place, key), child) for key, child in node.items())
        elif isinstance(node, list):
            todo.extend(((*place, index), child) for index, child in enumerate(node))
    return reject(Reason.NOT_FINITE) if has_nan_token else None  # hidden behind a second field of the same name
