"""The keys of an identity provider, by `kid`: fetched as a JWKS, kept for a bounded time, and never fetched at a caller's pace."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt

from services.adapters.logs import get_logger
from services.adapters.metrics import TOKEN_KEY_FETCHES
from services.adapters.token_keys import (
    DEVELOPMENT_KID,
    Algorithm,
    KeysUnavailable,
    PublicKey,
    TokenKeyError,
    UnknownKey,
    VerifyingKey,
    algorithm_of,
)

UNKNOWN_KID_SECONDS = 10.0
"""A token with an unknown `kid` makes us look for new keys at most this often: invented ones must not become a flood at the
provider's door. A key that was published after we last looked is so found within this time."""

RETRY_SECONDS = 10.0
"""Between two tries while the provider is away."""

FETCH_SECONDS_MAX = 5.0
"""A provider answers within milliseconds. Callers with an unknown `kid` wait so long for it, others not at all."""

JWKS_BYTES_MAX = 256 * 1024
"""A key has about 500 bytes."""

KEYS_MAX = 100
"""Providers have two or three keys in use at once."""

KID_CHARACTERS_MAX = 256
"""Kids are thumbprints or dates."""

LOOPBACK = ("127.0.0.1", "::1", "localhost")

Load = Callable[[], Awaitable[bytes]]

_log = get_logger(__name__)


class JwksUnreadable(Exception):
    """What was fetched is no JWKS."""


class Jwks:
    """The keys that a JWKS held when it was last fetched."""

    def __init__(
        self,
        load: Load,
        algorithms: Collection[Algorithm],
        *,
        fresh_seconds: float,
        stale_seconds: float,
        allow_development: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Fetched every `fresh_seconds`; believed for `stale_seconds` when that fails."""
        self._load = load
        self._algorithms = algorithms
        self._fresh_seconds = fresh_seconds
        self._stale_seconds = stale_seconds
        self._allow_development = allow_development
        self._clock = clock
        self._keys: dict[str, VerifyingKey] = {}
        self._loaded_at: float | None = None
        self._tried_at: float | None = None
        self._fetching = asyncio.Lock()
        self.generation = 0

    async def find(self, kid: str | None) -> VerifyingKey:
        """The key that a token names. Raises `UnknownKey` or `KeysUnavailable`."""
        if kid is None or len(kid) > KID_CHARACTERS_MAX:
            raise UnknownKey("the token's header must name its key (`kid`)")
        self._forget_stale()
        if kid not in self._keys and self._may_look():
            async with self._fetching:
                if kid not in self._keys and self._may_look():
                    await self._fetch()
        if kid in self._keys:
            return self._keys[kid]
        if self._loaded_at is None:
            raise KeysUnavailable
        raise UnknownKey("the token is signed with a key that its issuer does not publish")

    def trouble(self) -> str | None:
        """Why no token can be verified now; None while some can."""
        self._forget_stale()
        return None if self._keys else "no key to verify tokens with: the identity provider's JWKS can't be had"

    async def watch(self) -> None:
        """Fetches the keys now, and again whenever they are no longer fresh, until it is cancelled."""
        while True:
            async with self._fetching:
                succeeded = await self._fetch()
            await asyncio.sleep(self._fresh_seconds if succeeded else min(RETRY_SECONDS, self._fresh_seconds))
            self._forget_stale()

    def _may_look(self) -> bool:
        return self._tried_at is None or self._clock() - self._tried_at >= UNKNOWN_KID_SECONDS

    def _forget_stale(self) -> None:
        if self._loaded_at is not None and self._clock() - self._loaded_at > self._stale_seconds:
            _log.error("token_keys_stale", seconds=self._stale_seconds)
            self._loaded_at = None
            self._replace({})

    async def _fetch(self) -> bool:
        self._tried_at = self._clock()
        try:
            async with asyncio.timeout(FETCH_SECONDS_MAX):
                keys = self._parse(await self._load())
        except (httpx.HTTPError, OSError, TimeoutError, JwksUnreadable) as error:
            TOKEN_KEY_FETCHES.labels("failed").inc()
            _log.warning("token_keys_not_fetched", error=repr(error), keys=len(self._keys))
            return False
        TOKEN_KEY_FETCHES.labels("succeeded").inc()
        self._loaded_at = self._clock()
        self._replace(keys)
        return True

    def _replace(self, keys: dict[str, VerifyingKey]) -> None:
        if keys == self._keys:
            return
        _log.info("token_keys_changed", kids=sorted(keys), before=sorted(self._keys))
        if any(keys.get(kid) != key for kid, key in self._keys.items()):
            self.generation += 1
        self._keys = keys

    def _parse(self, body: bytes) -> dict[str, VerifyingKey]:
        try:
            listed = json.loads(body)["keys"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise JwksUnreadable(f"no JWKS: {error!r}") from error
        if not isinstance(listed, list) or len(listed) > KEYS_MAX:
            raise JwksUnreadable(f"`keys` is not a list of at most {KEYS_MAX} keys")
        keys: dict[str, VerifyingKey] = {}
        for entry in listed:
            kid, key = self._usable(entry)
            if key is not None:
                keys.setdefault(kid, key)
        return keys

    def _usable(self, entry: Any) -> tuple[str, VerifyingKey | None]:
        """A key that verifies tokens, with its `kid`. Sets hold others too, and keys of algorithms that were not chosen."""
        if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str):
            return "", None
        kid = entry["kid"]
        is_ours = self._allow_development or kid != DEVELOPMENT_KID
        if not is_ours or entry.get("use", "sig") != "sig" or entry.get("kty") not in ("EC", "RSA", "OKP"):
            return kid, None
        try:
            key = jwt.PyJWK(entry).key
        except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
            _log.warning("token_key_unreadable", kid=kid, error=repr(error))
            return kid, None
        algorithm = algorithm_of(key, self._algorithms)
        if algorithm is None or entry.get("alg", algorithm) != algorithm or not isinstance(key, PublicKey):
            return kid, None
        return kid, VerifyingKey(key, algorithm)


def loader(source: str, *, allow_plain_http: bool) -> Load:
    """Reads a JWKS from an address or a file. Raises `TokenKeyError` for one that can't be meant."""
    url = urlsplit(source)
    if url.scheme in ("http", "https"):
        if url.scheme == "http" and not allow_plain_http and url.hostname not in LOOPBACK:
            raise TokenKeyError(
                f"MISSIONS_JWT_JWKS={source} has no TLS: whoever is on the way could put in a key of their own",
                "use the https address",
            )
        return lambda: _download(source)
    path = Path(source)
    if not path.is_file():
        raise TokenKeyError(f"there is no JWKS file {path}", "set MISSIONS_JWT_JWKS to a file or an https address")
    return lambda: asyncio.to_thread(path.read_bytes)


async def _download(url: str) -> bytes:
    body = bytearray()
    async with httpx.AsyncClient(timeout=FETCH_SECONDS_MAX) as http, http.stream("GET", url) as answer:
        if answer.status_code != httpx.codes.OK:
            raise JwksUnreadable(f"the provider answered {answer.status_code}")
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > JWKS_BYTES_MAX:
                raise JwksUnreadable(f"more than {JWKS_BYTES_MAX} bytes")
    return bytes(body)
