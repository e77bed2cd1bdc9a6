"""Opens connections to Redis, with TLS where the address says so, and tells why Redis does not let us in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, RedisError, ResponseError

from services.adapters.refusals import ServerRefuses, refusal_of_tls, speaks_tls, tls_context

CA_SETTING = "MISSIONS_REDIS_SSL_CAFILE"
ADDRESS_SETTING = "MISSIONS_REDIS_URL (or MISSIONS_REDIS_URL_FILE)"
DEFAULT_PORT = 6379


@dataclass(frozen=True, slots=True)
class RedisTls:
    """PEM files for a `rediss://` address: who is trusted (None = the system's authorities), and our own certificate."""

    cafile: Path | None = None
    certfile: Path | None = None
    keyfile: Path | None = None


def open_redis(url: str, tls: RedisTls, *, timeout_seconds: float) -> Redis:
    """A client that connects at its first call. Raises `ServerRefuses` for TLS files that can't be used."""
    options: dict[str, Any] = {}
    if url.startswith("rediss://"):
        tls_context(tls.cafile, tls.certfile, tls.keyfile, "MISSIONS_REDIS_SSL_CAFILE, …_CERTFILE and …_KEYFILE")
        options = {
            "ssl_ca_certs": str(tls.cafile) if tls.cafile else None,
            "ssl_certfile": str(tls.certfile) if tls.certfile else None,
            "ssl_keyfile": str(tls.keyfile or tls.certfile) if tls.certfile else None,
        }
    redis: Redis = Redis.from_url(
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 1),
        **options,
    )
    return redis


async def refusal_of(error: BaseException, url: str) -> ServerRefuses | None:
    """Why Redis at `url` does not let us in; None when it is away, and a later try may succeed."""
    parts = urlsplit(url)
    host, port = parts.hostname or "localhost", parts.port or DEFAULT_PORT
    address = f"{host}:{port}"
    if isinstance(error, NoPermissionError):
        return ServerRefuses(
            f"Redis at {address} does not let the user {parts.username or 'default'} do what is needed: {error}",
            f"acl setuser {parts.username or 'default'} ~* +ping +mget +set +del +getrange +evalsha +script|load",
        )
    if isinstance(error, AuthenticationError | AuthorizationError) or _wants_password(error):
        who = f"user {parts.username}" if parts.username else "the default user"
        problem = "does not accept the password of" if parts.password else "wants a password for"
        return ServerRefuses(
            f"Redis at {address} {problem} {who}", f"correct the user and password in {ADDRESS_SETTING}"
        )
    if (refusal := refusal_of_tls(error, "Redis", address, CA_SETTING)) is not None:
        return refusal
    is_cut = isinstance(error, RedisError | OSError | TimeoutError)
    if is_cut and parts.scheme == "redis" and await speaks_tls(host, port):
        return ServerRefuses(
            f"Redis at {address} speaks TLS, and the address says not to", f"write rediss:// in {ADDRESS_SETTING}"
        )
    return None


def _wants_password(error: BaseException) -> bool:
    return isinstance(error, ResponseError) and str(error).startswith(("NOAUTH", "WRONGPASS"))
