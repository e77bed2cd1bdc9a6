"""Dead letters as an operator sees them: count, list, show, remember what was done with them, purge."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from mission_events import DeadLetter
from mission_events.dead_letter import PREFIX

from .actions import By, record_action
from .connection import Pool, Row
from .headers import Header, headers_of
from .migrate import event_log_days
from .queries import queries

_SQL = queries("dead_letters")

COPY_OF = PREFIX + "copy_of"
"""Header of a record that an operator has sent through again: the place of its letter, `topic/partition/offset/incarnation`."""


NUMBER_DIGITS_MAX = 9
"""Of partition and incarnation in a mark, whose columns hold 32 bits; offsets may have twice as many."""


class Place(NamedTuple):
    """Where the record of a letter lay. `incarnation` counts the accounts of its partition, from 1."""

    topic: str
    partition: int
    offset: int
    incarnation: int

    @property
    def text(self) -> str:
        """As the header of a copy has it."""
        return "/".join(map(str, self))


class LetterState(StrEnum):
    """Whether somebody should look at a letter."""

    OPEN = "open"
    """Never sent through again, or come back since."""
    REPLAYED = "replayed"
    """Sent through again, and not come back."""


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters are meant; all where nothing is said. The times are those at which they became letters: since ≤ time < until."""

    reason: str | None = None
    topic: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    state: LetterState | None = None

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The first five parameters of every query over letters."""
        return (self.reason, self.topic, self.since, self.until, self.state)

    def told(self) -> dict[str, Any]:
        """What it says, for the record of actions."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class LetterCount:
    """Letters of one topic and reason."""

    topic: str
    reason: str
    letters: int
    open: int
    newest: datetime


@dataclass(frozen=True, slots=True)
class ListedLetter:
    """A letter without its bytes."""

    place: Place
    reason: str
    detail: str
    recorded_at: datetime
    created_at: datetime
    state: LetterState
    replays: int
    returns: int
    value_bytes: int | None
    """None: a tombstone."""


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """What happened to a letter: sent through again, or come back; the copy lies in the letter's topic."""

    what: str
    at: datetime
    by: str | None
    why: str | None
    partition: int | None
    offset: int | None
    """None: not known to be published."""
    reason: str | None
    detail: str | None
    is_passed: bool
    """Whether the partition's position is behind the copy: then it was applied, unless it has come back."""

    @property
    def at_place(self) -> tuple[int | None, int | None]:
        """Where the copy lies."""
        return self.partition, self.offset


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A letter whole: the original bytes, and its history, oldest first."""

    place: Place
    reason: str
    detail: str
    recorded_at: datetime
    created_at: datetime
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]
    history: Sequence[HistoryLine]


class DeadLetterStore:
    """The ledger's dead letters."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def counts(self, which: LetterFilter) -> list[LetterCount]:
        """How many there are, by topic and reason, most first."""
        return [LetterCount(*row) for row in await self._pool.fetch(_SQL["counts"], *which.arguments)]

    async def listed(
        self, which: LetterFilter, limit: int, before: tuple[datetime, Place] | None = None
    ) -> list[ListedLetter]:
        """The newest letters, at most `limit`; with `before`, those that come behind it in this order."""
        created_at, place = before or (None, (None, None, None, None))
        rows = await self._pool.fetch(_SQL["list"], *which.arguments, limit, created_at, *place)
        return [_listed(row) for row in rows]

    async def show(
        self, topic: str, partition: int, offset: int, incarnation: int | None = None
    ) -> StoredLetter | None:
        """The letter of a place, of the newest account unless told otherwise; None when there is none."""
        row = await self._pool.fetchrow(_SQL["show"], topic, partition, offset, incarnation)
        if row is None:
            return None
        history = await self._pool.fetch(_SQL["history"], *row[:4])
        return _stored(row, [HistoryLine(*line) for line in history])

    async def next_letters(self, which: LetterFilter, limit: int, after: Place | None) -> list[StoredLetter]:
        """The next letters in the order of their places, without their histories: to walk over all of them."""
        rows = await self._pool.fetch(_SQL["next"], *which.arguments, limit, *(after or (None, None, None, None)))
        return [_stored(row, ()) for row in rows]

    async def begin_replay(self, places: Sequence[Place], by: By) -> dict[Place, int]:
        """Writes into the letters' histories that they are about to be published again. Returns the numbers of these lines;
        a letter that is gone has none."""
        columns = ([p.topic for p in places], [p.partition for p in places], [p.offset for p in places])
        incarnations = [p.incarnation for p in places]
        rows = await self._pool.fetch(_SQL["begin_replay"], *columns, incarnations, by.who, by.why)
        return {Place(*row[1:]): row[0] for row in rows}

    async def end_replay(self, published: Mapping[int, tuple[int, int]]) -> None:
        """Completes lines of `begin_replay` with the (partition, offset) at which the copies lie."""
        lies = published.values()
        await self._pool.execute(_SQL["end_replay"], list(published), [p for p, _ in lies], [o for _, o in lies])

    async def record(self, action: str, subject: Mapping[str, Any], by: By) -> None:
        """Adds a line to the record of actions."""
        async with self._pool.acquire() as connection:
            await record_action(connection, action, subject, by)

    async def purge(self, which: LetterFilter, by: By) -> int:
        """Deletes letters with their histories, and records who did it and how many of each topic and reason. Returns how many."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(_SQL["purge"], *which.arguments)
            return await _record_purge(connection, rows, {"filter": which.told()}, by)

    async def purge_one(self, place: Place, by: By) -> bool:
        """Deletes one letter; False when there is none."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(_SQL["purge_one"], *place)
            return bool(await _record_purge(connection, rows, {"place": place.text}, by))

    async def log_days(self) -> set[date]:
        """The UTC days that the event log still has: an event of another day could be counted twice."""
        return set(await event_log_days(self._pool))


def letter_of_copy(letter: DeadLetter) -> tuple[int, int, int] | None:
    """(partition, offset, incarnation) of the letter that a bad record says it is a copy of; None when it says nothing usable."""
    for name, value in letter.headers:
        if name == COPY_OF and value is not None:
            parts = value.decode("utf-8", "replace").split("/")
            if len(parts) == 4 and parts[0] == letter.topic and _are_numbers(*parts[1:]):
                return int(parts[1]), int(parts[2]), int(parts[3])
    return None


def _are_numbers(partition: str, offset: str, incarnation: str) -> bool:
    texts = (partition, offset, incarnation)
    longest = (NUMBER_DIGITS_MAX, 2 * NUMBER_DIGITS_MAX, NUMBER_DIGITS_MAX)
    return all(t.isascii() and t.isdecimal() and len(t) <= n for t, n in zip(texts, longest, strict=True))


def _listed(row: Row) -> ListedLetter:
    reason, detail, recorded_at, created_at, state, replays, returns, value_bytes = row[4:]
    return ListedLetter(
        Place(*row[:4]),
        reason,
        detail,
        recorded_at,
        created_at,
        LetterState(state),
        replays,
        returns,
        value_bytes,
    )


def _stored(row: Row, history: Sequence[HistoryLine]) -> StoredLetter:
    reason, detail, recorded_at, created_at, key, value, headers = row[4:11]
    return StoredLetter(
        Place(*row[:4]), reason, detail, recorded_at, created_at, key, value, headers_of(headers), history
    )


async def _record_purge(connection: Any, rows: Sequence[Row], subject: Mapping[str, Any], by: By) -> int:
    counts: dict[str, int] = {}
    for topic, reason in rows:
        counts[f"{topic} {reason}"] = counts.get(f"{topic} {reason}", 0) + 1
    if rows:
        await record_action(connection, "purge-dead-letters", {**subject, "letters": counts}, by)
    return len(rows)
