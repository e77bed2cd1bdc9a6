"""Addresses that carry a password: what is wrong with one, and how it is shown. No message repeats what it was given."""

import re
from urllib.parse import parse_qsl, urlsplit

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

_PASSWORD = re.compile(r"(?P<before>[a-z]+://[^:/@\s]*:)\S*@|(?P<name>\b(?:ssl)?password=)[^&\s'\"]+", re.IGNORECASE)


def redact(text: str) -> str:
    """The text with `***` for the password of every address in it, also of one that is written wrongly."""
    return _PASSWORD.sub(lambda found: f"{found['before']}***@" if found["before"] else f"{found['name']}***", text)


def fault_of_postgres_dsn(dsn: str) -> str | None:
    """Why this is no address of Postgres; None when it is one."""
    if (
        fault := _fault_of_url(dsn, ("postgresql", "postgres"), "postgresql://user:password@host:5432/database")
    ) is not None:
        return fault
    mode = dict(parse_qsl(urlsplit(dsn).query)).get("sslmode", "prefer")
    if mode not in SSL_MODES:
        return f"has an sslmode that does not exist: it is one of {', '.join(SSL_MODES)}"
    return None


def fault_of_redis_url(url: str) -> str | None:
    """Why this is no address of Redis; None when it is one."""
    return _fault_of_url(url, ("redis", "rediss"), "redis://user:password@host:6379/0, with TLS rediss://…")


def _fault_of_url(url: str, schemes: tuple[str, ...], pattern: str) -> str | None:
    hint = f"it looks like {pattern}; write / @ : # ? % in a password as %2F %40 %3A %23 %3F %25"
    try:
        parts = urlsplit(url)
        _ = [urlsplit(f"//{host}").port for host in parts.netloc.rpartition("@")[2].split(",")]
    except ValueError:
        return f"is no address: {hint}"
    if parts.scheme not in schemes or not parts.netloc or "@" in parts.path or parts.fragment:
        return f"is no address: {hint}"
    return None
