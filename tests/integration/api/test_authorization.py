"""Who may call what: every route with every kind of token, and with tokens that prove nothing."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from fastapi import FastAPI
from fastapi.routing import APIRoute

from services.adapters.tokens import TokenKind, TokenSettings, development_key, mint, public_key
from services.api.app import Parts, create_app
from services.api.forward_claims import claims_client
from services.claims.app import create_app as create_claims_app
from services.claims.claim_reward import ClaimReward
from tests.support.http import Clock, problem

CALLS = {
    ("GET", "/missions"): TokenKind.USER,
    ("GET", "/streak"): TokenKind.USER,
    ("GET", "/rewards"): TokenKind.USER,
    ("POST", "/missions/claim"): TokenKind.USER,
    ("POST", "/missions/progress"): TokenKind.SERVICE,
    ("POST", "/missions/resetDaily"): TokenKind.SERVICE,
    ("POST", "/missions/resetWeekly"): TokenKind.SERVICE,
    ("GET", "/admin/missions"): TokenKind.ADMIN,
    ("POST", "/admin/missions"): TokenKind.ADMIN,
    ("POST", "/admin/missions/validate"): TokenKind.ADMIN,
    ("GET", "/admin/missions/{mission_id}"): TokenKind.ADMIN,
    ("PUT", "/admin/missions/{mission_id}/draft"): TokenKind.ADMIN,
    ("DELETE", "/admin/missions/{mission_id}/draft"): TokenKind.ADMIN,
    ("POST", "/admin/missions/{mission_id}/schedule"): TokenKind.ADMIN,
    ("POST", "/admin/missions/{mission_id}/publish"): TokenKind.ADMIN,
    ("POST", "/admin/missions/{mission_id}/pause"): TokenKind.ADMIN,
    ("POST", "/admin/missions/{mission_id}/resume"): TokenKind.ADMIN,
    ("POST", "/admin/missions/{mission_id}/end"): TokenKind.ADMIN,
    ("PUT", "/admin/missions/{mission_id}/versions/{version}"): TokenKind.ADMIN,
}
OPEN_TO_ALL = {("GET", "/problems/{name}")}


@pytest.fixture
async def apps(parts: Parts, claim_reward: ClaimReward, clock: Clock) -> AsyncIterator[list[FastAPI]]:
    """Both HTTP roles, the api with forwarding."""
    nowhere = claims_client("http://127.0.0.1:9")
    yield [
        create_app(replace(parts, claims=nowhere), clock),
        create_claims_app(claim_reward, parts.verifier, clock),
    ]
    await nowhere.aclose()


async def call(app: FastAPI, method: str, path: str, authorization: str | None) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        headers = {} if authorization is None else {"Authorization": authorization}
        body: dict[str, Any] = {"json": {}} if method == "POST" else {}
        return await http.request(method, path, headers=headers, **body)


def calls_of(app: FastAPI) -> set[tuple[str, str]]:
    document = app.openapi()
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    hidden = {
        (method, route.path)
        for route in app.routes
        if isinstance(route, APIRoute) and not route.include_in_schema
        for method in route.methods or ()
    }
    return described | hidden


async def test_every_call_of_both_roles_is_in_this_matrix(apps: list[FastAPI]) -> None:
    api, claims = apps
    assert calls_of(api) == set(CALLS) | OPEN_TO_ALL
    assert calls_of(claims) == {("POST", "/missions/claim")} | OPEN_TO_ALL


@pytest.mark.parametrize(("method", "path"), CALLS, ids=[" ".join(call) for call in CALLS])
async def test_a_call_takes_one_kind_of_token(
    apps: list[FastAPI], tokens: TokenSettings, method: str, path: str
) -> None:
    for app in apps:
        if (method, path) not in calls_of(app):
            continue
        for kind in TokenKind:
            token = mint(tokens, "somebody", kind, timedelta(hours=1))
            response = await call(app, method, path, f"Bearer {token}")
            if kind is CALLS[method, path]:
                assert response.status_code not in (401, 403), response.text
            else:
                problem(response, 403, "wrong-token-kind")
                assert f'scope="missions:{CALLS[method, path]}"' in response.headers["www-authenticate"]
        problem(await call(app, method, path, None), 401, "missing-token")


def bad_tokens(tokens: TokenSettings, kind: TokenKind) -> dict[str, str]:
    """Tokens that must prove nothing, each nearly a good one."""
    now = datetime.now(UTC)
    good = {
        "iss": tokens.jwt_issuer,
        "aud": tokens.jwt_audience,
        "sub": "somebody",
        "scope": kind.scope,
        "exp": now + timedelta(hours=1),
    }
    key = development_key(tokens.development_key_file)

    def signed(**changes: Any) -> str:
        return jwt.encode(good | changes, key, algorithm="ES256")

    pem = public_key(tokens).public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    claims = signed().split(".")[1]
    hs256 = f"{_base64(json.dumps({'alg': 'HS256', 'typ': 'JWT'}).encode())}.{claims}"
    return {
        "expired": signed(exp=now - timedelta(minutes=5)),
        "for another audience": signed(aud="lessons"),
        "from another issuer": signed(iss="somebody-else"),
        "without a subject": signed(sub=""),
        "with a crafted subject": signed(sub="a\r\nX-User: b"),
        "unsigned": f"{_base64(json.dumps({'alg': 'none'}).encode())}.{claims}.",
        "signed with the public key": f"{hs256}.{_base64(hmac.new(pem, hs256.encode(), hashlib.sha256).digest())}",
        "cut off": signed()[:-4],
    }


@pytest.mark.parametrize(("method", "path"), CALLS, ids=[" ".join(call) for call in CALLS])
async def test_a_token_that_proves_nothing_opens_nothing(
    apps: list[FastAPI], tokens: TokenSettings, method: str, path: str
) -> None:
    for app in apps:
        if (method, path) in calls_of(app):
            for name, token in bad_tokens(tokens, CALLS[method, path]).items():
                response = await call(app, method, path, f"Bearer {token}")
                assert response.status_code == 401, name
                problem(response, 401, "invalid-token")
                assert 'error="invalid_token"' in response.headers["www-authenticate"], name


async def test_probes_and_metrics_are_not_outside(apps: list[FastAPI]) -> None:
    for app in apps:
        for path in ("/livez", "/readyz", "/metrics", "/docs", "/redoc", "/admin"):
            problem(await call(app, "GET", path, None), 404, "not-found")


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
