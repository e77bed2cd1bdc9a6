"""Callers who ask for too much are told when to come back; everybody else notices nothing."""

import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from services.adapters import rate_limits
from services.adapters.http_server import HttpServer, ProxySettings, running
from services.adapters.ledger.connection import Pool
from services.adapters.projection import Projection
from services.adapters.rate_limits import LEASES_PER_WINDOW, LimitSettings, RateLimits, RouteClass, network_of
from services.adapters.tokens import TokenKind, TokenSettings, TokenVerifier
from services.api.app import Parts, create_app
from services.claims.app import create_app as create_claims_app
from services.claims.claim_reward import ClaimReward
from tests.support.events import lesson
from tests.support.http import Client, Clock, Upstreams, client_of, problem
from tests.support.stack import free_port
from tests.support.system import until

LIMIT = 20
SETTINGS = LimitSettings(
    limit_reads_per_minute=LIMIT,
    limit_claims_per_minute=LIMIT,
    limit_services_per_minute=LIMIT,
    limit_operators_per_minute=LIMIT,
    limit_strangers_per_minute=LIMIT,
)

MakeLimits = Callable[[], RateLimits]


@pytest.fixture
def make_limits(projection: Projection) -> MakeLimits:
    """Limits of one process after another, all on one Redis."""
    prefix = f"test-{uuid.uuid4().hex[:8]}-"

    def make() -> RateLimits:
        made = RateLimits.connect(SETTINGS, projection, "api", prefix)
        assert made is not None
        return made

    return make


@pytest.fixture
async def api(parts: Parts, make_limits: MakeLimits, tokens: TokenSettings, clock: Clock) -> AsyncIterator[Client]:
    client = client_of(create_app(replace(parts, limits=make_limits()), clock), tokens)
    yield client
    await client.http.aclose()


async def admitted(limits: RateLimits, calls: int, caller: str = "ada", which: RouteClass = RouteClass.READS) -> int:
    """How many of so many calls are admitted."""
    return sum([await limits.count(which, caller) is None for _ in range(calls)])


async def test_who_floods_is_stopped_and_nobody_else(api: Client) -> None:
    answers = [await api.get("ada", "/streak") for _ in range(LIMIT + 10)]
    assert [a.status_code for a in answers] == [200] * LIMIT + [429] * 10
    document = problem(answers[-1], 429, "too-many-requests")
    wait = int(answers[-1].headers["retry-after"])
    assert 1 <= wait <= rate_limits.WINDOW_SECONDS
    assert f"{wait} seconds" in document["detail"]
    assert answers[-1].headers["cache-control"] == "no-store"
    assert (await api.get("bob", "/streak")).status_code == 200
    assert (await api.get("ada", "/missions")).status_code == 429, "all reads of a user count together"
    assert (await api.claim("ada", "x")).status_code == 404, "what a user claims is counted apart"
    headers = api.headers(TokenKind.SERVICE, "ada")
    assert (await api.http.post("/missions/resetDaily", headers=headers)).status_code == 200, "and so are other callers"


async def test_a_claim_that_is_one_too_many_grants_nothing(
    claim_reward: ClaimReward,
    verifier: TokenVerifier,
    tokens: TokenSettings,
    clock: Clock,
    upstreams: Upstreams,
    pool: Pool,
    make_limits: MakeLimits,
) -> None:
    await upstreams.send("ada", lesson())
    claims = client_of(create_claims_app(claim_reward, verifier, clock, make_limits()), tokens)
    async with claims.http:
        for _ in range(LIMIT):
            assert (await claims.claim("ada", "unknown")).status_code == 404
        row = await pool.fetchrow("select assignment_id::text from assignment where user_id = 'ada' limit 1")
        assert (await claims.claim("ada", row[0] if row else "")).status_code == 429
        assert await pool.fetchval("select count(*) from reward_grant") == 0


async def test_processes_count_together(make_limits: MakeLimits) -> None:
    processes = [make_limits() for _ in range(3)]
    passed = 0
    for _ in range(LIMIT):
        passed += sum([await admitted(process, 1) for process in processes])
    lease = LIMIT // LEASES_PER_WINDOW
    assert LIMIT - 2 * lease <= passed <= LIMIT


async def test_a_call_seldom_asks_redis(make_limits: MakeLimits, monkeypatch: pytest.MonkeyPatch) -> None:
    limits, asked = make_limits(), 0
    assert limits._window is not None
    hit = limits._window.hit

    async def counted(*arguments: Any, **more: Any) -> bool:
        nonlocal asked
        asked += 1
        return await hit(*arguments, **more)

    monkeypatch.setattr(limits._window, "hit", counted)
    assert await admitted(limits, 10 * LIMIT) == LIMIT
    assert asked == LEASES_PER_WINDOW + 1, "once a lease, once to learn that it is over, never for the flood"


async def test_after_the_time_that_was_told_calls_are_admitted(
    make_limits: MakeLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "WINDOW_SECONDS", 1)
    limits = make_limits()
    assert await admitted(limits, LIMIT + 1) == LIMIT

    async def again() -> bool:
        return await limits.count(RouteClass.READS, "ada") is None

    await until(again, "a call to be admitted")


async def test_without_redis_each_process_counts_for_itself() -> None:
    nowhere = Projection.connect(f"redis://127.0.0.1:{free_port()}/0", timeout_seconds=0.1)
    limits = RateLimits.connect(SETTINGS, nowhere, "api")
    assert limits is not None
    assert await admitted(limits, 2 * LIMIT) == LIMIT
    assert await admitted(limits, LIMIT, "bob") == LIMIT
    await nowhere.close()


async def test_limits_can_be_off(projection: Projection) -> None:
    assert RateLimits.connect(LimitSettings(rate_limits=False), projection, "api") is None


async def test_who_guesses_tokens_is_slowed_and_not_their_neighbours(api: Client, parts: Parts) -> None:
    app: FastAPI = api.http._transport.app  # type: ignore[attr-defined, unused-ignore]

    def at(address: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(address, 40000)), base_url="http://test")

    neighbour = api.headers(TokenKind.USER, "neighbour")
    async with at("203.0.113.7") as here, at("203.0.113.8") as elsewhere:
        assert (await here.get("/streak", headers=neighbour)).status_code == 200
        statuses = []
        for n in range(LIMIT + 5):
            headers = {"Authorization": f"Bearer guess-{n}"} if n % 2 else {}
            statuses.append((await here.get("/streak", headers=headers)).status_code)
        assert statuses[:LIMIT] == [401] * LIMIT
        assert statuses[-3:] == [429] * 3
        assert (await here.get("/problems/not-found")).status_code == 429, "nor does it read what is open"
        fresh = api.headers(TokenKind.USER, "ada")
        assert (await here.get("/streak", headers=fresh)).status_code == 429, (
            "a token that was never seen may be a guess"
        )
        assert (await here.get("/streak", headers=neighbour)).status_code == 200, "one that was seen is none"
        assert (await elsewhere.get("/streak", headers=fresh)).status_code == 200
        assert (await here.get("/streak", headers=fresh)).status_code == 200


@pytest.mark.parametrize("believed", [False, True])
async def test_a_forwarded_address_is_believed_from_a_trusted_proxy_only(
    parts: Parts, make_limits: MakeLimits, clock: Clock, believed: bool
) -> None:
    app = create_app(replace(parts, limits=make_limits()), clock)
    proxies = ProxySettings.model_validate({"trusted_proxies": "127.0.0.0/8" if believed else ""}).trusted_proxies
    server = HttpServer(app, "127.0.0.1", 0, variable="MISSIONS_HTTP_PORT", proxies=proxies)
    async with running(server), httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
        statuses = [
            (await http.get("/streak", headers={"X-Forwarded-For": f"203.0.113.{n}"})).status_code
            for n in range(LIMIT + 5)
        ]
        assert (429 in statuses) is not believed
        same = [
            (await http.get("/streak", headers={"X-Forwarded-For": "198.51.100.1"})).status_code
            for _ in range(LIMIT + 5)
        ]
        assert same[-1] == 429


def test_what_counts_as_one_address() -> None:
    assert network_of("203.0.113.7") == "203.0.113.7"
    assert network_of("::ffff:203.0.113.7") == "203.0.113.7"
    assert network_of("2001:db8:1:2:aaaa::1") == network_of("2001:db8:1:2:bbbb::2") != network_of("2001:db8:1:3::1")
    assert network_of("a\r\nb") == "unknown"


def test_every_class_has_a_limit() -> None:
    assert all(LimitSettings().per_minute(which) > 0 for which in RouteClass)


async def test_callers_are_forgotten_before_memory_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "CALLERS_MAX", 100)
    limits = RateLimits(SETTINGS, None)
    for n in range(1000):
        await limits.count(RouteClass.READS, f"user-{n}")
    assert len(limits._counts) <= 100


def test_a_proxy_must_be_an_address() -> None:
    with pytest.raises(ValueError, match="trusted_proxies"):
        ProxySettings.model_validate({"trusted_proxies": "*"})
