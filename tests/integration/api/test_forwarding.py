"""POST /missions/claim at the api's address: passed on to the claims role as it is, and back."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from services.adapters.http_server import HttpServer, running
from services.adapters.ledger.connection import Pool
from services.adapters.tokens import TokenKind, TokenSettings, TokenVerifier
from services.api import forward_claims
from services.api.app import Parts, create_app
from services.claims.app import create_app as create_claims_app
from services.claims.claim_reward import ClaimReward
from tests.support.events import lesson
from tests.support.http import Client, Clock, Upstreams, client_of, problem
from tests.support.proxy import Proxy, proxy_to


@pytest.fixture
async def network(claim_reward: ClaimReward, verifier: TokenVerifier, clock: Clock) -> AsyncIterator[Proxy]:
    """A claims role on a port of its own, behind a network."""
    server = HttpServer(create_claims_app(claim_reward, verifier, clock), "127.0.0.1", 0, variable="MISSIONS_HTTP_PORT")
    async with running(server), proxy_to(f"127.0.0.1:{server.port}") as proxy:
        yield proxy


@pytest.fixture
async def api(parts: Parts, network: Proxy, tokens: TokenSettings, clock: Clock) -> AsyncIterator[Client]:
    """The api role that passes claims on."""
    claims = forward_claims.ClaimsClient(f"http://127.0.0.1:{network.port}")
    client = client_of(create_app(replace(parts, claims=claims), clock), tokens)
    yield client
    await client.http.aclose()
    await claims.aclose()


async def completed(api: Client, upstreams: Upstreams, user: str) -> str:
    await upstreams.send(user, lesson())
    assignment_id = (await api.missions(user))["daily-lesson-1"]["assignment_id"]
    assert isinstance(assignment_id, str)
    return assignment_id


async def test_a_claim_through_the_api_is_the_claim(api: Client, claims: Client, upstreams: Upstreams) -> None:
    assignment_id = await completed(api, upstreams, "ada")

    through = await api.claim("ada", assignment_id, Idempotency_Key="tap")
    direct = await claims.claim("ada", assignment_id, Idempotency_Key="tap")

    assert through.status_code == 200
    assert through.headers["content-type"] == "application/json"
    assert through.content == direct.content
    assert (await api.missions("ada"))["daily-lesson-1"]["status"] == "CLAIMED"
    other = await completed(api, upstreams, "ben")
    problem(await api.claim("ada", other, Idempotency_Key="tap"), 422, "idempotency-key-reused")
    problem(await api.claim("ada", other), 404, "assignment-not-found")


async def test_a_hundred_claims_at_once_through_the_api_make_one_grant(
    api: Client, upstreams: Upstreams, pool: Pool
) -> None:
    assignment_id = await completed(api, upstreams, "cara")
    answers = await asyncio.gather(*(api.claim("cara", assignment_id) for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert await pool.fetchval("select count(*) from reward_grant where user_id = 'cara'") == 1


async def test_what_is_wrong_is_refused_before_it_is_passed_on(api: Client) -> None:
    headers = api.headers(TokenKind.USER, "dan", Content_Type="application/json")
    problem(await api.http.post("/missions/claim", content=b"x" * 20_000, headers=headers), 413, "too-large")
    text = api.headers(TokenKind.USER, "dan", Content_Type="text/plain")
    problem(await api.http.post("/missions/claim", content=b"x", headers=text), 415, "unsupported-media-type")
    problem(await api.http.post("/missions/claim", content=b"{", headers=headers), 400, "invalid-json")


async def test_a_header_that_is_not_ascii_is_passed_on_as_it_is(
    api: Client, claims: Client, upstreams: Upstreams
) -> None:
    body = {"assignment_id": await completed(api, upstreams, "iris")}
    headers = {name.encode(): value.encode() for name, value in api.headers(TokenKind.USER, "iris").items()}
    headers |= {b"Idempotency-Key": "Schl\u00fcssel".encode(), b"tracestate": b"\xff"}

    through, direct = [await each.http.post("/missions/claim", json=body, headers=headers) for each in (api, claims)]

    assert (through.status_code, through.json()) == (direct.status_code, direct.json())
    assert through.status_code < 500


async def test_a_claims_role_that_is_away_is_a_problem_that_passes(
    api: Client, network: Proxy, upstreams: Upstreams
) -> None:
    assignment_id = await completed(api, upstreams, "eve")
    network.cut()
    response = await api.claim("eve", assignment_id)
    problem(response, 502, "bad-gateway")
    assert int(response.headers["retry-after"]) >= 1
    network.mend()
    network.swallow_after = b"/missions/claim"
    problem(await api.claim("eve", assignment_id), 502, "bad-gateway")
    assert (await api.claim("eve", assignment_id)).status_code == 200


async def test_nobody_listening_is_a_503(parts: Parts, tokens: TokenSettings, clock: Clock) -> None:
    nowhere = forward_claims.ClaimsClient("http://127.0.0.1:9")
    client = client_of(create_app(replace(parts, claims=nowhere), clock), tokens)
    response = await client.claim("fay", "some-id")
    problem(response, 503, "unavailable")
    assert int(response.headers["retry-after"]) >= 1
    await client.http.aclose()
    await nowhere.aclose()


async def test_a_claim_that_finds_no_free_connection_is_a_503_and_those_before_it_are_answered(
    parts: Parts, network: Proxy, upstreams: Upstreams, tokens: TokenSettings, clock: Clock
) -> None:
    held = forward_claims.ClaimsClient(f"http://127.0.0.1:{network.port}", connections_max=2, wait_seconds=0.2)
    client = client_of(create_app(replace(parts, claims=held), clock), tokens)
    assignments = {user: await completed(client, upstreams, user) for user in ("jan", "kim", "lea")}
    network.flows.clear()
    first = [asyncio.create_task(client.claim(user, assignments[user])) for user in ("jan", "kim")]
    while len(network._open) < 4:  # noqa: ASYNC110 - both ends of two connections; the proxy tells nobody
        await asyncio.sleep(0.01)

    response = await client.claim("lea", assignments["lea"])

    problem(response, 503, "unavailable")
    assert int(response.headers["retry-after"]) >= 1
    network.flows.set()
    assert [(await task).status_code for task in first] == [200, 200]
    assert (await client.claim("lea", assignments["lea"])).status_code == 200
    await client.http.aclose()
    await held.aclose()


async def test_without_a_claims_url_the_route_is_absent(parts: Parts, tokens: TokenSettings, clock: Clock) -> None:
    client = client_of(create_app(parts, clock), tokens)
    problem(await client.claim("gus", "some-id"), 404, "not-found")
    document = (await client.http.get("/openapi.json")).json()
    assert "/missions/claim" not in document["paths"]
    await client.http.aclose()


async def test_the_token_is_the_callers_own(api: Client, upstreams: Upstreams) -> None:
    assignment_id = await completed(api, upstreams, "hal")
    problem(await api.claim("mallory", assignment_id), 404, "assignment-not-found")
    expired = {"Authorization": "Bearer nonsense"}
    response = await api.http.post("/missions/claim", json={"assignment_id": assignment_id}, headers=expired)
    problem(response, 401, "invalid-token")
