"""Says who calls: verifies bearer tokens (JWT, ES256 only), and mints them for development."""

import os
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ALGORITHM = "ES256"
"""The only algorithm, whatever a token's header says: `none` and the public key used as a secret get nowhere."""

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


class TokenKeyError(Exception):
    """There is no usable key. `fix` says what to do about it."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}. Fix: {fix}")
        self.problem = problem
        self.fix = fix


class TokenSettings(BaseSettings):
    """Whose tokens are accepted."""

    model_config = SettingsConfigDict(env_prefix="MISSIONS_", frozen=True, extra="ignore")

    environment: Literal["development", "production"] = Field(
        default="production",
        description="`development` accepts tokens signed with a key made on this machine",
    )
    jwt_issuer: str = Field(default="mission-system", description="The `iss` that tokens must have")
    jwt_audience: str = Field(default="missions", description="The `aud` that tokens must have")
    jwt_public_key_file: Path | None = Field(
        default=None, description="PEM file of the EC P-256 public key that tokens are signed for"
    )
    development_key_file: Path = Field(
        default=Path(".local/development-key.pem"), description="Private key of development, made when absent"
    )


class TokenVerifier:
    """Verifies tokens against one public key. Raises nothing but `TokenError`."""

    def __init__(
        self,
        public_key: ec.EllipticCurvePublicKey,
        issuer: str,
        audience: str,
    ) -> None:
        self._key = public_key
        self._issuer = issuer
        self._audience = audience
        self._verified: dict[str, tuple[Caller, float]] = {}

    @classmethod
    def from_settings(cls, settings: TokenSettings) -> "TokenVerifier":
        """The verifier of a role. Raises `TokenKeyError` when there is no key or it is of another kind."""
        return cls(public_key(settings), settings.jwt_issuer, settings.jwt_audience)

    def verify(self, token: str) -> Caller:
        """Who this token speaks for. Raises `TokenError` when it is not valid, or not for us."""
        known = self._verified.get(token)
        if known is not None and time.time() < known[1]:
            return known[0]
        claims = self._claims(token)
        caller = Caller(_subject(claims), _kind(claims))
        while len(self._verified) >= VERIFIED_TOKENS_MAX:
            del self._verified[next(iter(self._verified))]
        self._verified[token] = (caller, int(claims["exp"]) + CLOCK_LEEWAY.total_seconds())
        return caller

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                leeway=CLOCK_LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub", "scope"]},
            )
        except jwt.ExpiredSignatureError:
            raise TokenError("the token has expired; get a new one") from None
        except jwt.InvalidAlgorithmError:
            raise TokenError(f"the token is not signed with {ALGORITHM}") from None
        except (jwt.InvalidTokenError, ValueError, TypeError) as error:
            raise TokenError(f"the token is not valid: {error}") from None
        return claims


def public_key(settings: TokenSettings) -> ec.EllipticCurvePublicKey:
    """The key to verify with: the file that is set, else development's own. Raises `TokenKeyError`.

    Keys from an identity provider's JWKS address belong here, chosen by the token's `kid`.
    """
    if settings.jwt_public_key_file is not None:
        return _read_public_key(settings.jwt_public_key_file)
    if settings.environment != "development":
        raise TokenKeyError(
            "there is no key to verify tokens with",
            "set MISSIONS_JWT_PUBLIC_KEY_FILE to a PEM file with the P-256 public key of your identity provider, "
            "or MISSIONS_ENVIRONMENT=development to accept tokens of `missions token`",
        )
    return development_key(settings.development_key_file).public_key()


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
    return jwt.encode(claims, development_key(settings.development_key_file), algorithm=ALGORITHM)


def development_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The private key at `path`, made there if absent. Processes that start at once get the same one."""
    try:
        if not path.exists():
            _make_key(path)
    except OSError as error:
        raise TokenKeyError(
            f"the development key {path} can't be made: {error.strerror}",
            "set MISSIONS_DEVELOPMENT_KEY_FILE to a path that can be written",
        ) from error
    key = _load(path, lambda pem: serialization.load_pem_private_key(pem, password=None))
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise TokenKeyError(f"{path} holds no P-256 private key", "delete it: a new one is made at the next start")
    return key


def _make_key(path: Path) -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # readable by its owner only
    written = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        try:
            path.hardlink_to(written)  # unlike a rename, it leaves the key of whoever was first
        except FileExistsError:
            return
    finally:
        written.unlink()


def _read_public_key(path: Path) -> ec.EllipticCurvePublicKey:
    key = _load(path, serialization.load_pem_public_key)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise TokenKeyError(
            f"{path} holds another kind of key than EC P-256, which {ALGORITHM} needs",
            "set MISSIONS_JWT_PUBLIC_KEY_FILE to the PEM file of such a key",
        )
    return key


def _load(path: Path, parse: Callable[[bytes], object]) -> object:
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise TokenKeyError(
            f"the key file {path} can't be read: {error.strerror}", "check the path and the file's mode"
        ) from error
    except (ValueError, TypeError) as error:
        raise TokenKeyError(f"{path} holds no key: {error}", "put a key in PEM form there") from error


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
