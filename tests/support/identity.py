"""An identity provider: publishes its keys as a JWKS over HTTP, signs tokens with them, and rotates them when a test says so."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.adapters.http_server import HttpServer, running

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def ec_key() -> ec.EllipticCurvePrivateKey:
    """A new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


class IdentityProvider:
    """Signs for the issuer and audience of the default settings."""

    def __init__(self) -> None:
        self.keys: dict[str, PrivateKey] = {"key-1": ec_key()}
        self.extra: list[Any] = []
        """More entries of the set, as they are."""
        self.body: bytes | None = None
        """Sent in place of the set."""
        self.status = 200
        self.fetches = 0
        self.port = 0

    @property
    def url(self) -> str:
        """Where the JWKS is."""
        return f"http://127.0.0.1:{self.port}/jwks.json"

    def jwks(self) -> dict[str, list[Any]]:
        """The public keys."""
        return {"keys": [*(_public(kid, key) for kid, key in self.keys.items()), *self.extra]}

    def token(self, kid: str | None = "key-1", *, key: PrivateKey | None = None, **changes: Any) -> str:
        """A token as a user's, but for `changes`; a claim that is None is left out."""
        now = datetime.now(UTC)
        claims = {
            "iss": "mission-system",
            "aud": "missions",
            "sub": "user-1",
            "scope": "missions:user",
            "iat": now,
            "exp": now + timedelta(hours=1),
            **changes,
        }
        kept = {name: value for name, value in claims.items() if value is not None}
        signing = key or self.keys[kid or "key-1"]
        return jwt.encode(kept, signing, algorithm=_algorithm(signing), headers={"kid": kid} if kid else {})

    @asynccontextmanager
    async def answering(self, port: int = 0) -> AsyncIterator["IdentityProvider"]:
        """Serves the JWKS while the block runs."""
        app = Starlette(routes=[Route("/jwks.json", self._answer)])
        server = HttpServer(app, "127.0.0.1", port, variable="PORT", drain_seconds=1)
        async with running(server):
            self.port = server.port
            yield self

    async def _answer(self, _request: Request) -> Response:
        self.fetches += 1
        body = self.body if self.body is not None else json.dumps(self.jwks()).encode()
        return Response(body, self.status, media_type="application/jwk-set+json")


def _algorithm(key: PrivateKey) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256"
    return "EdDSA" if isinstance(key, ed25519.Ed25519PrivateKey) else "ES256"


def _public(kid: str, key: PrivateKey) -> dict[str, Any]:
    algorithm = get_default_algorithms()[_algorithm(key)]
    entry: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
    return {**entry, "kid": kid, "use": "sig", "alg": _algorithm(key)}
