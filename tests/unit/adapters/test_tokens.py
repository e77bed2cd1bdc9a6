"""Who gets in: tokens that prove something, and all the ways in which a token can pretend to."""

import base64
import hashlib
import hmac
import json
import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from services.adapters.token_keys import TokenKeyError, development_key
from services.adapters.tokens import (
    CLOCK_LEEWAY,
    Caller,
    TokenError,
    TokenKind,
    TokenSettings,
    TokenVerifier,
    mint,
)

HOUR = timedelta(hours=1)


@pytest.fixture
def settings(tmp_path: Path) -> TokenSettings:
    return TokenSettings(environment="development", development_key_file=tmp_path / "made" / "key.pem")


@pytest.fixture
def verifier(settings: TokenSettings) -> TokenVerifier:
    return TokenVerifier.from_settings(settings)


@pytest.fixture
def sign(settings: TokenSettings) -> Callable[..., str]:
    """Signs claims with the right key; a claim set to None is left out."""

    def signed(**changes: Any) -> str:
        now = datetime.now(UTC)
        claims = {
            "iss": "mission-system",
            "aud": "missions",
            "sub": "user-1",
            "scope": "missions:user",
            "iat": now,
            "exp": now + HOUR,
            **changes,
        }
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(kept, development_key(settings.development_key_file), algorithm="ES256")

    return signed


@pytest.mark.parametrize("kind", TokenKind)
async def test_a_minted_token_says_who_calls(settings: TokenSettings, verifier: TokenVerifier, kind: TokenKind) -> None:
    token = mint(settings, "user-42", kind, HOUR)
    assert await verifier.verify(token) == Caller("user-42", kind)
    assert await verifier.verify(token) == Caller("user-42", kind), "and again, from memory"


async def test_services_and_operators_need_no_name(settings: TokenSettings, verifier: TokenVerifier) -> None:
    assert (await verifier.verify(mint(settings, None, TokenKind.SERVICE, HOUR))).kind is TokenKind.SERVICE
    with pytest.raises(ValueError, match="user id"):
        mint(settings, None, TokenKind.USER, HOUR)


async def test_a_token_may_have_other_scopes_and_audiences(verifier: TokenVerifier, sign: Callable[..., str]) -> None:
    token = sign(scope="openid missions:user profile", aud=["lessons", "missions"])
    assert await verifier.verify(token) == Caller("user-1", TokenKind.USER)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"exp": datetime.now(UTC) - CLOCK_LEEWAY - HOUR}, "expired"),
        ({"exp": None}, "exp"),
        ({"exp": "tomorrow"}, "exp"),
        ({"aud": "other"}, "udience"),
        ({"aud": None}, "aud"),
        ({"iss": "somebody"}, "ssuer"),
        ({"iss": None}, "iss"),
        ({"sub": None}, "sub"),
        ({"sub": ""}, "sub"),
        ({"sub": "a b"}, "sub"),
        ({"sub": "user-1\n"}, "sub"),
        ({"sub": "x" * 129}, "sub"),
        ({"scope": None}, "scope"),
        ({"scope": "openid"}, "scope"),
        ({"scope": "missions:user missions:admin"}, "scope"),
        ({"scope": ["missions:user"]}, "scope"),
        ({"nbf": datetime.now(UTC) + HOUR}, "not yet valid"),
        ({"exp": datetime.now(UTC) + 25 * HOUR}, "longer than 86400 seconds"),
        ({"exp": datetime.now(UTC) + 25 * HOUR, "iat": None}, "longer than 86400 seconds"),
        ({"exp": 10**30}, "not valid|longer"),
    ],
    # Two workers that share the tests must find the same names: an instant has none.
    ids=lambda value: json.dumps(value, default=lambda _: "an instant") if isinstance(value, dict) else "",
)
async def test_claims_that_prove_nothing_are_refused(
    verifier: TokenVerifier, sign: Callable[..., str], changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(TokenError, match=says):
        await verifier.verify(sign(**changes))


async def test_a_remembered_token_still_expires(verifier: TokenVerifier, sign: Callable[..., str]) -> None:
    almost_over = sign(exp=datetime.now(UTC) - CLOCK_LEEWAY + timedelta(seconds=2))
    await verifier.verify(almost_over)
    verifier._verified[almost_over] = (Caller("user-1", TokenKind.USER), 0.0)  # its time has come
    over = sign(exp=datetime.now(UTC) - CLOCK_LEEWAY - timedelta(seconds=2))
    verifier._verified[over] = (Caller("user-1", TokenKind.USER), 0.0)
    assert (await verifier.verify(almost_over)).subject == "user-1"
    with pytest.raises(TokenError, match="expired"):
        await verifier.verify(over)


async def test_an_unsigned_token_is_refused(verifier: TokenVerifier, sign: Callable[..., str]) -> None:
    _, claims, signature = sign().split(".")
    for header in ({"alg": "none", "typ": "JWT"}, {"alg": "None"}, {"typ": "JWT"}):
        for end in ("", signature):
            with pytest.raises(TokenError):
                await verifier.verify(f"{_base64(json.dumps(header).encode())}.{claims}.{end}")


async def test_the_public_key_is_no_shared_secret(
    settings: TokenSettings, verifier: TokenVerifier, sign: Callable[..., str]
) -> None:
    pem = (
        development_key(settings.development_key_file)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    claims = sign().split(".")[1]
    for secret in (pem, pem.strip()):
        signed = f"{_base64(json.dumps({'alg': 'HS256', 'typ': 'JWT'}).encode())}.{claims}"
        forged = f"{signed}.{_base64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"
        with pytest.raises(TokenError, match="ES256"):
            await verifier.verify(forged)


async def test_another_key_or_another_body_is_refused(verifier: TokenVerifier, sign: Callable[..., str]) -> None:
    good = sign()
    header, claims, signature = good.split(".")
    elsewhere = jwt.encode(
        jwt.decode(good, options={"verify_signature": False}),
        ec.generate_private_key(ec.SECP256R1()),
        algorithm="ES256",
    )
    other_claims = sign(sub="user-2").split(".")[1]
    for token in (
        elsewhere,
        f"{header}.{other_claims}.{signature}",
        f"{header}.{claims}.",
        good[:-8],
        "",
        "a.b.c",
        "ä.b.c",
    ):
        with pytest.raises(TokenError):
            await verifier.verify(token)


def test_production_without_a_key_says_what_to_set(tmp_path: Path) -> None:
    settings = TokenSettings(environment="production", development_key_file=tmp_path / "key.pem")
    with pytest.raises(TokenKeyError, match="MISSIONS_JWT_PUBLIC_KEY_FILE"):
        TokenVerifier.from_settings(settings)
    with pytest.raises(TokenKeyError, match="MISSIONS_ENVIRONMENT=development"):
        mint(settings, "user-1", TokenKind.USER, HOUR)
    assert not settings.development_key_file.exists(), "and makes no key by the way"


async def test_production_trusts_the_key_it_was_given(tmp_path: Path, settings: TokenSettings) -> None:
    theirs = ec.generate_private_key(ec.SECP256R1())
    file = tmp_path / "provider.pem"
    file.write_bytes(
        theirs.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    verifier = TokenVerifier.from_settings(TokenSettings(environment="production", jwt_public_key_file=file))
    token = mint(settings, "user-1", TokenKind.USER, HOUR)
    with pytest.raises(TokenError, match="one of development"):
        await verifier.verify(token)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert await verifier.verify(jwt.encode(claims, theirs, algorithm="ES256")) == Caller("user-1", TokenKind.USER)


def test_a_key_of_another_kind_is_refused_at_once(tmp_path: Path) -> None:
    keys = {
        "absent": None,
        "no key": b"hello",
        "rsa": rsa.generate_private_key(65537, 2048).public_key(),
        "P-384": ec.generate_private_key(ec.SECP384R1()).public_key(),
    }
    for name, key in keys.items():
        file = tmp_path / name
        if isinstance(key, bytes):
            file.write_bytes(key)
        elif key is not None:
            file.write_bytes(
                key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            )
        with pytest.raises(TokenKeyError, match=name):
            TokenVerifier.from_settings(TokenSettings(jwt_public_key_file=file))


def test_roles_that_start_at_once_share_one_key(settings: TokenSettings) -> None:
    path = settings.development_key_file
    together = threading.Barrier(8)
    seen: list[int] = []

    def start() -> None:
        together.wait()
        seen.append(development_key(path).private_numbers().private_value)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path], "nothing is left over"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
