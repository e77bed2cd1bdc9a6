"""Says who calls: verifies bearer tokens (JWT), and mints them for development."""

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import jwt
from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from services.adapters.jwks import Jwks, loader
from services.adapters.token_keys import (
    DEVELOPMENT_ALGORITHM,
    DEVELOPMENT_KID,
    Algorithm,
    FixedKey,
    KeySource,
    TokenKeyError,
    UnknownKey,
    VerifyingKey,
    development_key,
    is_development_key,
    read_public_key,
)

CLOCK_LEEWAY = timedelta(seconds=30)
"""How far the clocks of the token's issuer and ours may differ."""

VERIFIED_TOKENS_MAX = 10_000
"""Tokens remembered as verified, about 10 MB: checking a signature costs as much as the rest of a read."""

SUBJECT_PATTERN = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
"""The contract's identifier pattern; a user id goes into keys, logs and events as it is."""

_SCOPE_PREFIX = "missions:"


class TokenKind(StrEnum):
    """Whom a token speaks for. A route is for one kind."""

    USER = "user"
    SERVICE = "service"
    ADMIN = "admin"

    @property
    def scope(self) -> str:
        """The word in the token's space-separated `scope` claim."""
        return _SCOPE_PREFIX + self.value


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a verified token speaks for: `subject` is the user id when `kind` is USER."""

    subject: str
    kind: TokenKind


class TokenError(Exception):
    """The token proves nothing; the message says why, in words that may be sent back."""


def _words(value: object) -> object:
    return [word.strip() for word in value.split(",")] if isinstance(value, str) else value


class TokenSettings(BaseSettings):
    """Whose tokens are accepted."""

    model_config = SettingsConfigDict(env_prefix="MISSIONS_", frozen=True, extra="ignore")

    environment: Literal["development", "production"] = Field(
        default="production",
        description="`development` accepts tokens signed with a key made on this machine",
    )
    jwt_issuer: str = Field(default="mission-system", description="The `iss` that tokens must have")
    jwt_audience: str = Field(default="missions", description="The `aud` that tokens must have")
    jwt_algorithms: Annotated[tuple[Algorithm, ...], NoDecode, BeforeValidator(_words)] = Field(
        default=("ES256",),
        min_length=1,
        description="What tokens may be signed with, of ES256, RS256 and EdDSA; several with commas between",
    )
    jwt_lifetime_seconds_max: int = Field(
        default=24 * 3600,
        ge=60,
        description="Longest time from `iat` to `exp`; a stolen token is good no longer than that",
    )
    jwt_jwks: str | None = Field(
        default=None, description="Keys that tokens are signed with, as a JWKS: an https address or a file"
    )
    jwt_jwks_fresh_seconds: float = Field(
        default=300,
        gt=0,
        description="The JWKS is fetched this often: a key that was removed there works no longer here",
    )
    jwt_jwks_stale_seconds: float = Field(
        default=6 * 3600,
        gt=0,
        description="Keys are believed for so long while the JWKS can't be fetched: learners go on through an outage of the "
        "identity provider, a key that it withdrew meanwhile too",
    )
    jwt_public_key_file: Path | None = Field(
        default=None, description="PEM file of the one public key that tokens are signed for, if there is no JWKS"
    )
    development_key_file: Path = Field(
        default=Path(".local/development-key.pem"), description="Private key of development, made when absent"
    )


class TokenVerifier:
    """Verifies tokens with the keys of one source."""

    def __init__(self, keys: KeySource, settings: TokenSettings) -> None:
        self.keys = keys
        self._settings = settings
        self._verified: dict[str, tuple[Caller, float]] = {}
        self._generation = keys.generation

    @classmethod
    def from_settings(cls, settings: TokenSettings) -> "TokenVerifier":
        """The verifier of a role. Raises `TokenKeyError` when there is no key or it is of another kind."""
        return cls(key_source(settings), settings)

    def remembered(self, token: str) -> Caller | None:
        """Who this token speaks for, if it was verified before and still holds. Costs nothing."""
        if self._generation != self.keys.generation:
            self._generation = self.keys.generation
            self._verified.clear()
        known = self._verified.get(token)
        return known[0] if known is not None and time.time() < known[1] else None

    async def verify(self, token: str) -> Caller:
        """Who this token speaks for. Raises `TokenError` when it is not valid, or not for us, and `KeysUnavailable`."""
        known = self.remembered(token)
        if known is not None:
            return known
        kid = _kid(token)
        if kid == DEVELOPMENT_KID and self._settings.environment != "development":
            raise TokenError("the token is one of development; get one from the identity provider")
        try:
            key = await self.keys.find(kid)
        except UnknownKey as error:
            raise TokenError(str(error)) from None
        claims = self._claims(token, key)
        caller = Caller(_subject(claims), _kind(claims))
        while len(self._verified) >= VERIFIED_TOKENS_MAX:
            del self._verified[next(iter(self._verified))]
        self._verified[token] = (caller, int(claims["exp"]) + CLOCK_LEEWAY.total_seconds())
        return caller

    def _claims(self, token: str, key: VerifyingKey) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                issuer=self._settings.jwt_issuer,
                audience=self._settings.jwt_audience,
                leeway=CLOCK_LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub", "scope"]},
            )
        except jwt.ExpiredSignatureError:
            raise TokenError("the token has expired; get a new one") from None
        except jwt.InvalidAlgorithmError:
            raise TokenError(f"the token is not signed with {key.algorithm}") from None
        except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError) as error:
            raise TokenError(f"the token is not valid: {error}") from None
        lifetime = int(claims["exp"]) - int(claims.get("iat", time.time()))
        longest = self._settings.jwt_lifetime_seconds_max
        if lifetime > longest + CLOCK_LEEWAY.total_seconds():
            raise TokenError(f"the token holds for longer than {longest} seconds")
        return claims


def key_source(settings: TokenSettings) -> KeySource:
    """The keys to verify with: the JWKS or the file that is set, else development's own. Raises `TokenKeyError`."""
    development = settings.environment == "development"
    if settings.jwt_jwks is not None:
        return Jwks(
            loader(settings.jwt_jwks, allow_plain_http=development),
            settings.jwt_algorithms,
            fresh_seconds=settings.jwt_jwks_fresh_seconds,
            stale_seconds=settings.jwt_jwks_stale_seconds,
            allow_development=development,
        )
    if settings.jwt_public_key_file is not None:
        key = read_public_key(settings.jwt_public_key_file, settings.jwt_algorithms)
        if not development and is_development_key(key.key, settings.development_key_file):
            raise TokenKeyError(
                f"{settings.jwt_public_key_file} is the development key, whose private half lies on a disk",
                "set MISSIONS_JWT_PUBLIC_KEY_FILE to the key of your identity provider",
            )
        return FixedKey(key)
    if not development:
        raise TokenKeyError(
            "there is no key to verify tokens with",
            "set MISSIONS_JWT_JWKS to the JWKS address of your identity provider, or MISSIONS_JWT_PUBLIC_KEY_FILE to a "
            "PEM file with its public key, or MISSIONS_ENVIRONMENT=development to accept tokens of `missions token`",
        )
    key = VerifyingKey(development_key(settings.development_key_file).public_key(), DEVELOPMENT_ALGORITHM)
    return FixedKey(key)


def mint(settings: TokenSettings, subject: str | None, kind: TokenKind, lifetime: timedelta) -> str:
    """A token of the development key, valid from now on for `lifetime`.

    Only a user's token needs a `subject`. Raises `TokenKeyError` outside development, and ValueError for a subject
    that is missing or no id.
    """
    if settings.environment != "development":
        raise TokenKeyError(
            "tokens are minted only in development",
            "set MISSIONS_ENVIRONMENT=development, or ask your identity provider for one",
        )
    if subject is None and kind is TokenKind.USER:
        raise ValueError("A user's token needs the user id: missions token --user USER_ID")
    name = subject if subject is not None else f"development-{kind}"
    if not SUBJECT_PATTERN.fullmatch(name):
        raise ValueError(f"{name!r} is no id: use 1 to 128 of the characters A-Z a-z 0-9 _ . : -")
    now = datetime.now(UTC)
    claims = {
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "sub": name,
        "scope": kind.scope,
        "iat": now,
        "exp": now + lifetime,
    }
    key = development_key(settings.development_key_file)
    return jwt.encode(claims, key, algorithm=DEVELOPMENT_ALGORITHM, headers={"kid": DEVELOPMENT_KID})


def _kid(token: str) -> str | None:
    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except (jwt.InvalidTokenError, ValueError, TypeError) as error:
        raise TokenError(f"the token is not valid: {error}") from None
    return kid if isinstance(kid, str) else None


def _subject(claims: dict[str, Any]) -> str:
    subject = claims["sub"]
    if not isinstance(subject, str) or not SUBJECT_PATTERN.fullmatch(subject):
        raise TokenError("the token's `sub` must be 1 to 128 of the characters A-Z a-z 0-9 _ . : -")
    return subject


def _kind(claims: dict[str, Any]) -> TokenKind:
    scope = claims["scope"]
    words = scope.split() if isinstance(scope, str) else []
    kinds = [kind for kind in TokenKind if kind.scope in words]
    if len(kinds) != 1:
        raise TokenError(f"the token's `scope` must name exactly one of {', '.join(kind.scope for kind in TokenKind)}")
    return kinds[0]
