"""Why a record is refused: the machine-readable reason codes, what each means and how to mend it."""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Reason code of a refused record. Codes are only ever added: alarms and other teams rely on them."""

    meaning: str
    """What is wrong, in one line."""
    fix: str
    """What the publisher does about it, as a sentence."""

    def __new__(cls, code: str, meaning: str = "", fix: str = "") -> "Reason":
        """Keep the words beside the code; `Reason("not_json")` alone looks one up."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        member.fix = fix
        return member

    TOMBSTONE = (
        "tombstone",
        "the record has no value",
        "Send the event as the value; nothing is ever deleted.",
    )
    OVERSIZE = "oversize", "the value is larger than 64 KiB", "Send only the documented fields."
    SCHEMA_REGISTRY_FRAMING = (
        "schema_registry_framing",
        "the value begins with byte 0x00, as schema registry serializers write it",
        "Use a plain JSON or bytes serializer.",
    )
    BAD_UTF8 = (
        "bad_utf8",
        "the value or a header is not UTF-8, or escapes half of a surrogate pair",
        "Encode the text as UTF-8 without cutting inside a character.",
    )
    NUL_CHARACTER = (
        "nul_character",
        "the value holds a NUL character",
        "Remove NUL from texts and field names.",
    )
    NOT_JSON = (
        "not_json",
        "the value is not one JSON text",
        "Send one JSON object in each record, no more.",
    )
    TOO_DEEP = "too_deep", "the JSON is nested deeper than 200 levels", "Send only the documented fields."
    NOT_AN_OBJECT = (
        "not_an_object",
        "the value is JSON, but not an object",
        "Send one JSON object in each record; a batch is many records.",
    )
    NOT_FINITE = "not_finite", "a number is NaN or infinite", "Send a finite number, or leave the field out."
    MISSING_FIELD = "missing_field", "a required field is missing", "Add the field."
    WRONG_TYPE = (
        "wrong_type",
        "a field has the wrong JSON type",
        "Send the documented JSON type; nothing is coerced.",
    )
    OUT_OF_RANGE = "out_of_range", "a number or a list is outside its range", "Send a value inside the range."
    UNKNOWN_VALUE = (
        "unknown_value",
        "a field with a closed list has another value",
        "Send one of the listed values.",
    )
    BAD_IDENTIFIER = (
        "bad_identifier",
        "an identifier is empty, too long, or has a character that is not allowed",
        "Send a plain id of the allowed characters.",
    )
    BAD_TIME = (
        "bad_time",
        "a time is not RFC 3339 with an offset, or does not exist",
        "Send a time such as 2026-11-22T08:00:00Z.",
    )
    BAD_DATE = "bad_date", "a day is not a real date", "Send the user's local date such as 2026-11-22."
    BAD_TIMEZONE = (
        "bad_timezone",
        "a time zone is not an IANA name",
        "Send a name such as Europe/Berlin, with its case.",
    )
    TIME_IN_FUTURE = (
        "time_in_future",
        "`time` is more than 5 minutes after the record's timestamp",
        "Correct the clock of the device or service that sets `time`.",
    )
    TIME_TOO_OLD = (
        "time_too_old",
        "`time` is more than 35 days before the record's timestamp",
        "Publish events within 35 days; drop older ones.",
    )
    UNSUPPORTED_SPECVERSION = (
        "unsupported_specversion",
        "`specversion` is not 1.0",
        'Send "specversion":"1.0", which is CloudEvents 1.0.',
    )
    BAD_DATA_CONTENT_TYPE = (
        "bad_data_content_type",
        "the content type says that the event or its data is not JSON, or is a batch",
        "Send JSON: application/cloudevents+json, or application/json with ce_ headers.",
    )


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that can never be applied.

    `detail` says what is wrong, where and how to mend it in at most `MAX_DETAIL` characters.
    `pointer` is the JSON pointer (RFC 6901) of the place in the whole event, in binary mode too; empty if the
    trouble is the record as a whole. Both are printable ASCII, whatever the record held.
    """

    reason: Reason
    detail: str
    pointer: str


MAX_DETAIL = 500
"""Longest detail, and pointer: they are record headers and log fields."""


def reject(reason: Reason, pointer: str = "", what: str = "", also: str = "") -> Rejected:
    """A `Rejected` with detail `<where>: <what>. <fix> <also>`; `what` defaults to the reason's meaning."""
    where = f"{pointer}: " if pointer else ""
    detail = f"{where}{what or reason.meaning}. {reason.fix}{also}"
    return Rejected(reason, _plain(detail), _plain(pointer))


def _plain(text: str) -> str:
    """Short printable ASCII: field and header names of a hostile record may hold anything."""
    if not (text.isascii() and text.isprintable()):
        text = "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode() for c in text[:MAX_DETAIL])
    return text[:MAX_DETAIL]
