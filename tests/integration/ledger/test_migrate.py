"""Migrations: once each, whoever runs them, and a clear word when database and code do not fit."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest

from services.adapters.ledger.batch import BatchLedger
from services.adapters.ledger.connection import open_pool
from services.adapters.ledger.migrate import MigrationError, migrate, migrations, pending

TODAY = datetime.now(UTC).date()


async def test_migrating_twice_and_at_once_applies_each_file_once(fresh_database: str) -> None:
    applied = await asyncio.gather(*(migrate(fresh_database, TODAY) for _ in range(3)))
    assert max(applied, key=len) == [m.name for m in migrations()]
    assert sum(len(names) for names in applied) == len(migrations())
    assert await migrate(fresh_database, TODAY) == []
    assert await pending(fresh_database) == []


async def test_the_event_log_has_a_partition_for_every_day_that_is_accepted(fresh_database: str) -> None:
    await migrate(fresh_database, TODAY)
    days = await event_log_days(fresh_database)
    assert min(days) == TODAY - timedelta(days=36)
    assert max(days) == TODAY + timedelta(days=7)
    assert len(days) == 44


async def test_a_database_of_a_newer_version_is_refused(fresh_database: str) -> None:
    await migrate(fresh_database, TODAY)
    await execute(fresh_database, "insert into schema_migration (number, name, digest) values (9999, 'future', 'x')")
    with pytest.raises(MigrationError, match=r"9999.*newer"):
        await migrate(fresh_database, TODAY)


async def test_an_edited_migration_is_refused(fresh_database: str) -> None:
    await migrate(fresh_database, TODAY)
    await execute(fresh_database, "update schema_migration set digest = 'other' where number = 1")
    with pytest.raises(MigrationError, match="changed after it was applied"):
        await pending(fresh_database)


async def execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(statement)
    await connection.close()


async def event_log_days(dsn: str) -> list[date]:
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch(
        "select right(c.relname, 8) from pg_inherits i join pg_class c on c.oid = i.inhrelid "
        "where i.inhparent = 'event_log'::regclass"
    )
    await connection.close()
    return [datetime.strptime(row[0], "%Y%m%d").replace(tzinfo=UTC).date() for row in rows]


async def test_writers_that_make_the_same_day_at_once_do_not_disturb_each_other(fresh_database: str) -> None:
    await migrate(fresh_database, TODAY)
    pool = await open_pool(fresh_database, size=8, application="test")
    ledger = BatchLedger(pool, lambda key: 0)
    days = [TODAY + timedelta(days=100 + number) for number in range(10)]
    await asyncio.gather(*(ledger.ensure_days(days) for _ in range(8)))
    await pool.close()
    assert set(days) <= set(await event_log_days(fresh_database))
