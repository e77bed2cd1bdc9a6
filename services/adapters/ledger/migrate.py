"""Brings a database to the schema that this code expects: numbered SQL files, forward only, once each."""

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta
from importlib import resources

import asyncpg

from .connection import Connection, Pool, connect
from .queries import queries
from .roles import LOCK_KEY as ROLES_LOCK_KEY
from .roles import grant

LOCK_KEY = 7_316_402_001
"""Advisory lock: several processes may migrate at once, one does it and the others find it done."""

EVENT_LOG_DAYS_BACK = 36
"""Events up to 35 days old are accepted; one more day because the log's days are UTC days."""
EVENT_LOG_DAYS_AHEAD = 7
"""Partitions are made this far ahead; the scheduler makes more every day."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of `migrations/`: its number, name, text and digest."""

    number: int
    name: str
    text: str
    digest: str


class MigrationError(Exception):
    """The database can't be brought to this code's schema; the message says why and what to do."""


def migrations() -> list[Migration]:
    """All migrations of this code, in order."""
    found = []
    for file in sorted(resources.files(__package__).joinpath("migrations").iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".sql"):
            text = file.read_text("utf-8")
            digest = hashlib.sha256(text.encode()).hexdigest()
            found.append(Migration(int(file.name[:4]), file.name, text, digest))
    return found


async def pending(dsn: str) -> list[Migration]:
    """Migrations that the database lacks. Raises `MigrationError` when it has one that this code does not know or that was changed."""
    connection = await connect(dsn)
    try:
        return await _pending(connection)
    finally:
        await connection.close()


async def _pending(connection: "asyncpg.Connection[asyncpg.Record]") -> list[Migration]:
    sql = queries("migrate")
    done: dict[int, str] = {}
    if await connection.fetchval(sql["has_table"]):
        done = {row["number"]: row["digest"] for row in await connection.fetch(sql["applied"])}
    known = migrations()
    if unknown := set(done) - {migration.number for migration in known}:
        raise MigrationError(
            f"The database has migrations {sorted(unknown)} that this version does not know: it was migrated by a newer one. "
            "Run that version, or restore a database that fits this one."
        )
    for migration in known:
        if migration.number in done and done[migration.number] != migration.digest:
            raise MigrationError(
                f"Migration {migration.name} was changed after it was applied. Take the change back and put it in a new file."
            )
    return [migration for migration in known if migration.number not in done]


async def migrate(dsn: str, today: date) -> list[str]:
    """Applies what is missing, each file in its own transaction, and returns their names.

    `today` (UTC) places the event log's partitions. Raises `MigrationError`."""
    sql = queries("migrate")
    connection = await connect(dsn)
    try:
        await connection.execute(sql["lock"], LOCK_KEY)
        await connection.execute(sql["create_table"])
        applied = []
        for migration in await _pending(connection):
            async with connection.transaction():
                await connection.execute(migration.text)
                await connection.execute(sql["record"], migration.number, migration.name, migration.digest)
            applied.append(migration.name)
        async with connection.transaction():
            await connection.execute(sql["lock_here"], ROLES_LOCK_KEY)
            await grant(connection)  # new tables are for the services that need them, at once
        first = today - timedelta(days=EVENT_LOG_DAYS_BACK)
        await ensure_event_log_days(
            connection,
            [first + timedelta(days=n) for n in range(EVENT_LOG_DAYS_BACK + EVENT_LOG_DAYS_AHEAD + 1)],
        )
        return applied
    finally:
        await connection.close()


async def event_log_days(source: "asyncpg.Connection[asyncpg.Record] | Connection | Pool") -> list[date]:
    """The UTC days that the event log has a partition for, oldest first."""
    return [date.fromisoformat(row[0]) for row in await source.fetch(queries("migrate")["event_log_days"])]


async def ensure_event_log_days(
    connection: "asyncpg.Connection[asyncpg.Record] | Connection",
    days: list[date],
) -> None:
    """Makes the event log's partitions for these UTC days where they are missing."""
    sql = queries("migrate")
    existing = set(await event_log_days(connection))
    for day in days:
        if day not in existing:
            try:
                async with connection.transaction():
                    await connection.execute(sql["make_event_log_day"], day)
            except (asyncpg.DuplicateTableError, asyncpg.UniqueViolationError):
                continue  # another writer made it in the same moment: "if not exists" does not see that far
