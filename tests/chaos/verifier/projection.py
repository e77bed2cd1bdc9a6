"""Redis holds what the ledger holds, of every user whom it has, and nothing newer."""

from collections.abc import Sequence
from typing import cast

from redis.asyncio import Redis

from tests.reference.states import read_state

from .ledger import Ledger
from .report import Report

CHUNK = 2000


async def check_projection(report: Report, url: str, prefix: str, ledger: Ledger) -> None:
    """Compares all states in Redis."""
    redis: Redis = Redis.from_url(url)
    try:
        found = 0
        users = sorted(ledger.states)
        for start in range(0, len(users), CHUNK):
            chunk = users[start : start + CHUNK]
            values = cast("list[bytes | None]", await redis.mget([_key(prefix, user) for user in chunk]))
            found += _compare(report, ledger, chunk, values)
        own = _key(prefix, "")[:-1].encode()
        async for key in redis.scan_iter(match=own + b"*}", count=CHUNK):
            user = key.removeprefix(own)[:-1].decode()
            if user not in ledger.states:
                report.differ("redis", f"user {user}", "nothing: the ledger has no such user", "a state")
    finally:
        await redis.aclose()
    report.note(f"Redis: {found} of {len(ledger.states)} users, each compared with the ledger")


def _key(prefix: str, user: str) -> str:
    return f"{prefix}missions:{{{user}}}"


def _compare(report: Report, ledger: Ledger, users: Sequence[str], values: Sequence[bytes | None]) -> int:
    found = 0
    for user, value in zip(users, values, strict=True):
        if value is None:
            continue
        found += 1
        told, _, text = value.partition(b"|")
        version, state = ledger.raw_states[user]
        if int(told) > version:
            report.differ("redis", f"user {user}", f"a version up to {version}", int(told))
        elif int(told) != version or (text != state and read_state(text) != ledger.states[user]):
            report.differ(
                "redis", f"user {user}", f"version {version} as in the ledger", f"version {int(told)}, {text[:120]!r}"
            )
    return found
