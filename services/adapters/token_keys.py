"""The keys that tokens are verified with: one from a PEM file, development's own, or an identity provider's by `kid`."""

import os
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

Algorithm = Literal["ES256", "RS256", "EdDSA"]
"""What a token may be signed with. All have a public and a private half: no secret of ours can forge one."""

DEVELOPMENT_ALGORITHM: Algorithm = "ES256"

DEVELOPMENT_KID = "development"
"""Stands in the header of every development token, so that production knows one without trying its signature."""

RSA_BITS_MIN = 2048
"""NIST SP 800-131A allows nothing shorter."""

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


class TokenKeyError(Exception):
    """There is no usable key. `fix` says what to do about it."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}. Fix: {fix}")
        self.problem = problem
        self.fix = fix


class UnknownKey(Exception):
    """No key has this `kid`; the message may be sent back."""


class KeysUnavailable(Exception):
    """The identity provider did not answer for so long that no key is believed any more."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key, and the one algorithm that it is used with, whatever a token's header says."""

    key: PublicKey
    algorithm: Algorithm


class KeySource(Protocol):
    """Where a verifier finds keys."""

    @property
    def generation(self) -> int:
        """Changes when a key has gone: what it verified before is to be verified again."""

    async def find(self, kid: str | None) -> VerifyingKey:
        """The key that a token names. Raises `UnknownKey` or `KeysUnavailable`."""

    def trouble(self) -> str | None:
        """Why no token can be verified now; None while some can. For a readiness check."""

    async def watch(self) -> None:
        """Keeps the keys fresh until it is cancelled."""


class FixedKey:
    """One key for every token, whatever `kid` it names."""

    generation = 0

    def __init__(self, key: VerifyingKey) -> None:
        self._key = key

    async def find(self, kid: str | None) -> VerifyingKey:  # noqa: ARG002 - the protocol's
        """The key."""
        return self._key

    def trouble(self) -> None:
        """There is none."""
        return

    async def watch(self) -> None:
        """Nothing to do."""


def algorithm_of(key: object, allowed: Collection[Algorithm]) -> Algorithm | None:
    """The algorithm that a key is for, if it is strong enough and the algorithm is allowed."""
    algorithm: Algorithm
    match key:
        case ec.EllipticCurvePublicKey() if isinstance(key.curve, ec.SECP256R1):
            algorithm = "ES256"
        case rsa.RSAPublicKey() if key.key_size >= RSA_BITS_MIN:
            algorithm = "RS256"
        case ed25519.Ed25519PublicKey():
            algorithm = "EdDSA"
        case _:
            return None
    return algorithm if algorithm in allowed else None


def read_public_key(path: Path, allowed: Collection[Algorithm]) -> VerifyingKey:
    """The key of a PEM file. Raises `TokenKeyError`."""
    key = _load(path, serialization.load_pem_public_key)
    algorithm = algorithm_of(key, allowed)
    if algorithm is None or not isinstance(key, PublicKey):
        raise TokenKeyError(
            f"{path} holds a key that is not for {' or '.join(allowed)}",
            "put a key for it there (ES256: EC P-256, RS256: RSA of at least 2048 bits, EdDSA: Ed25519), "
            "or allow its algorithm in MISSIONS_JWT_ALGORITHMS",
        )
    return VerifyingKey(key, algorithm)


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


def is_development_key(key: PublicKey, path: Path) -> bool:
    """Whether it is the public half of the development key of this machine, if there is one at `path`."""
    return path.exists() and development_key(path).public_key() == key


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


def _load(path: Path, parse: Callable[[bytes], object]) -> object:
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise TokenKeyError(
            f"the key file {path} can't be read: {error.strerror}", "check the path and the file's mode"
        ) from error
    except (ValueError, TypeError) as error:
        raise TokenKeyError(f"{path} holds no key: {error}", "put a key in PEM form there") from error
