"""Claims while servers fail: what was committed is found again, what was not is decided again, and nothing is paid twice."""

import asyncio
import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.adapters.ledger.catalogue import CatalogueStore
from services.adapters.ledger.connection import Pool, open_pool
from services.adapters.ledger.users import Users
from services.adapters.projection import Projection
from services.adapters.tokens import TokenSettings, TokenVerifier
from services.claims.app import create_app
from services.claims.claim_reward import ClaimReward
from services.missions.definition import Mission
from services.operations.catalogue import CatalogueWatcher
from services.operations.refresh import FreshCatalogue
from tests.support.builders import mission_data
from tests.support.events import lesson
from tests.support.http import Client, Clock, Upstreams, client_of, problem
from tests.support.ledger import partition_of
from tests.support.proxy import Proxy, proxy_to
from tests.support.system import until


@pytest.fixture
async def network(ledger_dsn: str) -> AsyncIterator[Proxy]:
    """Between the claims role and Postgres."""
    async with proxy_to(ledger_dsn) as proxy:
        yield proxy


@pytest.fixture
async def far_claims(
    network: Proxy,
    ledger_dsn: str,
    projection: Projection,
    live_catalogue: CatalogueWatcher,
    verifier: TokenVerifier,
    tokens: TokenSettings,
    clock: Clock,
) -> AsyncIterator[Client]:
    """The claims role behind that network."""
    far_pool = await open_pool(network.through(ledger_dsn), size=4, application="far-claims")
    use_case = ClaimReward(Users(far_pool, partition_of), projection, FreshCatalogue(live_catalogue))
    client = client_of(create_app(use_case, verifier, clock), tokens)
    yield client
    await client.http.aclose()
    far_pool.terminate()


async def completed(upstreams: Upstreams, pool: Pool, user: str, mission_id: str = "daily-lesson-1") -> str:
    await upstreams.send(user, lesson())
    found = await pool.fetchval(
        "select assignment_id::text from assignment where user_id = $1 and mission_id = $2 and status = 'COMPLETED'",
        user,
        mission_id,
    )
    assert isinstance(found, str)
    return found


async def count_grants(pool: Pool, user: str) -> tuple[int, int]:
    """Rows of grants, and of grants to publish."""
    row = await pool.fetchrow(
        "select (select count(*) from reward_grant where user_id = $1),"
        " (select count(*) from outbox where topic = 'missions.reward-granted' and key = convert_to($1, 'UTF8'))",
        user,
    )
    assert row is not None
    return row[0], row[1]


async def waiting_backend(pool: Pool, other_than: int | None) -> int:
    """The pid of the backend that waits for a claim's row lock."""
    found: int | None = None

    async def waits() -> bool:
        nonlocal found
        found = await pool.fetchval(
            "select pid from pg_stat_activity where application_name = 'far-claims' and wait_event_type = 'Lock'"
            " and pid is distinct from $1",
            other_than,
        )
        return found is not None

    await until(waits, "a claim that waits for its user's row")
    assert found is not None
    return found


async def test_a_commit_whose_confirmation_is_lost_pays_once(
    far_claims: Client, network: Proxy, upstreams: Upstreams, pool: Pool
) -> None:
    assignment_id = await completed(upstreams, pool, "ada")
    network.swallow_after = b"COMMIT"

    answer = await far_claims.claim("ada", assignment_id, Idempotency_Key="tap")

    assert network.swallowed == 1, "the commit was confirmed to nobody"
    assert answer.status_code == 200
    assert await count_grants(pool, "ada") == (1, 1)
    assert (await far_claims.claim("ada", assignment_id)).content == answer.content


async def test_a_connection_lost_before_the_commit_is_no_loss(
    far_claims: Client, upstreams: Upstreams, pool: Pool, ledger_dsn: str
) -> None:
    assignment_id = await completed(upstreams, pool, "ben")
    other = await asyncpg.connect(ledger_dsn)
    try:
        lock = other.transaction()
        await lock.start()
        await other.execute("select 1 from user_state where user_id = 'ben' for update")
        claim = asyncio.create_task(far_claims.claim("ben", assignment_id))

        first = await waiting_backend(pool, None)
        await pool.execute("select pg_terminate_backend($1)", first)
        await waiting_backend(pool, first)
        await lock.rollback()
        answer = await claim
    finally:
        await other.close()
    assert answer.status_code == 200
    assert await count_grants(pool, "ben") == (1, 1)


async def test_without_the_ledger_the_answer_is_to_come_back(
    far_claims: Client, network: Proxy, upstreams: Upstreams, pool: Pool
) -> None:
    assignment_id = await completed(upstreams, pool, "cara")
    network.cut()

    answer = await far_claims.claim("cara", assignment_id)

    problem(answer, 503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    network.mend()
    assert (await far_claims.claim("cara", assignment_id)).status_code == 200
    assert await count_grants(pool, "cara") == (1, 1)


async def test_a_ledger_that_hangs_does_not_hold_the_claim_for_ever(
    far_claims: Client, network: Proxy, upstreams: Upstreams, pool: Pool
) -> None:
    assignment_id = await completed(upstreams, pool, "gus")
    network.flows.clear()
    problem(await far_claims.claim("gus", assignment_id), 503, "unavailable")
    network.flows.set()
    assert (await far_claims.claim("gus", assignment_id)).status_code == 200
    assert await count_grants(pool, "gus") == (1, 1)


async def test_redis_is_not_needed_to_be_paid(
    pool: Pool,
    live_catalogue: CatalogueWatcher,
    verifier: TokenVerifier,
    tokens: TokenSettings,
    clock: Clock,
    upstreams: Upstreams,
    projection: Projection,
    ledger_dsn: str,
) -> None:
    assignment_id = await completed(upstreams, pool, "dan")
    async with proxy_to(ledger_dsn) as nowhere:
        nowhere.cut()
        dead = Projection.connect(f"redis://127.0.0.1:{nowhere.port}/0")
        use_case = ClaimReward(Users(pool, partition_of), dead, FreshCatalogue(live_catalogue))
        client = client_of(create_app(use_case, verifier, clock), tokens)
        answer = await client.claim("dan", assignment_id)
        await client.http.aclose()
        await dead.close()
    assert answer.status_code == 200
    assert await count_grants(pool, "dan") == (1, 1)


async def test_a_mission_published_a_moment_ago_pays_at_once(
    claims: Client,
    live_catalogue: CatalogueWatcher,
    pool: Pool,
    upstreams: Upstreams,
) -> None:
    stale = live_catalogue.current()
    brand_new = mission_data(id="brand-new", rewards=[{"kind": "gems", "amount": 99}])
    await CatalogueStore(pool).publish([Mission.model_validate_json(json.dumps(brand_new))])
    await live_catalogue.load()
    assignment_id = await completed(upstreams, pool, "eve", "brand-new")
    live_catalogue._catalogue = stale  # this process has not looked again since

    answer = await claims.claim("eve", assignment_id)

    assert answer.status_code == 200
    assert answer.json()["rewards"] == [{"kind": "gems", "amount": 99}]


async def test_a_ledger_that_contradicts_itself_pays_nothing(claims: Client, upstreams: Upstreams, pool: Pool) -> None:
    assignment_id = await completed(upstreams, pool, "finn")
    await pool.execute("update assignment set status = 'EXPIRED' where assignment_id = $1", assignment_id)

    answer = await claims.claim("finn", assignment_id)

    problem(answer, 500, "internal-error")
    assert await count_grants(pool, "finn") == (0, 0)
