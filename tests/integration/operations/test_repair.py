"""After Redis was away the projection converges to the ledger by itself."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from services.adapters.ledger.batch import BatchLedger
from services.adapters.ledger.connection import Pool
from services.adapters.ledger.sweep import SweepLedger
from services.adapters.ledger.users import Users
from services.adapters.projection import Projection, ProjectionUnavailable
from services.missions.state import UserState
from services.operations.catalogue import CatalogueWatcher
from services.operations.issue import Issuer
from services.operations.repair import keep_repaired, reconcile
from services.stack.server import Servers
from tests.support.ledger import partition_of
from tests.support.system import until

NOW = datetime.now(UTC)


async def test_what_could_not_be_stored_is_stored_when_redis_is_back(
    pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher, servers: Servers
) -> None:
    issuer = Issuer(Users(pool, partition_of), projection, live_catalogue)
    await issuer.issue_for("before", NOW)
    servers.redis.stop()
    try:
        state = await issuer.issue_for("ann", NOW)
    finally:
        servers.redis.start()
    loaded: list[str] = []

    async def load(users: Sequence[str]) -> Mapping[str, UserState]:
        loaded.extend(users)
        return await BatchLedger(pool, partition_of).load_users(users)

    repairing = asyncio.create_task(keep_repaired(projection, load))

    async def is_there() -> bool:
        with suppress(ProjectionUnavailable):
            return await projection.load(["ann"]) == {"ann": state}
        return False

    await until(is_there, "ann in the projection")
    repairing.cancel()
    assert set(loaded) == {"ann"}


async def test_reconciliation_walks_every_user_and_begins_anew(
    pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.operations.repair.RECONCILE_USERS", 4)
    issuer = Issuer(Users(pool, partition_of), projection, live_catalogue)
    users = [f"user-{number}" for number in range(9)]
    states = {user: await issuer.issue_for(user, NOW) for user in users}
    await projection.discard([(user, state.version) for user, state in states.items()])
    ledger = SweepLedger(pool, partition_of)

    after, steps = "", 0
    while True:
        after, steps = await reconcile(ledger, projection, after), steps + 1
        if not after:
            break

    assert steps == 3
    assert await projection.load(users) == states


@pytest.mark.parametrize("ahead", [0, 3])
async def test_reconciliation_takes_back_what_a_crash_of_postgres_has_taken_back(
    pool: Pool, projection: Projection, live_catalogue: CatalogueWatcher, ahead: int
) -> None:
    state = await Issuer(Users(pool, partition_of), projection, live_catalogue).issue_for("ann", NOW)
    await projection.discard([("ann", state.version)])
    lost = UserState("ann", version=state.version + ahead, stamp=state.stamp + 1)
    await projection.store([lost])

    await reconcile(SweepLedger(pool, partition_of), projection, "")

    assert await projection.load(["ann"]) == {"ann": state}
