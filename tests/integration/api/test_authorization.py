"""Who may call what: every route with every kind of token and with tokens that prove nothing, and what a refused call leaves behind."""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI

from mission_events import TOPICS_IN
from services.adapters.http_server import HttpServer, running
from services.adapters.jwks import Jwks
from services.adapters.kafka.admin import end_offsets
from services.adapters.ledger.connection import Pool
from services.adapters.tokens import TokenKind, TokenSettings, TokenVerifier, mint
from services.api.app import Parts, create_app
from services.api.forward_claims import ClaimsClient
from services.claims.app import create_app as create_claims_app
from services.claims.claim_reward import ClaimReward
from services.stack.server import Addresses
from tests.support.admin import draft_of
from tests.support.events import lesson
from tests.support.http import Clock, Json, Upstreams, problem
from tests.support.identity import IdentityProvider, ec_key
from tests.support.routes import CLAIMS_ROUTES, COMPLETED, DRAFT, LETTERS, LIVE, ROUTES, url_of

GUARDED = [call for call, line in ROUTES.items() if line.kind is not None]
USER_READS = [path for (method, path), line in ROUTES.items() if line.kind is TokenKind.USER and method == "GET"]


@pytest.fixture(scope="module")
def provider() -> IdentityProvider:
    return IdentityProvider()


@pytest.fixture
def verifier(provider: IdentityProvider) -> TokenVerifier:
    """As in production: keys of an identity provider."""

    async def load() -> bytes:
        return json.dumps(provider.jwks()).encode()

    settings = TokenSettings()
    return TokenVerifier(Jwks(load, settings.jwt_algorithms, fresh_seconds=300, stale_seconds=300), settings)


@dataclass(frozen=True)
class World:
    """Both roles, and what is in their servers."""

    api: FastAPI
    claims: FastAPI
    provider: IdentityProvider
    pool: Pool
    addresses: Addresses
    topics: list[str]

    async def call(self, app: FastAPI, method: str, path: str, token: str | None, **more: Any) -> httpx.Response:
        headers = {**({"Authorization": f"Bearer {token}"} if token is not None else {}), **more.pop("headers", {})}
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as http:
            return await http.request(method, path, headers=headers, **more)

    async def trace(self) -> Json:
        """What a call can leave: every table's rows, as counts and hashes, and the ends of the topics in."""
        tables = await self.pool.fetch(
            "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') "
            "and not relispartition"
        )
        left: Json = {}
        for (table,) in tables:
            row = await self.pool.fetchrow(f'select count(*), sum(hashtext(t::text)) from "{table}" t')
            left[table] = tuple(row) if row else None
        assert {"outbox", "reward_grant", "user_state", "mission_change", "event_log"} <= set(left)
        return {**left, "kafka": await end_offsets(self.addresses.kafka_bootstrap, self.topics)}

    async def completed(self, user: str) -> str:
        """The id of an assignment that a user can claim."""
        missions = (await self.call(self.api, "GET", "/missions", self.provider.token(sub=user))).json()["missions"]
        return next(str(m["assignment_id"]) for m in missions if m["status"] == "COMPLETED")


@pytest.fixture
async def world(
    parts: Parts,
    pool: Pool,
    claim_reward: ClaimReward,
    clock: Clock,
    upstreams: Upstreams,
    provider: IdentityProvider,
    addresses: Addresses,
    topic_prefix: str,
) -> AsyncIterator[World]:
    """Ada and Bob have each something to claim; there is a draft, a mission that is live, and a dead letter."""
    claims_app = create_claims_app(claim_reward, parts.verifier, clock)
    server = HttpServer(claims_app, "127.0.0.1", 0, variable="MISSIONS_HTTP_PORT")
    async with running(server), aclosing(ClaimsClient(f"http://127.0.0.1:{server.port}")) as forwarding:
        app = create_app(replace(parts, claims=forwarding), clock)
        topics = [LETTERS, *(topic.with_prefix(topic_prefix).name for topic in TOPICS_IN)]
        world = World(app, claims_app, provider, pool, addresses, topics)
        await upstreams.send("ada", lesson())
        await upstreams.send("bob", lesson())
        await upstreams.record(LETTERS, "ada", b"no event", clock.now)
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        headers = {"Authorization": f"Bearer {provider.token(sub='olga', scope='missions:admin')}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as http:
            for mission in (DRAFT, LIVE):
                window = {"opens_at": "2026-01-01T00:00:00Z", "closes_at": "2027-01-01T00:00:00Z"}
                made = await http.post("/admin/missions", json=draft_of(mission, period="season", **window))
                assert made.status_code == 201, made.text
            assert (await http.post(f"/admin/missions/{LIVE}/publish")).status_code == 200
        yield world


def routes_of(app: FastAPI) -> set[tuple[str, str]]:
    def calls(route: Any) -> set[tuple[str, str]]:
        if hasattr(route, "original_router"):  # how FastAPI keeps what was included
            return set().union(*(calls(inner) for inner in route.original_router.routes))
        assert getattr(route, "methods", None), f"{route!r} is of a kind that this matrix does not know"
        return {(method, route.path) for method in route.methods if method != "HEAD"}

    described = {(method.upper(), path) for path, item in app.openapi()["paths"].items() for method in item}
    return described | set().union(*(calls(route) for route in app.routes))


async def test_every_route_of_both_roles_is_in_the_matrix(world: World) -> None:
    assert routes_of(world.api) == set(ROUTES)
    assert routes_of(world.claims) == CLAIMS_ROUTES


def bad_tokens(provider: IdentityProvider, kind: TokenKind, development: TokenSettings) -> dict[str, str]:
    """Tokens that must prove nothing, each nearly a good one."""

    def token(kid: str | None = "key-1", **changes: Any) -> str:
        return provider.token(kid, **{"scope": kind.scope, "sub": "ada", **changes})

    now = datetime.now(UTC)
    good = token()
    header, claims, signature = good.split(".")
    pem = (
        provider.keys["key-1"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    hs256 = f"{_part({'alg': 'HS256', 'typ': 'JWT', 'kid': 'key-1'})}.{claims}"
    forger = ec_key()
    own_key = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(forger.public_key()))
    carried = {"kid": "key-1", "jwk": own_key, "jku": "https://attacker.example/jwks"}
    carrying = jwt.encode(jwt.decode(good, options={"verify_signature": False}), forger, "ES256", headers=carried)
    return {
        "expired": token(exp=now - timedelta(minutes=5), iat=now - timedelta(hours=1)),
        "without exp": token(exp=None),
        "not valid yet": token(nbf=now + timedelta(hours=1)),
        "holding too long": token(exp=now + timedelta(days=2)),
        "for another audience": token(aud="lessons"),
        "from another issuer": token(iss="somebody-else"),
        "without a subject": token(sub=None),
        "with an empty subject": token(sub=""),
        "with a crafted subject": token(sub="a\r\nX-User: b"),
        "of two kinds": token(scope="missions:user missions:service missions:admin"),
        "of another algorithm": token(key=rsa.generate_private_key(65537, 2048)),
        "of an unknown key": token("key-2", key=forger),
        "of no key": token(None),
        "of another key under the same name": token(key=forger),
        "carrying its own key": carrying,
        "of another environment": mint(development, "ada", kind, timedelta(hours=1)),
        "unsigned": f"{_part({'alg': 'none', 'kid': 'key-1'})}.{claims}.",
        "without its signature": f"{header}.{claims}.",
        "signed with the public key": f"{hs256}.{_base64(hmac.new(pem, hs256.encode(), hashlib.sha256).digest())}",
        "with other claims": f"{header}.{token(sub='bob').split('.')[1]}.{signature}",
        "with another signature": f"{header}.{claims}.{_base64(secrets.token_bytes(64))}",
        "cut off": good[:-4],
        "too long": good + "A" * 5000,
        "no token": "let-me-in",
    }


@pytest.mark.parametrize(("method", "path"), GUARDED, ids=[" ".join(call) for call in GUARDED])
async def test_a_call_takes_one_kind_of_token_and_leaves_nothing_when_it_is_refused(
    world: World, tokens: TokenSettings, method: str, path: str
) -> None:
    line = ROUTES[method, path]
    assert line.kind is not None
    body = json.loads(json.dumps(line.body).replace(COMPLETED, await world.completed("ada")))
    url = url_of(path, line)
    before = await world.trace()
    apps = [world.api, *([world.claims] if (method, path) in CLAIMS_ROUTES else [])]
    bad = bad_tokens(world.provider, line.kind, tokens)
    for app in apps:
        problem(await world.call(app, method, url, None, json=body), 401, "missing-token")
        for name, token in bad.items():
            answer = await world.call(app, method, url, token, json=body)
            assert answer.status_code == 401, f"a token {name}: {answer.text}"
            problem(answer, 401, "invalid-token")
            assert 'error="invalid_token"' in answer.headers["www-authenticate"], name
            assert answer.headers["cache-control"] == "no-store"
        for kind in set(TokenKind) - {line.kind}:
            answer = await world.call(app, method, url, world.provider.token(sub="ada", scope=kind.scope), json=body)
            problem(answer, 403, "wrong-token-kind")
            assert f'scope="{line.kind.scope}"' in answer.headers["www-authenticate"]
    assert await world.trace() == before

    for app in apps:
        answer = await world.call(app, method, url, world.provider.token(sub="ada", scope=line.kind.scope), json=body)
        assert answer.status_code == line.status, answer.text


async def test_what_is_open_needs_no_token(world: World) -> None:
    for (method, path), line in ROUTES.items():
        if line.kind is None:
            answer = await world.call(world.api, method, url_of(path, line), None)
            assert answer.status_code == line.status, path


async def test_probes_metrics_and_consoles_are_not_outside(world: World) -> None:
    for app in (world.api, world.claims):
        for path in ("/livez", "/readyz", "/metrics", "/docs", "/redoc", "/admin", "/stats/"):
            problem(await world.call(app, "GET", path, None), 404, "not-found")


IMPERSONATION: dict[str, Callable[[str], Json]] = {
    "query": lambda user: {"params": {"user_id": user, "user": user, "sub": user, "subject": user}},
    "headers": lambda user: {"headers": {"X-User-Id": user, "X-Forwarded-User": user, "Remote-User": user}},
    "cookies": lambda user: {"headers": {"Cookie": f"user_id={user}; sub={user}"}},
}


@pytest.mark.parametrize("place", IMPERSONATION)
async def test_who_a_user_is_stands_in_the_token_only(world: World, place: str) -> None:
    ada = world.provider.token(sub="ada")
    pretending = IMPERSONATION[place]("bob")
    for path in USER_READS:
        plain = await world.call(world.api, "GET", path, ada)
        assert plain.status_code == 200
        assert (await world.call(world.api, "GET", path, ada, **pretending)).text == plain.text, path

    body = {"assignment_id": await world.completed("bob"), "user_id": "bob", "sub": "bob", "subject": "bob"}
    for app in (world.api, world.claims):
        problem(
            await world.call(app, "POST", "/missions/claim", ada, json=body, **pretending), 404, "assignment-not-found"
        )
    own = {**body, "assignment_id": await world.completed("ada")}
    assert (await world.call(world.api, "POST", "/missions/claim", ada, json=own, **pretending)).status_code == 200
    assert [tuple(row) for row in await world.pool.fetch("select user_id from reward_grant")] == [("ada",)]


async def test_what_is_another_users_looks_as_if_it_were_not_there(world: World) -> None:
    ada = world.provider.token(sub="ada")
    theirs = await world.completed("bob")
    unknown = theirs[:-1] + ("0" if theirs[-1] != "0" else "1")
    before = await world.trace()
    for app in (world.api, world.claims):
        answers = [
            await world.call(app, "POST", "/missions/claim", ada, json={"assignment_id": which})
            for which in (theirs, unknown)
        ]
        problem(answers[0], 404, "assignment-not-found")
        assert answers[0].content == answers[1].content
        assert answers[0].headers == answers[1].headers
    answers = [
        await world.call(world.api, "GET", "/questions/next", ada, params={"purpose": f"mission:{which}"})
        for which in (theirs, unknown)
    ]
    assert answers[0].content.replace(theirs.encode(), b"") == answers[1].content.replace(unknown.encode(), b"")
    assert await world.trace() == before


async def test_a_cursor_of_another_user_leads_to_ones_own(world: World) -> None:
    ada, bob = (world.provider.token(sub=user) for user in ("ada", "bob"))
    query = {"status": "all", "limit": "1"}
    theirs = (await world.call(world.api, "GET", "/missions", bob, params=query)).json()["next_cursor"]
    assert theirs
    page = await world.call(world.api, "GET", "/missions", ada, params={"status": "all", "cursor": theirs})
    mine = (await world.call(world.api, "GET", "/missions", ada, params={"status": "all"})).json()["missions"]
    assert {m["assignment_id"] for m in page.json()["missions"]} <= {m["assignment_id"] for m in mine}


def _part(data: Json) -> str:
    return _base64(json.dumps(data).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
