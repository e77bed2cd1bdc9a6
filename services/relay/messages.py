"""Makes of a row of the outbox the message that Kafka gets: its headers, and what becomes of one that is too large."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from mission_events import DeadLetter
from mission_events.dead_letter import PREFIX
from services.adapters.kafka.transactional import (
    BATCH_OVERHEAD_BYTES,
    DEAD_LETTER_TOPIC,
    HEADER_OVERHEAD_BYTES,
    OutgoingMessage,
    id_header,
)
from services.adapters.ledger.relay_store import PendingMessage

CONTENT_TYPE = ("content-type", b"application/cloudevents+json; charset=UTF-8")

CUT = PREFIX + "cut"
"""Header of a dead letter that did not fit: how many bytes its value had before it was cut, decimal."""

SHA256 = PREFIX + "sha256"
"""Header of a dead letter that did not fit: SHA-256 of its whole value, hex."""

TOO_LARGE = "too_large_to_publish"
"""Reason code of a message that its own topic does not take."""

HEADER_KEPT_BYTES = 1024
"""What is kept of the key and of each header when even a dead letter without its value does not fit."""


def to_publish(row: PendingMessage, partition: int, limits: Mapping[str, int]) -> OutgoingMessage:
    """The message to publish in `partition`. `limits` has the largest batch that each topic takes, in bytes.

    A message that does not fit must not stop those behind it:
    - A dead letter is published with its value cut, and says so. The ledger's table dead_letter keeps it whole.
    - Any other message is never cut: it goes to the dead letters, with the reason `too_large_to_publish`. What it tells is
      still in the ledger, so it can be published again once the topic takes it. Ours are a few KiB, topics take 1 MiB.
    """
    message = OutgoingMessage(row.topic, row.key, row.payload, _headers(row))
    limit = limits[row.topic]
    if _fits(message, limit):
        return message
    if row.topic == DEAD_LETTER_TOPIC:
        return _cut(message, limit)
    letter = DeadLetter(
        value=row.payload,
        key=row.key,
        headers=message.headers,
        reason=TOO_LARGE,
        detail=f"{message.bytes_at_most()} bytes, but max.message.bytes of {row.topic} is {limit}: raise it, and publish this again",
        pointer="",
        topic=row.topic,
        partition=partition,
        offset=-1,
        timestamp=-1,
    )
    dead = _dead(row.message_id, row.key, row.payload, letter.to_headers())
    return dead if _fits(dead, limits[DEAD_LETTER_TOPIC]) else _cut(dead, limits[DEAD_LETTER_TOPIC])


def _headers(row: PendingMessage) -> list[tuple[str, bytes | None]]:
    own: list[tuple[str, bytes | None]] = [(id_header(row.topic), row.message_id.encode())]
    return [*own, CONTENT_TYPE] if row.headers is None else [*own, *row.headers]


def _dead(
    message_id: str, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]
) -> OutgoingMessage:
    own = (id_header(DEAD_LETTER_TOPIC), message_id.encode())
    return OutgoingMessage(DEAD_LETTER_TOPIC, key, value, [own, *headers])


def _fits(message: OutgoingMessage, limit: int) -> bool:
    return BATCH_OVERHEAD_BYTES + message.bytes_at_most() <= limit


def _cut(message: OutgoingMessage, limit: int) -> OutgoingMessage:
    """The same dead letter with as much of its value as fits; if not even none of it does, with less of key and headers."""
    value = message.value or b""
    size, digest = str(len(value)).encode(), hashlib.sha256(value).hexdigest().encode()
    headers = [message.headers[0], (CUT, size), (SHA256, digest), *message.headers[1:]]
    bare = replace(message, value=None, headers=headers)
    if not _fits(bare, limit):
        bare = replace(bare, key=(bare.key or b"")[:HEADER_KEPT_BYTES] or None, headers=_fewer(headers, limit // 2))
    room = max(0, limit - BATCH_OVERHEAD_BYTES - bare.bytes_at_most())
    return replace(bare, value=value[:room])


def _fewer(headers: list[tuple[str, bytes | None]], limit: int) -> list[tuple[str, bytes | None]]:
    """Ours, and then of the others, shortened, those for which there is room."""
    shortened = [(name, value and value[:HEADER_KEPT_BYTES]) for name, value in headers]
    ours = [header for header in shortened if header[0].startswith(PREFIX)]
    others = [header for header in shortened if not header[0].startswith(PREFIX)]
    kept, used = [], 0
    for name, value in [*ours, *others]:
        used += len(name.encode()) + len(value or b"") + HEADER_OVERHEAD_BYTES
        if used > limit:
            break
        kept.append((name, value))
    return kept
