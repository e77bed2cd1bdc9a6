"""All that the ledger holds of one user: read out for them, or taken away for good. A table that is missing here turns a test red."""

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime

from services.missions.state import UserState, decode_state, state_json

from .actions import By, record_action
from .connection import Connection, Pool
from .migrate import event_log_days
from .outbox import PartitionOf
from .queries import queries
from .writer import UserChange, UserWriter

_SQL, _BATCH = queries("erasure"), queries("batch")

CHUNK_ROWS = 5000
"""Rows that one transaction deletes: nobody waits long for them."""

CURSOR_ROWS = 500
"""Rows that are fetched at once: a user of any size is read in little memory."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one table about a user: the queries `export_<name>` and `erase_<name>`."""

    name: str
    table: str
    by_day: bool = False
    """Read and deleted day by day, since the table is partitioned and has no index by user."""
    erased: bool = True
    """False: it leaves by itself within seconds, and must not be cut off."""


PARTS = (
    Part("assignments", "assignment"),
    Part("grants", "reward_grant"),
    Part("claim_answers", "claim_answer"),
    Part("xp", "xp_log"),
    Part("lessons", "user_lesson"),
    Part("completions", "user_completion"),
    Part("questions", "user_question"),
    Part("dead_letters", "dead_letter"),
    Part("unpublished", "outbox", erased=False),
    Part("events", "event_log", by_day=True),
)
"""Beside `user_state`, which is exported as `state` and becomes the mark of an erased user."""


class UserExport:
    """One user's data as of one instant."""

    def __init__(self, connection: Connection, user_id: str) -> None:
        self._connection = connection
        self._user_id = user_id

    async def state(self) -> str | None:
        """The user's state as JSON text; None for a user whom the ledger does not know."""
        found: bytes | None = await self._connection.fetchval(_SQL["export_state"], self._user_id)
        return None if found is None else state_json(decode_state(found)).decode()

    async def rows(self, part: Part) -> AsyncIterator[str]:
        """The rows of one part, each as JSON text, in the order of their time."""
        for arguments in await self._places(part):
            async for row in self._connection.cursor(
                _SQL[f"export_{part.name}"], self._user_id, *arguments, prefetch=CURSOR_ROWS
            ):
                yield row[0]

    async def _places(self, part: Part) -> list[tuple[date, ...]]:
        return [(day,) for day in await event_log_days(self._connection)] if part.by_day else [()]


class Erasure:
    """Takes a user's data away, in this order: `mark`, `older_have_ended`, `delete` of every part."""

    def __init__(self, pool: Pool, partition_of: PartitionOf) -> None:
        self._pool = pool
        self._partition_of = partition_of

    @asynccontextmanager
    async def export(self, user_id: str) -> AsyncIterator[UserExport]:
        """Reads a user, all of it as of the same instant."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["export_snapshot"])
            yield UserExport(connection, user_id)

    async def count(self, user_id: str) -> Mapping[str, int]:
        """Rows by part."""
        counts: dict[str, int] = {}
        async with self.export(user_id) as export:
            for part in PARTS:
                counts[part.name] = sum([1 async for _ in export.rows(part)])
        return counts

    async def erased_at(self, user_id: str) -> datetime | None:
        """When this user was first erased; None if never."""
        at: datetime | None = await self._pool.fetchval(_SQL["erased_at"], user_id)
        return at

    async def mark(self, user_id: str, now: datetime, by: By) -> tuple[UserState, str]:
        """Marks a user as erased, on disk: from then on nothing is added. Returns the state that is left, and a ticket for
        `older_have_ended`.

        The record of actions tells who and why, but not whom: it is kept for ever.
        """
        async with self._pool.acquire() as connection:
            while (left := await self._mark(connection, user_id, now, by)) is None:
                pass  # created by somebody else a moment ago: now there is a row to lock
            # After the commit: a batch that did not see the mark has written before this, since it locks its position first.
            return left, str(await connection.fetchval(_SQL["next_transaction"]))

    async def _mark(self, connection: Connection, user_id: str, now: datetime, by: By) -> UserState | None:
        async with connection.transaction():
            await connection.execute(_BATCH["commit_on_disk"])
            writer = UserWriter(connection, self._partition_of)
            before = (await writer.lock_users([user_id], now)).get(user_id) or UserState(user_id)
            left = UserState(user_id, erased=True)
            if await writer.save([UserChange(left, True, before.version, before.stamp)]):
                return None
            await connection.execute(_SQL["register"], user_id)
            await connection.execute(_SQL["set_mark"], random.getrandbits(63))
            await record_action(connection, "user_erased", {}, by)
            return left

    async def older_have_ended(self, ticket: str) -> bool:
        """Whether every transaction that may not have seen the mark has ended."""
        return bool(await self._pool.fetchval(_SQL["older_have_ended"], ticket))

    async def delete(self, part: Part, user_id: str) -> int:
        """Deletes the rows of one part, chunk by chunk; returns how many."""
        if not part.erased:
            return 0
        days = await event_log_days(self._pool) if part.by_day else [None]
        return sum([await self._delete(part, user_id, day) for day in days])

    async def _delete(self, part: Part, user_id: str, day: date | None) -> int:
        deleted = 0
        while True:
            place = () if day is None else (day,)
            status = await self._pool.execute(_SQL[f"erase_{part.name}"], user_id, CHUNK_ROWS, *place)
            rows = int(status.split()[-1])
            deleted += rows
            if rows < CHUNK_ROWS:
                return deleted

    async def unpublished(self, user_id: str) -> int:
        """Messages about the user that the relay has still to publish."""
        return int(await self._pool.fetchval(_SQL["count_unpublished"], user_id))
