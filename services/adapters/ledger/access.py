"""Why the ledger does not let us in, each with what mends it."""

from urllib.parse import urlsplit

import asyncpg

from services.adapters.refusals import ServerRefuses, refusal_of_tls

DSN_SETTING = "MISSIONS_POSTGRES_DSN (or MISSIONS_POSTGRES_DSN_FILE)"

_REFUSALS: tuple[tuple[type[Exception], str, str], ...] = (
    (
        asyncpg.InvalidPasswordError,
        "Postgres at {address} does not accept the password of {who}",
        f"correct {DSN_SETTING}",
    ),
    (
        asyncpg.InvalidAuthorizationSpecificationError,
        "Postgres at {address} does not let {who} in: {error}",
        f"correct {DSN_SETTING} (with TLS: sslmode=verify-full and sslrootcert), or pg_hba.conf on the server",
    ),
    (
        asyncpg.InvalidCatalogNameError,
        "Postgres at {address} has no such database: {error}",
        f"create it, or correct {DSN_SETTING}",
    ),
    (
        asyncpg.InsufficientPrivilegeError,
        "the ledger at {address} does not let {who} do what is needed: {error}",
        "run `missions database roles apply` as the owner, and give this user the role of its service",
    ),
    (
        asyncpg.exceptions.ClientConfigurationError,
        "Postgres at {address} can't be reached as asked: {error}",
        f"correct {DSN_SETTING}",
    ),
    (
        FileNotFoundError,
        "a TLS file that the ledger's address names is not there: {error.filename}",
        f"correct {DSN_SETTING}",
    ),
)
"""(error, problem, fix), the narrower error first."""


def refusal_of(error: BaseException, dsn: str) -> ServerRefuses | None:
    """Why the ledger at `dsn` does not let us in; None when it is away, and a later try may succeed."""
    parts = urlsplit(dsn)
    address = parts.netloc.rpartition("@")[2] or "the address"
    if (refusal := refusal_of_tls(error, "Postgres", address, f"sslrootcert in {DSN_SETTING}")) is not None:
        return refusal
    if "rejected SSL upgrade" in str(error):
        return ServerRefuses(
            f"Postgres at {address} does not speak TLS", f"turn `ssl` on there, or correct {DSN_SETTING}"
        )
    who = f"user {parts.username}" if parts.username else "this process's user"
    for kind, problem, fix in _REFUSALS:
        if isinstance(error, kind):
            return ServerRefuses(problem.format(address=address, who=who, error=error), fix)
    return None
