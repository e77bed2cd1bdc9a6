"""Dead letters as an operator sees them: count, list, show, mark as replayed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from .connection import Pool
from .queries import queries

_SQL = queries("dead_letters")


@dataclass(frozen=True, slots=True)
class ListedLetter:
    """A dead letter without its bytes."""

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    recorded_at: datetime
    created_at: datetime
    replayed_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A dead letter with its original bytes."""

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    recorded_at: datetime
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class DeadLetterStore:
    """Reads the ledger's dead letters."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def counts(self) -> list[tuple[str, str, int, datetime]]:
        """(topic, reason, how many, newest), most first."""
        return [tuple(row) for row in await self._pool.fetch(_SQL["counts"])]

    async def listed(self, reason: str | None, topic: str | None, limit: int) -> list[ListedLetter]:
        """The newest letters, at most `limit`."""
        return [ListedLetter(*row) for row in await self._pool.fetch(_SQL["list"], reason, topic, limit)]

    async def show(self, topic: str, partition: int, offset: int) -> StoredLetter | None:
        """One letter whole; None when there is none at that place."""
        row = await self._pool.fetchrow(_SQL["show"], topic, partition, offset)
        if row is None:
            return None
        headers = [
            (name, None if text is None else text.encode("latin-1")) for name, text in msgspec.json.decode(row[8])
        ]
        topic, partition, offset, reason, detail, recorded_at, key, value = row[:8]
        return StoredLetter(topic, partition, offset, reason, detail, recorded_at, key, value, headers)

    async def mark_replayed(self, topic: str, partition: int, offset: int) -> None:
        """Remembers that the letter was sent through the pipeline again."""
        await self._pool.execute(_SQL["mark_replayed"], topic, partition, offset)
