"""For the tests of publishers and consumers: check one event, and read the good and bad examples of each topic."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from mission_events.binary import Headers
from mission_events.codec import Event, Reason, Rejected, UnknownType, decode, decode_any_time
from mission_events.learning import LEARNING_EVENTS

PAYLOADS = ("value", "value_text", "value_base64")
"""How an example's file gives the value: as JSON, as text, or as bytes. Without one of them there is no value."""


@dataclass(frozen=True, slots=True)
class Example:
    """One example: a record, and whether it is good or for which reason it is refused."""

    topic: str
    situation: str
    value: bytes | None
    headers: Headers
    record_timestamp: datetime | None
    reason: Reason | None
    """None for a good example."""

    @property
    def good(self) -> bool:
        """Whether the record decodes."""
        return self.reason is None


def assert_valid_event(
    event: dict[str, Any] | str | bytes, *, headers: Headers = (), record_timestamp: datetime | None = None
) -> Event:
    """The decoded event, for a publisher's test. Raises AssertionError that says what is wrong and how to mend it.

    A dict is sent as JSON; bytes and text are taken as the record's value. Without `record_timestamp` it is not
    checked whether `time` is near to it, so that a test with a fixed time holds for ever.
    """
    text = json.dumps(event) if isinstance(event, dict) else event
    value = text.encode() if isinstance(text, str) else text
    result = (
        decode_any_time(value, headers)
        if record_timestamp is None
        else decode(value, headers, record_timestamp=record_timestamp)
    )
    if isinstance(result, Rejected):
        raise AssertionError(f"{result.reason}: {result.detail}")
    if isinstance(result, UnknownType):
        raise AssertionError(f"type {result.type!r} is not known; known are {', '.join(LEARNING_EVENTS)}")
    return result


def iter_examples(topic: str | None = None) -> Iterator[Example]:
    """The examples of one topic, or of all, in a fixed order. Raises ValueError if the topic has none."""
    root = files("mission_events") / "examples"
    names = sorted(folder.name for folder in root.iterdir() if folder.is_dir())
    if topic is not None and topic not in names:
        raise ValueError(f"no examples for topic {topic!r}; there are some for {', '.join(names)}")
    for name in names if topic is None else [topic]:
        for kind in ("good", "bad"):
            for file in sorted((root / name / kind).iterdir(), key=lambda entry: entry.name):
                yield _read(name, kind, file)


def _read(topic: str, kind: str, file: Traversable) -> Example:
    content = json.loads(file.read_text(encoding="utf-8"))
    if "specversion" in content:  # a good example in structured mode is the event itself
        content = {"value": content}
    timestamp = content.get("record_timestamp")
    return Example(
        topic=topic,
        situation=file.name.removesuffix(".json"),
        value=_value(content),
        headers=[(name, text if text is None else text.encode()) for name, text in content.get("headers", [])],
        record_timestamp=datetime.fromisoformat(timestamp) if timestamp else None,
        reason=Reason(content["reason"]) if kind == "bad" else None,
    )


def _value(content: dict[str, Any]) -> bytes | None:
    if "value_base64" in content:
        value = base64.b64decode(content["value_base64"])
    elif "value_text" in content:
        value = content["value_text"].encode()
    elif "value" in content:
        value = json.dumps(content["value"], ensure_ascii=False).encode()
    else:
        return None
    return value.ljust(content.get("pad_to", 0))
