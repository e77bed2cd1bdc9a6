"""Puts messages into the outbox, inside the transaction that decided them."""

from collections.abc import Callable, Sequence

import msgspec

from services.missions.announcements import Announcement

from .columns import numbers, texts
from .connection import Connection
from .queries import queries

_SQL = queries("batch")

PartitionOf = Callable[[bytes | None], int]
"""Output partition of a key: murmur2, as Java clients and aiokafka choose it."""


class OutboxMessage(msgspec.Struct, frozen=True, gc=False):
    """One message to publish: `message_id` is its id for ever."""

    topic: str
    message_id: str
    key: bytes | None
    payload: bytes | None
    headers: str | None = None
    """JSON of [[name, Latin-1 text or null], …]; None = no headers."""


def message_of(announcement: Announcement) -> OutboxMessage:
    """The message that carries an announcement of the core."""
    return OutboxMessage(announcement.topic, announcement.id, announcement.user_id.encode(), announcement.payload)


async def insert_outbox(connection: Connection, messages: Sequence[OutboxMessage], partition_of: PartitionOf) -> None:
    """Adds messages in the order given. A user's messages must be added under the lock of its `user_state` row."""
    if messages:
        partitions = {key: partition_of(key) for key in {m.key for m in messages}}
        await connection.execute(
            _SQL["insert_outbox"],
            numbers([partitions[m.key] for m in messages]),
            texts([m.message_id for m in messages]),
            texts([m.topic for m in messages]),
            [m.key for m in messages],
            [m.payload for m in messages],
            [m.headers for m in messages],
        )
