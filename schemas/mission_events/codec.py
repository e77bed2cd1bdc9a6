"""From Kafka records to events and back. Decoding is total: any bytes give a result, never an exception."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from mission_events.binary import Headers, binary_attributes, is_json
from mission_events.envelope import SPEC_VERSION, Envelope
from mission_events.events import Event, OutEvent, UnknownType
from mission_events.learning import LEARNING_EVENTS, LEARNING_MODELS, LEARNING_TYPES, LearningData, LearningEnvelope
from mission_events.missions import (
    MISSION_EVENTS,
    MISSION_MODELS,
    MISSION_TYPES,
    SOURCE,
    MissionData,
    MissionEnvelope,
    event_id,
)
from mission_events.plain import dict_validator
from mission_events.problems import (
    explain_model_error,
    explain_parse_error,
    find_forbidden,
    might_hold_forbidden,
    shown,
)
from mission_events.reasons import Reason, Rejected, reject
from mission_events.times import format_time, parse_time

__all__ = [
    "Event",
    "OutEvent",
    "Reason",
    "Rejected",
    "UnknownType",
    "decode",
    "decode_any_time",
    "decode_out",
    "encode",
    "encode_event",
]

MAX_VALUE_BYTES = 64 * 1024
"""Largest value that is parsed: real events have under 1 KiB, a hostile one is refused in bounded time."""

MAX_AHEAD = timedelta(minutes=5)
"""How far `time` may be after the record's timestamp: more than well-kept clocks differ by."""

MAX_BEHIND = timedelta(days=35)
"""How far `time` may be before the record's timestamp: as long as the event log knows duplicates."""

FRAMING_BYTE = b"\x00"
"""First byte of what schema registry serializers write."""

E = TypeVar("E", Event, OutEvent)

_Attributes = Mapping[str, Any]
"""The fields of an `Envelope` by name, checked."""


class _RefusedError(Exception):
    """Ends the decoding of one record; never leaves this module."""

    def __init__(self, rejected: Rejected) -> None:
        self.rejected = rejected


class _Decoder(Generic[E]):
    """Decodes one language: the events of one direction."""

    def __init__(
        self, union: Any, models: Mapping[str, type[BaseModel]], make: Callable[..., E], data_levels: int
    ) -> None:
        """`models` of the data, by event type. With `data_levels` 1 `make` takes the data as a dict, with 0 as its model."""
        self._parse = dict_validator(union, 1 + data_levels).validate_json
        envelope = dict_validator(Envelope, 1)
        self._parse_envelope, self._check_attributes = envelope.validate_json, envelope.validate_python
        self._parse_data = {name: dict_validator(model, data_levels).validate_json for name, model in models.items()}
        self._make: Callable[..., E] = make

    def decode(
        self, value: bytes | None, headers: Headers, record_timestamp: datetime | None
    ) -> E | UnknownType | Rejected:
        """Decode one record; without a timestamp `time` may be any."""
        try:
            raw = _check_bytes(value)
            attributes = binary_attributes(headers) if headers else None
            if isinstance(attributes, Rejected):
                return attributes
            envelope, data = self._structured(raw) if attributes is None else self._binary(raw, attributes)
            time = _check_envelope(envelope, record_timestamp)
        except _RefusedError as refused:
            return refused.rejected
        if data is None:
            return UnknownType(envelope["id"], envelope["source"], envelope["type"], envelope["subject"], time)
        return self._make(envelope["id"], envelope["source"], envelope["type"], envelope["subject"], time, data)

    def _structured(self, value: bytes) -> tuple[_Attributes, Any]:
        try:
            event = self._parse(value)
        except ValidationError as error:
            _refuse_if_not_json(value, error)
            if error.errors(include_url=False, include_input=False)[0]["loc"]:
                raise _RefusedError(explain_model_error(error, skip=1)) from None
        else:
            return event, event["data"]
        try:  # it is no object, or of no type that is known here
            return self._parse_envelope(value), None
        except ValidationError as error:
            raise _RefusedError(explain_model_error(error)) from None

    def _binary(self, value: bytes, attributes: Mapping[str, str]) -> tuple[_Attributes, Any]:
        try:
            envelope = self._check_attributes(attributes)
        except ValidationError as error:
            note = " (Binary mode: attributes are ce_ headers.)"
            raise _RefusedError(explain_model_error(error, note=note)) from None
        parse = self._parse_data.get(envelope["type"])
        if parse is None:
            return envelope, None
        try:
            return envelope, parse(value)
        except ValidationError as error:
            _refuse_if_not_json(value, error)
            raise _RefusedError(explain_model_error(error, prefix=("data",))) from None


def _check_bytes(value: bytes | None) -> bytes:
    """What can be told, and must be, before the models look at the value."""
    if value is None:
        raise _RefusedError(reject(Reason.TOMBSTONE))
    if len(value) > MAX_VALUE_BYTES:
        what = f"the value has {len(value)} bytes, more than {MAX_VALUE_BYTES}"
        raise _RefusedError(reject(Reason.OVERSIZE, what=what))
    if value.startswith(FRAMING_BYTE):
        raise _RefusedError(reject(Reason.SCHEMA_REGISTRY_FRAMING))
    if might_hold_forbidden(value):
        forbidden = find_forbidden(value)
        if forbidden is not None:
            raise _RefusedError(forbidden)
    return value


def _refuse_if_not_json(value: bytes, error: ValidationError) -> None:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        raise _RefusedError(explain_parse_error(value, first["msg"])) from None


def _check_envelope(envelope: _Attributes, record_timestamp: datetime | None) -> datetime:
    """The event's time in UTC, after the checks that the models cannot make."""
    try:
        time = parse_time(envelope["time"])
    except (ValueError, OverflowError):
        what = f"{shown(envelope['time'])} is not in the calendar"
        raise _RefusedError(reject(Reason.BAD_TIME, "/time", what)) from None
    content_type = envelope["datacontenttype"]
    if content_type is not None and not is_json(content_type):
        what = f"{shown(content_type)} is not a JSON media type"
        raise _RefusedError(reject(Reason.BAD_DATA_CONTENT_TYPE, "/datacontenttype", what))
    if record_timestamp is not None:
        ahead = time - record_timestamp
        if ahead > MAX_AHEAD:
            what = f"{envelope['time']} is more than 5 minutes after the record's timestamp"
            what = f"{what}, {record_timestamp.isoformat()}"
            raise _RefusedError(reject(Reason.TIME_IN_FUTURE, "/time", what))
        if ahead < -MAX_BEHIND:
            what = f"{envelope['time']} is more than 35 days before the record's timestamp"
            what = f"{what}, {record_timestamp.isoformat()}"
            raise _RefusedError(reject(Reason.TIME_TOO_OLD, "/time", what))
    return time


_IN: _Decoder[Event] = _Decoder(LearningEnvelope, LEARNING_MODELS, Event, data_levels=1)
_OUT: _Decoder[OutEvent] = _Decoder(MissionEnvelope, MISSION_MODELS, OutEvent, data_levels=0)


def decode(value: bytes | None, headers: Headers = (), *, record_timestamp: datetime) -> Event | UnknownType | Rejected:
    """Decode a record of a `learning.*` topic, in structured or binary mode.

    `record_timestamp` is the Kafka timestamp of the record, aware; it alone decides whether `time` is too far
    off, so that a replay decides the same.
    """
    return _IN.decode(value, headers, record_timestamp)


def decode_any_time(value: bytes | None, headers: Headers = ()) -> Event | UnknownType | Rejected:
    """Decode like `decode`, but whatever `time` says: for checks of events that are not in Kafka."""
    return _IN.decode(value, headers, None)


def decode_out(value: bytes | None, headers: Headers = ()) -> OutEvent | UnknownType | Rejected:
    """Decode a record of a `missions.*` topic other than the dead letters."""
    return _OUT.decode(value, headers, None)


def encode_event(data: LearningData, *, event_id: str, source: str, subject: str, time: datetime) -> bytes:
    """The value of a record for `topic_of(type)` with this data, in structured mode; its key is `subject`.

    `time` is when it happened, aware. Send the same `event_id` when sending the same event again.
    Raises ValueError (pydantic's ValidationError is one) if `decode` would refuse the envelope.
    """
    event_type = LEARNING_TYPES[type(data)]
    return _encode(LEARNING_EVENTS[event_type], event_type, event_id, source, subject, time, data)


def encode(data: MissionData, *, subject: str, time: datetime) -> bytes:
    """The value of a record for an event out, in structured mode; its id follows from the data (`event_id`).

    `time` is aware. Raises ValueError (pydantic's ValidationError is one) for a bad subject or a naive time.
    """
    event_type = MISSION_TYPES[type(data)]
    return _encode(MISSION_EVENTS[event_type], event_type, event_id(data), SOURCE, subject, time, data)


def _encode(
    model: type[Envelope],
    event_type: str,
    event_id: str,
    source: str,
    subject: str,
    time: datetime,
    data: BaseModel,
) -> bytes:
    event: Envelope = model.model_validate(
        {
            "specversion": SPEC_VERSION,
            "id": event_id,
            "source": source,
            "type": event_type,
            "subject": subject,
            "time": format_time(time),
            "data": data,
        }
    )
    return event.model_dump_json(exclude_none=True).encode()
