"""A pool without resets: what a user of it leaves open is taken back all the same, and no round trip is made for it."""

from typing import Any

import pytest

from services.adapters.ledger.connection import open_pool


@pytest.mark.parametrize("stateless", [True, False])
async def test_what_was_left_open_is_taken_back(ledger_dsn: str, *, stateless: bool) -> None:
    pool = await open_pool(ledger_dsn, size=1, application="test", stateless=stateless)
    try:
        async with pool.acquire() as connection:
            await connection.transaction().start()
            await connection.execute("set local synchronous_commit = off")
            await connection.execute("insert into erased_user (user_id) values ('ann')")
        assert await pool.fetchval("select count(*) from erased_user") == 0
        assert await pool.fetchval("show synchronous_commit") == "on"
    finally:
        await pool.close()


@pytest.mark.parametrize(("stateless", "resets"), [(True, 0), (False, 3)])
async def test_a_session_without_state_is_not_reset(ledger_dsn: str, *, stateless: bool, resets: int) -> None:
    pool = await open_pool(ledger_dsn, size=1, application="test", stateless=stateless)
    made: list[Any] = []
    try:
        async with pool.acquire() as connection:
            connection.add_query_logger(made.append)
        made.clear()
        for _ in range(3):
            await pool.fetchval("select 1")
        queries = [logged.query for logged in made]
        assert queries.count("select 1") == 3
        assert sum("pg_advisory_unlock_all" in query for query in queries) == resets
    finally:
        await pool.close()
