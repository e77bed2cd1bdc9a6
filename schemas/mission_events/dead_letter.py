"""Dead letters: records that can never be applied, byte for byte, with the reason in their headers."""

from dataclasses import dataclass

from mission_events.binary import Headers
from mission_events.reasons import MAX_DETAIL, Reason, Rejected, reject

PREFIX = "dead_letter_"

HEADERS = {
    "reason": "Reason code, such as `missing_field`.",
    "detail": "What is wrong, where and how to mend it; ASCII.",
    "pointer": "JSON pointer of the place in the event; empty for the record as a whole.",
    "topic": "Topic that the record came from.",
    "partition": "Its partition, decimal.",
    "offset": "Its offset, decimal.",
    "timestamp": "Its Kafka timestamp in milliseconds since 1970, decimal; -1 if it had none.",
}
"""Our headers without their prefix, and what each holds."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter. `value`, `key`, `headers` are the record's own; `reason` may be newer than `Reason`."""

    value: bytes | None
    key: bytes | None
    headers: Headers
    reason: str
    detail: str
    pointer: str
    topic: str
    partition: int
    offset: int
    timestamp: int
    """Kafka timestamp of the original record: milliseconds since 1970, -1 if it had none."""

    def to_headers(self) -> list[tuple[str, bytes | None]]:
        """Headers to publish: the original ones, then ours. Value and key are published as they are."""
        ours = {
            "reason": self.reason,
            "detail": self.detail[:MAX_DETAIL],
            "pointer": self.pointer,
            "topic": self.topic,
            "partition": str(self.partition),
            "offset": str(self.offset),
            "timestamp": str(self.timestamp),
        }
        kept = [header for header in self.headers if not header[0].startswith(PREFIX)]
        return [*kept, *((PREFIX + name, text.encode("utf-8", "replace")) for name, text in ours.items())]


def decode_dead_letter(value: bytes | None, headers: Headers, *, key: bytes | None = None) -> DeadLetter | Rejected:
    """Decode a record of the dead-letter topic; refused only if our headers are not all there and sound."""
    ours: dict[str, str] = {}
    for name, header in headers:
        if name.startswith(PREFIX) and header is not None:
            ours[name.removeprefix(PREFIX)] = header.decode("utf-8", "replace")
    for name in HEADERS:
        if name not in ours:
            return reject(Reason.MISSING_FIELD, f"/{name}", f"the header {PREFIX}{name} is missing")
    numbers: dict[str, int] = {}
    for name in ("partition", "offset", "timestamp"):
        try:
            numbers[name] = int(ours[name])
        except ValueError:
            return reject(Reason.WRONG_TYPE, f"/{name}", f"the header {PREFIX}{name} is not a decimal number")
    kept = tuple(header for header in headers if not header[0].startswith(PREFIX))
    return DeadLetter(
        value=value,
        key=key,
        headers=kept,
        reason=ours["reason"],
        detail=ours["detail"],
        pointer=ours["pointer"],
        topic=ours["topic"],
        partition=numbers["partition"],
        offset=numbers["offset"],
        timestamp=numbers["timestamp"],
    )
