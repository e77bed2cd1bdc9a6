"""Input that means harm, in every place that takes any: an answer below 500, no line of the log split, no secret in it."""

import asyncio
import json
import os
import random
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest

from services.adapters.ledger.connection import Pool
from services.adapters.projection import Projection
from services.adapters.tokens import TokenKind
from services.stack.server import Addresses
from tests.support.events import lesson
from tests.support.http import Client, Upstreams
from tests.support.roles import HttpRoles
from tests.support.routes import LETTER, LIVE, ROUTES, Line, url_of

PAYLOADS = {
    "sql": "'; drop table outbox; --",
    "sql union": "x' or '1'='1' union select null --",
    "dollar quote": "$$; select pg_sleep(10); $$",
    "lua": '"]] redis.call("FLUSHALL") --[[',
    "redis protocol": "\r\n*1\r\n$8\r\nFLUSHALL\r\n",
    "redis glob": "missions:{*}",
    "crlf": "a\r\nX-Injected: yes\r\n\r\n{}",
    "log line": 'a\n{"level": "info", "event": "injected"}',
    "terminal": "\x1b[2J\x1b]0;injected\x07",
    "path": "../../../../etc/passwd",
    "path encoded": "..%2f..%2f..%00",
    "nul": "a\x00b",
    "format": "%s%n{0.__class__.__init__.__globals__}{{7*7}}${jndi:ldap://127.0.0.1:1/a}",
    "html": "<script>alert(1)</script>",
    "combining": "a" + "\u0301" * 2000,
    "astral": "\U0001f9d9" * 2000,
    "right to left": "\u202egnp.exe",
    "full width": "\uff07 OR 1=1",
    "not a character": "\ufffe\uffff",
    "long": "x" * 20_000,
    "number": "1e400",
    "array": "a[$ne]=1",
}
CALLS = 1000
"""Of the thousands that there are; `make fuzz-api` makes all."""

SURROGATE = b'{"assignment_id": "\\ud800", "id": "\\udfff", "reason": "\\ud800"}'
ODD_BODIES = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"[" * 5000,
    b'{"a":' * 5000,
    b"1e999999",
    b"-" + b"9" * 5000,
    b'"\xff\xfe"',
    b"\xef\xbb\xbf{}",
    b'{"id": 1, "id": 2}',
    b"NaN",
    SURROGATE,
]


@dataclass(frozen=True)
class Roles:
    """Both HTTP roles, running, with their logs; calls are made by Ada."""

    http: httpx.AsyncClient
    claims_url: str
    logs: list[Path]
    tokens: dict[TokenKind, str]

    def headers(self, line: Line) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[line.kind]}"} if line.kind else {}


@pytest.fixture
async def roles(http_roles: HttpRoles, api: Client, upstreams: Upstreams) -> AsyncIterator[Roles]:
    await upstreams.send("ada", lesson())
    tokens = {kind: api.headers(kind, "ada")["Authorization"].removeprefix("Bearer ") for kind in TokenKind}
    async with httpx.AsyncClient(base_url=http_roles.url, timeout=120) as http:
        yield Roles(http, http_roles.claims_url, http_roles.logs, tokens)


def places(value: Any, payload: str) -> Iterator[Any]:
    """The value with the payload in each place, one at a time: every member's value, every name, the whole."""
    yield payload
    if isinstance(value, dict):
        for key, inner in value.items():
            for changed in places(inner, payload):
                yield {**value, key: changed}
        yield {**value, payload: 1}
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            for changed in places(inner, payload):
                yield [*value[:index], changed, *value[index + 1 :]]


def header_safe(payload: str) -> bytes:
    """What a client library lets through; what it does not is tested with raw bytes elsewhere."""
    return payload.encode()[:4000].replace(b"\r", b"").replace(b"\n", b"").replace(b"\x00", b"")


Call = tuple[Line, str, str, dict[str, Any]]
"""(line, method, url, arguments)"""


def calls_with(payload: str, document: dict[str, Any]) -> Iterator[Call]:
    """Calls of every route, with the payload in one of its path, parameters, headers and body's places."""
    in_path, hostile = quote(payload[:2000], safe=""), header_safe(payload)
    for (method, path), line in ROUTES.items():
        url = url_of(path, line)
        json_body = {"json": line.body} if line.body is not None else {}
        for name in re.findall(r"{(\w+)}", path):
            others = {**LETTER, "mission_id": LIVE, "version": "1"}
            yield line, method, path.replace(f"{{{name}}}", in_path).format(**others), json_body
        described = document["paths"].get(path, {}).get(method.lower(), {}).get("parameters", [])
        for parameter in described:
            if parameter["in"] == "query":
                yield line, method, url, {"params": {parameter["name"]: payload[:4000]}, **json_body}
            elif parameter["in"] == "header":
                yield line, method, url, {"headers": {parameter["name"]: hostile}, **json_body}
        if method in ("POST", "PUT"):
            yield line, method, url, {"headers": {"Content-Type": hostile}, "content": b"{}"}
            for body in places(line.body if line.body is not None else {"reason": "a", "now": "a"}, payload):
                yield line, method, url, {"json": body}
    for name in ("X-Forwarded-For", "traceparent", "Authorization", "Host", "X-Request-Id"):
        yield ROUTES["GET", "/missions"], "GET", "/missions", {"headers": {name: hostile}}


@pytest.mark.timeout(600)
async def test_hostile_text_in_any_place_does_no_harm(
    roles: Roles, pool: Pool, projection: Projection, addresses: Addresses
) -> None:
    marker = secrets.token_hex(8)
    redis = projection._redis
    await redis.set(f"marker-{marker}", b"1", ex=600)
    http = roles.http
    turn = asyncio.Semaphore(16)
    failed: list[str] = []

    async def attempt(line: Line, method: str, url: str, arguments: dict[str, Any]) -> None:
        headers = {**roles.headers(line), **arguments.pop("headers", {})}
        async with turn:
            try:
                answer = await http.request(method, url, headers=headers, **arguments)
            except httpx.TransportError as error:
                failed.append(f"{method} {url[:300]} {str(arguments)[:300]} -> {error!r}")
                return
        if answer.status_code >= 500 or "x-injected" in answer.headers:
            failed.append(f"{method} {url} {str(arguments)[:300]} -> {answer.status_code} {answer.text[:300]}")

    document = (await http.get("/openapi.json")).json()
    calls = [call for payload in PAYLOADS.values() for call in calls_with(payload, document)]
    assert len(calls) > 3000
    if "MISSIONS_FUZZ_SECONDS" not in os.environ:
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        calls = random.Random(seed).sample(calls, CALLS)
    async with asyncio.TaskGroup() as group:
        for line, method, url, arguments in calls:
            group.create_task(attempt(line, method, url, dict(arguments)))
        for (method, path), line in ROUTES.items():
            if method in ("POST", "PUT"):
                for body in ODD_BODIES:
                    headers = {"Content-Type": "application/json"}
                    group.create_task(attempt(line, method, url_of(path, line), {"content": body, "headers": headers}))
    assert failed == []
    assert await redis.get(f"marker-{marker}") == b"1", "nobody flushed Redis"
    assert await pool.fetchval("select count(*) from outbox") is not None
    check_logs(roles, addresses)


def check_logs(roles: Roles, addresses: Addresses) -> None:
    """Each line is one record that we wrote, and none has a secret."""
    password = urlsplit(addresses.postgres_dsn).password
    hidden = [*roles.tokens.values(), *(token.split(".")[2] for token in roles.tokens.values())]
    for log in roles.logs:
        text = log.read_text()
        for line in text.splitlines():
            record = json.loads(line)
            assert {"ts", "level", "service", "event"} <= set(record), line
            assert record["event"] != "injected"
        assert not any(secret in text for secret in hidden)
        assert not password or password not in text


async def test_tokens_stay_out_of_the_logs_when_calls_fail(roles: Roles, addresses: Addresses) -> None:
    http, user = roles.http, roles.tokens[TokenKind.USER]
    headers = {"Authorization": f"Bearer {user}"}
    for token in (user[:-2], user + "x", f"{user} {user}", user.replace(".", "..")):
        assert (await http.get("/missions", headers={"Authorization": f"Bearer {token}"})).status_code == 401
    await http.get(f"/missions/{user}", headers=headers)
    await http.get("/missions", headers=headers, params={"access_token": user, "cursor": user})
    await http.post("/missions/claim", headers={**headers, "Idempotency-Key": user[:255]}, json={"assignment_id": user})
    async with httpx.AsyncClient(base_url=roles.claims_url) as claims:
        await claims.post("/missions/claim", headers={"Authorization": f"Bearer {user[:-2]}"}, json={})
    check_logs(roles, addresses)
