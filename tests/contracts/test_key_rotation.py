"""The identity provider's keys come and go, and so does the provider: who gets in then."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from services.adapters.jwks import JWKS_BYTES_MAX, UNKNOWN_KID_SECONDS, Jwks, loader
from services.adapters.token_keys import Algorithm, KeysUnavailable, TokenKeyError
from services.adapters.tokens import TokenError, TokenSettings, TokenVerifier
from tests.support.identity import IdentityProvider, ec_key
from tests.support.system import until

FRESH, STALE = 300.0, 3600.0


class Ticks:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def provider() -> AsyncIterator[IdentityProvider]:
    async with IdentityProvider().answering() as provider:
        yield provider


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


def verifier_of(
    provider: IdentityProvider, ticks: Ticks, algorithms: tuple[Algorithm, ...] = ("ES256",)
) -> TokenVerifier:
    keys = Jwks(
        loader(provider.url, allow_plain_http=False), algorithms, fresh_seconds=FRESH, stale_seconds=STALE, clock=ticks
    )
    return TokenVerifier(keys, TokenSettings())


@pytest.fixture
def verifier(provider: IdentityProvider, ticks: Ticks) -> TokenVerifier:
    return verifier_of(provider, ticks)


async def refused(verifier: TokenVerifier, token: str, why: str) -> None:
    with pytest.raises(TokenError, match=why):
        await verifier.verify(token)


async def test_old_and_new_keys_are_good_while_both_are_published(
    provider: IdentityProvider, verifier: TokenVerifier, ticks: Ticks
) -> None:
    old = provider.token("key-1")
    assert (await verifier.verify(old)).subject == "user-1"
    provider.keys["key-2"] = ec_key()
    ticks.now += UNKNOWN_KID_SECONDS
    assert (await verifier.verify(provider.token("key-2"))).subject == "user-1", "found although nobody asked to look"
    assert (await verifier.verify(old)).subject == "user-1"
    assert provider.fetches == 2


async def test_a_removed_key_ends_with_the_next_fetch_for_remembered_tokens_too(provider: IdentityProvider) -> None:
    settings = TokenSettings(jwt_jwks=provider.url, jwt_jwks_fresh_seconds=0.05)
    verifier = TokenVerifier.from_settings(settings)
    assert "identity provider" in str(verifier.keys.trouble())
    watching = asyncio.create_task(verifier.keys.watch())
    try:
        provider.keys["key-2"] = ec_key()
        old, new = provider.token("key-1"), provider.token("key-2")
        for token in (old, new):
            await verifier.verify(token)
        assert verifier.keys.trouble() is None
        assert verifier.remembered(old) is not None
        provider.keys.pop("key-1")

        async def gone() -> bool:
            return verifier.remembered(old) is None

        await until(gone, "the token of the removed key to be forgotten")
        await refused(verifier, old, "does not publish")
        assert (await verifier.verify(new)).subject == "user-1"
    finally:
        watching.cancel()


async def test_a_key_that_is_replaced_under_its_name_is_another_key(
    provider: IdentityProvider, verifier: TokenVerifier, ticks: Ticks
) -> None:
    stolen = provider.token()
    await verifier.verify(stolen)
    provider.keys["key-1"] = ec_key()
    ticks.now += UNKNOWN_KID_SECONDS
    await refused(verifier, provider.token("other", key=ec_key()), "does not publish")  # which makes us look
    await refused(verifier, stolen, "ignature")


async def test_a_flood_of_invented_kids_does_not_reach_the_provider(
    provider: IdentityProvider, verifier: TokenVerifier, ticks: Ticks
) -> None:
    await verifier.verify(provider.token())
    forger = ec_key()

    async def attempt() -> None:
        await refused(verifier, provider.token(secrets.token_hex(8), key=forger), "does not publish")

    before = provider.fetches
    for _ in range(3):
        ticks.now += UNKNOWN_KID_SECONDS
        await asyncio.gather(*(attempt() for _ in range(100)))
        assert (await verifier.verify(provider.token())).subject == "user-1", "others are not held up"
    assert provider.fetches - before == 3


async def test_while_the_provider_is_away_its_last_keys_hold_for_a_bounded_time(ticks: Ticks) -> None:
    provider = IdentityProvider()
    async with provider.answering():
        verifier = verifier_of(provider, ticks)
        await verifier.verify(provider.token())
    ticks.now += STALE
    fresh = provider.token(sub="user-2")
    assert (await verifier.verify(fresh)).subject == "user-2"
    ticks.now += 1
    with pytest.raises(KeysUnavailable):
        await verifier.verify(provider.token(sub="user-3"))
    assert verifier.keys.trouble() is not None
    assert verifier.remembered(fresh) is None, "nor is what they verified"
    async with provider.answering(provider.port):
        ticks.now += UNKNOWN_KID_SECONDS
        assert (await verifier.verify(fresh)).subject == "user-2"
    assert verifier.keys.trouble() is None


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, None),
        (302, None),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"keys": 3}'),
        (200, b" " * (JWKS_BYTES_MAX + 1)),
    ],
    ids=["error", "redirect", "html", "list", "number", "endless"],
)
async def test_an_answer_that_is_no_jwks_changes_nothing(
    provider: IdentityProvider, verifier: TokenVerifier, ticks: Ticks, status: int, body: bytes | None
) -> None:
    await verifier.verify(provider.token())
    provider.status, provider.body = status, body
    ticks.now += UNKNOWN_KID_SECONDS
    await refused(verifier, provider.token("other", key=ec_key()), "does not publish")
    assert provider.fetches == 2
    assert (await verifier.verify(provider.token(sub="user-9"))).subject == "user-9"


async def test_only_what_was_chosen_verifies(provider: IdentityProvider, ticks: Ticks) -> None:
    rsa_key = rsa.generate_private_key(65537, 2048)
    provider.keys |= {
        "rsa": rsa_key,
        "ed": ed25519.Ed25519PrivateKey.generate(),
        "short": rsa.generate_private_key(65537, 1024),
        "p384": ec.generate_private_key(ec.SECP384R1()),
        "development": ec_key(),
    }
    entries = {entry["kid"]: entry for entry in provider.jwks()["keys"]}
    provider.extra = [
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
        {**entries["key-1"], "kid": "for-encryption", "use": "enc"},
        {**entries["key-1"], "kid": "mislabelled", "alg": "RS256"},
        {"kty": "EC", "kid": "broken", "crv": "P-256", "x": "!", "y": "!"},
        {"kty": "EC", "kid": 7},
        "no key",
        {key: value for key, value in entries["key-1"].items() if key != "kid"},
    ]
    del provider.keys["p384"], provider.keys["short"]
    provider.extra += [entries["p384"], entries["short"]]
    one = provider.keys["key-1"]
    strict, all_of_them = verifier_of(provider, ticks), verifier_of(provider, ticks, ("ES256", "RS256", "EdDSA"))
    assert (await strict.verify(provider.token())).subject == "user-1"
    for kid in ("rsa", "ed"):
        await refused(strict, provider.token(kid), "does not publish")
        assert (await all_of_them.verify(provider.token(kid))).subject == "user-1"
    for verifier in (strict, all_of_them):
        for kid in ("secret", "for-encryption", "mislabelled", "broken"):
            await refused(verifier, provider.token(kid, key=one), "does not publish")
        await refused(verifier, provider.token("development"), "development")
        await refused(verifier, provider.token(None), "kid")
        await refused(verifier, provider.token("rsa", key=one), "does not publish|not signed with RS256")


async def test_a_file_is_as_good_as_an_address(tmp_path: Path) -> None:
    provider = IdentityProvider()
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(provider.jwks()))
    verifier = TokenVerifier.from_settings(TokenSettings(jwt_jwks=str(file)))
    assert (await verifier.verify(provider.token())).subject == "user-1"


def test_what_can_not_be_meant_is_refused_at_the_start(tmp_path: Path) -> None:
    for source, says in (("http://login.example.com/jwks", "no TLS"), (str(tmp_path / "absent"), "no JWKS file")):
        with pytest.raises(TokenKeyError, match=says):
            TokenVerifier.from_settings(TokenSettings(jwt_jwks=source))


def test_production_does_not_start_with_the_development_key(tmp_path: Path) -> None:
    development = TokenSettings(environment="development", development_key_file=tmp_path / "key.pem")
    TokenVerifier.from_settings(development)
    private = serialization.load_pem_private_key(development.development_key_file.read_bytes(), None)
    public = tmp_path / "public.pem"
    public.write_bytes(
        private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    for file, says in ((public, "is the development key"), (development.development_key_file, "holds no key")):
        settings = development.model_copy(update={"environment": "production", "jwt_public_key_file": file})
        with pytest.raises(TokenKeyError, match=says):
            TokenVerifier.from_settings(settings)
