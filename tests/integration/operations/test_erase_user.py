"""A user's data can be read out whole and erased for good: no redelivery, no batch under way and no stale copy brings it back."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from services.adapters.ledger.actions import By
from services.adapters.ledger.batch import BatchLedger
from services.adapters.ledger.connection import Pool
from services.adapters.ledger.erasure import PARTS, Erasure
from services.adapters.ledger.queries import queries
from services.adapters.ledger.sweep import SweepLedger
from services.adapters.ledger.users import Users
from services.adapters.projection import Projection
from services.claims.claim_reward import ClaimCommand, ClaimReward, Granted, Refused
from services.missions.state import Status
from services.operations.catalogue import CatalogueWatcher
from services.operations.erase_user import Erased, OthersStillRun, erase_user, export_user
from services.operations.issue import Issuer
from services.operations.rebuild import rebuild_projection
from services.operations.refresh import FreshCatalogue
from services.processor.apply_batch import ApplyBatch
from tests.integration.processor.test_apply_batch import ANSWERS, LESSONS, NOW, XP, batch, event, state_of
from tests.support.events import answer, lesson, xp
from tests.support.ledger import partition_of

OPERATOR = By("ada", "asked by letter")

ANNAS = {
    LESSONS: [event("anna", lesson("l1", chapter_progress=1.0)), event("anna", lesson("l2"))],
    ANSWERS: [event("anna", answer("q1", correct=False)), event("anna", answer("q1", correct=True))],
    XP: [event("anna", xp(15)), event("anna", xp(10)), (b"anna", b"no event"), event("bert", xp(12))],
}
"""Everything that makes a row of some table, and another user's event."""


@pytest.fixture
def erasure(pool: Pool) -> Erasure:
    return Erasure(pool, partition_of)


@pytest.fixture
def new_processor(pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher) -> Callable[[], ApplyBatch]:
    return lambda: ApplyBatch(BatchLedger(pool, partition_of), projection, live_catalogue, lanes_max=8)


@pytest.fixture
def claim(pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher) -> ClaimReward:
    return ClaimReward(Users(pool, partition_of), projection, FreshCatalogue(live_catalogue))


async def deliver(apply: ApplyBatch, start: int = 0) -> None:
    for topic, records in ANNAS.items():
        await apply(batch(topic, start, *records))


async def deliver_on(apply: ApplyBatch, pool: Pool) -> None:
    """The same records once more, where the positions are, and a new one."""
    for topic, records in ANNAS.items():
        at = await pool.fetchval("select next_offset from input_position where topic = $1 and partition = 0", topic)
        await apply(batch(topic, at, *records, event("anna", xp(5))))


async def claim_all(pool: Pool, claim: ClaimReward) -> int:
    state = await state_of(pool, "anna")
    done = [a for a in state.assignments if a.status is Status.COMPLETED]
    for number, assignment in enumerate(done):
        answered = await claim(ClaimCommand("anna", assignment.assignment_id, f"key-{number}"), NOW)
        assert isinstance(answered, Granted)
    return len(done)


async def exported(erasure: Erasure) -> dict[str, Any]:
    written: list[str] = []
    await export_user(erasure, "anna", NOW, written.append)
    document: dict[str, Any] = json.loads("".join(written))
    return document


async def erase(erasure: Erasure, projection: Projection, told: Callable[[str], None] = lambda _: None) -> Erased:
    return await erase_user(erasure, projection, "anna", NOW, OPERATOR, told)


async def rows_about(pool: Pool, user: str) -> dict[str, int]:
    """Rows of every table that has a column for a user, without any query of the system's own."""
    tables = [row[0] for row in await pool.fetch(queries("erasure")["columns_of_users"])]
    found = {}
    for table in tables:
        column = "key" if table in {"outbox", "dead_letter"} else "user_id"
        value = user.encode() if column == "key" else user
        found[table] = await pool.fetchval(f"select count(*) from {table} where {column} = $1", value)
    return {table: rows for table, rows in found.items() if rows and "event_log_" not in table}


REMAINS = {"user_state": 1, "erased_user": 1}
"""The mark of an erased user: that the id was erased, and nothing else."""


async def test_no_table_with_users_is_forgotten(pool: Pool) -> None:
    tables = {row[0] for row in await pool.fetch(queries("erasure")["columns_of_users"])}
    days = {name for name in tables if name.startswith("event_log_")}

    assert tables - days == {part.table for part in PARTS} | {"user_state", "erased_user"}


async def test_the_export_holds_all_that_is_known(
    pool: Pool, erasure: Erasure, new_processor: Callable[[], ApplyBatch], claim: ClaimReward
) -> None:
    await deliver(new_processor())
    claimed = await claim_all(pool, claim)

    document = await exported(erasure)

    known = await rows_about(pool, "anna")
    counted = {part.table: len(document[part.name]) for part in PARTS}
    assert claimed >= 2
    assert document["user_id"] == "anna"
    assert document["state"]["user_id"] == "anna"
    assert counted == {table: rows for table, rows in known.items() if table != "user_state"}
    assert all(counted.values()), "the test means to have rows in every table"
    assert {row["user_id"] for part in ("events", "xp", "grants") for row in document[part]} == {"anna"}


async def test_the_export_of_an_unknown_user_is_empty(erasure: Erasure) -> None:
    document = await exported(erasure)

    assert document["state"] is None
    assert not any(document[part.name] for part in PARTS)


async def test_nothing_brings_an_erased_user_back(
    pool: Pool,
    projection: Projection,
    erasure: Erasure,
    new_processor: Callable[[], ApplyBatch],
    claim: ClaimReward,
    live_catalogue: CatalogueWatcher,
) -> None:
    apply = new_processor()
    await deliver(apply)
    await claim_all(pool, claim)
    grant = (await exported(erasure))["grants"][0]
    await pool.execute("delete from outbox")  # the relay has published all

    done = await erase(erasure, projection)

    assert done.deleted.keys() == {part.name for part in PARTS if part.erased}
    assert await rows_about(pool, "anna") == REMAINS
    # The same records again and new ones: to the processor that has the user in memory, and to a new one.
    await deliver_on(apply, pool)
    await deliver_on(new_processor(), pool)
    issuer = Issuer(Users(pool, partition_of), projection, live_catalogue)
    await issuer.issue_for("anna", NOW, "Europe/Berlin")
    again = await claim(ClaimCommand("anna", str(grant["assignment_id"]), "key-0"), NOW)
    await rebuild_projection(SweepLedger(pool, partition_of), projection)
    assert isinstance(again, Refused)
    assert await rows_about(pool, "anna") == REMAINS
    assert (await projection.load(["anna"]))["anna"].assignments == []


async def test_records_of_an_erased_user_are_accounted_for_and_others_count(
    pool: Pool, projection: Projection, erasure: Erasure, new_processor: Callable[[], ApplyBatch]
) -> None:
    await erase(erasure, projection)
    apply = new_processor()

    await deliver(apply)

    rows = await pool.fetch(
        "select applied, unmatched, dead_letter from input_position where topic = $1 and partition = 0", XP
    )
    assert [tuple(row) for row in rows] == [(1, 3, 0)]
    assert await pool.fetchval("select sum(amount) from xp_log where user_id = 'bert'") == 12


async def test_a_batch_under_way_leaves_nothing_behind(
    pool: Pool, projection: Projection, erasure: Erasure, live_catalogue: CatalogueWatcher
) -> None:
    logged, go_on = asyncio.Event(), asyncio.Event()

    async def at_step(step: str) -> None:
        if step == "logged":
            logged.set()
            await go_on.wait()

    apply = ApplyBatch(BatchLedger(pool, partition_of), projection, live_catalogue, lanes_max=1, at_step=at_step)
    under_way = asyncio.create_task(apply(batch(LESSONS, 0, *ANNAS[LESSONS])))
    await logged.wait()
    waits = asyncio.Event()
    erasing = asyncio.create_task(erase(erasure, projection, lambda step: waits.set() if "waiting" in step else None))
    await waits.wait()

    go_on.set()
    await asyncio.gather(under_way, erasing)

    assert await rows_about(pool, "anna") == REMAINS
    assert (await projection.load(["anna"]))["anna"].erased


async def test_an_erasure_does_not_delete_beside_what_began_before(
    pool: Pool,
    projection: Projection,
    erasure: Erasure,
    new_processor: Callable[[], ApplyBatch],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await deliver(new_processor())
    monkeypatch.setattr("services.operations.erase_user.WAIT_SECONDS_MAX", 0.5)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("select pg_current_xact_id()")

        with pytest.raises(OthersStillRun):
            await erase(erasure, projection)

    assert (await rows_about(pool, "anna"))["event_log"] > 0
    await erase(erasure, projection)
    assert (await rows_about(pool, "anna")).keys() <= {*REMAINS, "outbox"}


async def test_an_erasure_twice_is_one(
    pool: Pool, projection: Projection, erasure: Erasure, new_processor: Callable[[], ApplyBatch]
) -> None:
    await deliver(new_processor())
    await erase(erasure, projection)

    again = await erase(erasure, projection)

    assert again.deleted == {}
    actions = await pool.fetch("select by_whom, why, subject::text from operator_action where action = 'user_erased'")
    assert [tuple(row) for row in actions] == [("ada", "asked by letter", "{}")] * 2
