"""A Postgres in memory, as far as promises go: row locks, read committed, savepoints, and a crash that takes back unflushed commits."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import asyncpg

from .weather import Calm, Weather

Row = dict[str, Any]
"""Column -> value. Never changed in place: a change is a new row."""

Spot = tuple[str, Any]
"""(table, key)"""

Change = tuple[Spot, Row | None, Row | None]
"""(where, row before, row after)"""

FLUSH_SECONDS = 0.6
"""A commit that does not wait is on disk after so long: three times `wal_writer_delay`."""


@dataclass(slots=True)
class Commit:
    """A commit that a crash could take back."""

    changes: list[Change]
    at: float


@dataclass(eq=False)
class Session:
    """A connection as the server sees it."""

    owner: str
    server: "Postgres"
    is_alive: bool = True
    sync: bool = True
    transaction: "Transaction | None" = None
    waiting: "asyncio.Future[None] | None" = None
    advisory: set[tuple[int, int]] = field(default_factory=set)

    def check(self) -> None:
        """Raises as the driver does when the connection is gone."""
        if not self.is_alive:
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    def end(self) -> None:
        """The connection closes: what it had not committed is taken back, its locks are free."""
        self.is_alive = False
        self.server.sessions.pop(self, None)
        if self.transaction is not None:
            self.transaction.roll_back()
        for key in self.advisory:
            self.server.advisory.pop(key, None)
        self.advisory.clear()
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(None)


class Transaction:
    """What one transaction has changed and locked so far. Others see none of it before the commit."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.server = session.server
        self.sync = session.sync
        self.failed = False
        self.is_over = False
        self.waits_for: Transaction | None = None
        self._own: dict[Spot, Row | None] = {}
        self._log: list[tuple[Spot, bool, Row | None]] = []
        self._locks: list[Spot] = []
        self._ended: list[asyncio.Future[None]] = []

    def get(self, table: str, key: Any) -> Row | None:
        """The row as this transaction sees it now."""
        spot = (table, key)
        return self._own[spot] if spot in self._own else self.server.tables[table].get(key)

    def rows(self, table: str) -> Iterator[tuple[Any, Row]]:
        """All rows of a table as this transaction sees them now."""
        own = {key: row for (name, key), row in self._own.items() if name == table}
        for key, row in list(self.server.tables[table].items()):
            if key not in own:
                yield key, row
        for key, mine in own.items():
            if mine is not None:
                yield key, mine

    async def lock(self, table: str, key: Any, *, nowait: bool = False) -> None:
        """Locks a row until the end of the transaction; waits for whoever holds it."""
        spot = (table, key)
        while (holder := self.server.locks.get(spot)) is not self:
            if holder is None:
                self.server.locks[spot] = self
                self._locks.append(spot)
            elif nowait:
                raise asyncpg.LockNotAvailableError(f"could not obtain lock on row in relation {table}")
            else:
                await self._wait_for(holder)

    def is_free(self, table: str, key: Any) -> bool:
        """Whether nobody else has locked the row."""
        return self.server.locks.get((table, key)) in (None, self)

    def put(self, table: str, key: Any, row: Row | None) -> None:
        """Writes a locked row; None deletes it."""
        spot = (table, key)
        self._log.append((spot, spot in self._own, self._own.get(spot)))
        self._own[spot] = row

    async def change(self, table: str, key: Any, fits: Callable[[Row], bool], **values: Any) -> bool:
        """Updates a row that fits, also after waiting for its lock; False when there is none."""
        row = self.get(table, key)
        if row is None or not fits(row):
            return False
        await self.lock(table, key)
        row = self.get(table, key)
        if row is None or not fits(row):
            return False
        self.put(table, key, {**row, **values})
        return True

    async def insert(self, table: str, key: Any, row: Row) -> bool:
        """Adds a row unless the key is taken ("on conflict do nothing"); waits for another transaction that is adding it."""
        while True:
            holder = self.server.locks.get((table, key))
            is_in_doubt = holder not in (None, self) and (table, key) in getattr(holder, "_own", {})
            if self.get(table, key) is not None and not is_in_doubt:
                return False
            if holder is None or holder is self:
                await self.lock(table, key)
                self.put(table, key, row)
                return True
            await self._wait_for(holder)

    async def add(self, table: str, key: Any, row: Row) -> None:
        """Adds a row. Raises `UniqueViolationError` when the key is taken."""
        if not await self.insert(table, key, row):
            raise asyncpg.UniqueViolationError(f"duplicate key value violates unique constraint of {table}: {key}")

    def savepoint(self) -> tuple[int, int]:
        """Where `roll_back_to` can go back to."""
        return len(self._log), len(self._locks)

    def roll_back_to(self, savepoint: tuple[int, int]) -> None:
        """Takes back what was written and locked since."""
        if self.is_over:
            return
        self.failed = False
        for spot, was_own, row in reversed(self._log[savepoint[0] :]):
            if was_own:
                self._own[spot] = row
            else:
                del self._own[spot]
        del self._log[savepoint[0] :]
        self._release(self._locks[savepoint[1] :])
        del self._locks[savepoint[1] :]

    def roll_back(self) -> None:
        """Ends the transaction without a trace."""
        self._own.clear()
        self._end()

    def commit(self) -> None:
        """Ends the transaction: all of it is there at once."""
        tables = self.server.tables
        changes: list[Change] = [(spot, tables[spot[0]].get(spot[1]), row) for spot, row in self._own.items()]
        for (table, key), _, row in changes:
            if row is None:
                tables[table].pop(key, None)
            else:
                tables[table][key] = row
        if changes:
            self.server.committed(changes, self.sync)
        self._end()

    def _end(self) -> None:
        self.is_over = True
        if self.session.transaction is self:
            self.session.transaction = None
        self._release(self._locks)
        self._locks = []

    def _release(self, spots: list[Spot]) -> None:
        for spot in spots:
            self.server.locks.pop(spot, None)
        woken, self._ended = self._ended, []
        for future in woken:
            if not future.done():
                future.set_result(None)

    async def _wait_for(self, holder: "Transaction") -> None:
        other: Transaction | None = holder
        while other is not None:
            if other is self:
                self.server.deadlocks += 1
                raise asyncpg.DeadlockDetectedError("deadlock detected")
            other = other.waits_for
        self.waits_for = holder
        future = asyncio.get_running_loop().create_future()
        self.session.waiting = future
        holder._ended.append(future)
        try:
            await future
        finally:
            self.session.waiting = self.waits_for = None
        self.session.check()


class Postgres:
    """The server. `tables` holds what is committed; `on_commit` and `on_loss` are told of every change."""

    def __init__(self, weather: Weather | None = None, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.weather = weather or Calm()
        self.now = now
        self.tables: defaultdict[str, dict[Any, Row]] = defaultdict(dict)
        self.locks: dict[Spot, Transaction] = {}
        self.advisory: dict[tuple[int, int], Session] = {}
        self.sessions: dict[Session, None] = {}
        self.unflushed: list[Commit] = []
        self.event_log_days: set[date] = set()
        self.sequence = 0
        self.is_up = True
        self.deadlocks = 0
        self.on_commit: Callable[[list[Change]], None] = lambda changes: None
        self.on_loss: Callable[[list[Change]], None] = lambda changes: None

    def connect(self, owner: str) -> Session:
        """A new connection. Raises ConnectionRefusedError while the server is down."""
        if not self.is_up:
            raise ConnectionRefusedError("the server is not accepting connections")
        session = Session(owner, self)
        self.sessions[session] = None
        return session

    def next_number(self) -> int:
        """The next value of the sequences; a rollback does not give it back."""
        self.sequence += 1
        return self.sequence

    def committed(self, changes: list[Change], sync: bool) -> None:
        """Keeps what a crash would have to take back; a commit that waits brings all before it to disk."""
        at = asyncio.get_running_loop().time()
        if sync:
            self.unflushed.clear()
        else:
            self.flush(at - FLUSH_SECONDS)
            self.unflushed.append(Commit(changes, at))
        self.on_commit(changes)

    def flush(self, until: float) -> None:
        """Commits up to that instant are on disk."""
        while self.unflushed and self.unflushed[0].at <= until:
            self.unflushed.pop(0)

    def durable(self, table: str, key: Any) -> Row | None:
        """The row as it would be after a crash now that loses as much as it can."""
        self.flush(asyncio.get_running_loop().time() - FLUSH_SECONDS)
        for commit in self.unflushed:
            for spot, before, _ in commit.changes:
                if spot == (table, key):
                    return before
        return self.tables[table].get(key)

    def crash(self, keep: int) -> int:
        """Breaks all connections and loses the unflushed commits but the first `keep`; returns how many were lost."""
        for session in list(self.sessions):
            session.end()
        lost = self.unflushed[keep:]
        for commit in reversed(lost):
            for (table, key), before, _ in reversed(commit.changes):
                if before is None:
                    self.tables[table].pop(key, None)
                else:
                    self.tables[table][key] = before
            self.on_loss(commit.changes)
        self.unflushed.clear()
        return len(lost)

    def end_sessions(self, owner: str) -> int:
        """The connections of one process break."""
        mine = [session for session in self.sessions if session.owner == owner]
        for session in mine:
            session.end()
        return len(mine)
