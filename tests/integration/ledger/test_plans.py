"""On a ledger of a million users no query reads a whole table that grows, but for those that say why."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.adapters import ledger
from services.adapters.ledger.connection import BATCH_PLANNER_SETTINGS
from services.adapters.ledger.migrate import migrate
from services.adapters.ledger.queries import queries
from tests.support.stack import DatabaseFactory

FILL = Path(__file__).with_name("million_users.sql")

GROWS = {
    "assignment", "claim_answer", "dead_letter", "dead_letter_history", "event_log", "operator_action", "outbox", "reward_grant",
    "user_completion", "user_lesson", "user_question", "user_state", "xp_log",
}  # fmt: skip
"""Tables whose rows come with users, events or time. The others are as small as the deployment: positions, checkpoints, definitions."""

READS_ALL = {
    "dead_letters.counts": "an operator's overview of all letters",
    "dead_letters.list": "an operator's page; what it may be filtered by is too much for indexes on a table that is small when all is well",
    "dead_letters.next": "a replay of many letters goes through all of them once",
    "dead_letters.purge": "deletes what an operator names, by any of its columns",
    "erasure.export_events": "one day from end to end: an index by user would cost every event",
    "erasure.erase_events": "as export_events",
    "erasure.export_dead_letters": "a bad record is known by what its value holds",
    "erasure.erase_dead_letters": "as export_dead_letters",
    "erasure.export_unpublished": "the outbox is nearly empty when the relay runs",
    "erasure.count_unpublished": "as export_unpublished",
    "relay.delete_found": "once, when a lane begins and finds messages published",
    "relay.waits_for": "once, when a topic out has changed; it ends at the first row",
    "relay.backlog": "counting stops at a limit",
}
"""Queries that may read a table that grows from end to end, and why nobody minds."""

NO_PLAN = {
    "batch.commit_on_disk", "batch.commit_without_waiting", "catalogue.lock_revision", "erasure.export_snapshot",
    "migrate.create_table", "users.commit_on_disk",
    "roles.allow_login", "roles.create_role", "roles.grant_function", "roles.grant_table", "roles.open_schema",
    "roles.revoke_function", "roles.revoke_table",
}  # fmt: skip
"""What Postgres makes no plan for: settings, locks and definitions."""


def every_query() -> Iterator[tuple[str, str]]:
    for file in sorted(resources.files(ledger).joinpath("sql").iterdir(), key=lambda each: each.name):
        name = file.name.removesuffix(".sql")
        yield from ((f"{name}.{query}", text) for query, text in queries(name).items())


@pytest.fixture(scope="module")
async def million_dsn(postgres_dsn_factory: DatabaseFactory) -> str:
    dsn = await postgres_dsn_factory()
    await migrate(dsn, datetime.now(UTC).date())
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(FILL.read_text("utf-8"))
    finally:
        await connection.close()
    return dsn


@pytest.fixture
async def million(million_dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(million_dsn, server_settings={"jit": "off"}, statement_cache_size=0)
    yield connection
    await connection.close()


@pytest.fixture
async def filled(million: "asyncpg.Connection[asyncpg.Record]") -> str:
    """The partition of the event log that is filled, as of the day on which it was; an empty one is read as a whole for nothing."""
    return str(await million.fetchval("select tableoid::regclass::text from event_log limit 1"))


async def generic_plan(connection: "asyncpg.Connection[asyncpg.Record]", text: str) -> str:
    """The plan for any parameters, as JSON: the one that a prepared statement ends with."""
    parameters = max((int(number) for number in re.findall(r"\$(\d+)", text)), default=0)
    await connection.execute("set plan_cache_mode = force_generic_plan")
    await connection.execute(f"prepare query as {text}")
    given = f"({', '.join(['null'] * parameters)})" if parameters else ""
    try:
        return str(await connection.fetchval(f"explain (format json) execute query{given}"))
    finally:
        await connection.execute("deallocate query")


def scanned(plan: dict[str, Any], filled: str) -> Iterator[str]:
    """Tables that a plan reads from end to end; the filled partition by the name of the whole."""
    for part in walk(plan):
        if part["Node Type"] == "Seq Scan":
            name = part["Relation Name"]
            yield "event_log" if name == filled else name


@pytest.mark.timeout(300)
async def test_no_query_reads_a_whole_table_that_grows(
    million: "asyncpg.Connection[asyncpg.Record]", filled: str
) -> None:
    found: dict[str, set[str]] = {}
    for name, text in every_query():
        if name in NO_PLAN:
            continue
        as_processor = name.startswith(("batch.", "records."))
        for setting, value in BATCH_PLANNER_SETTINGS.items():
            await million.execute(f"set {setting} = {value if as_processor else 'on'}")
        plan = await generic_plan(million, text)
        whole = set(scanned(json.loads(plan)[0]["Plan"], filled)) & GROWS
        if whole:
            found[name] = whole

    assert {name: tables for name, tables in found.items() if name not in READS_ALL} == {}


async def test_every_exception_is_still_a_query() -> None:
    names = {name for name, _ in every_query()}

    assert READS_ALL.keys() | NO_PLAN <= names


async def test_an_event_is_looked_up_in_the_one_partition_of_its_day(
    million: "asyncpg.Connection[asyncpg.Record]", filled: str
) -> None:
    query = queries("users")["logged_events"]
    day = date.fromisoformat(filled.removeprefix("event_log_"))

    row = await million.fetchval(f"explain (analyze, format json) {query}", ["service"], ["event-7"], [day])

    parts = [part for part in walk(json.loads(row)[0]["Plan"]) if "Relation Name" in part]
    assert {part["Relation Name"] for part in parts if part["Actual Loops"] > 0} == {filled}


async def test_each_day_of_the_event_log_has_the_key_that_drops_duplicates(
    million: "asyncpg.Connection[asyncpg.Record]", filled: str
) -> None:
    keys = await million.fetch(
        "select conrelid::regclass::text from pg_constraint where contype = 'p' and conrelid::regclass::text like 'event_log%'"
    )

    assert {row[0] for row in keys} > {"event_log", filled}


def walk(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from walk(part)
