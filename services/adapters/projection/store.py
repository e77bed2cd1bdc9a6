"""Reads and writes user states in Redis: one key a user, written only after the ledger's commit and only forward by version."""

from collections.abc import Iterable, Sequence
from importlib import resources
from itertools import islice
from time import monotonic
from typing import Any, cast

import msgspec
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import RedisError

from services.adapters.refusals import ServerRefuses
from services.missions.state import UserState, decode_state, encode_state

from .access import RedisTls, open_redis, refusal_of

KEEP_SECONDS = 30 * 24 * 3600
"""A user not seen for this long leaves the projection; the ledger still has everything."""

TIMEOUT_SECONDS = 0.5
"""The projection is a help, never a condition: what takes longer than this is read from the ledger."""

BREAK_SECONDS = 1.0
"""After a failure the projection is not asked for this long, so that a dead Redis costs its timeout once a second and not once a call."""

KEYS_PER_CALL = 200
"""Keys in one script call: keeps Redis free for others within a few milliseconds, and one command small. The client puts a command together
in one piece, which takes half a microsecond a key up to some 200 KB and six times as long for one of megabytes."""

MISSED_MAX = 100_000
"""Users remembered whose states could not be stored, some 10 MB; the scheduler's reconciliation finds those beyond."""

_FAILURES = (RedisError, OSError, TimeoutError)


EncodedState = tuple[str, int, bytes]
"""(user, version, bytes as `encode_state` writes them)."""


class ProjectionUnavailable(Exception):
    """Redis can't answer; read from the ledger instead."""


class ProjectionRefused(ProjectionUnavailable, ServerRefuses):
    """Redis answers and does not let us in. At the start that is the end; later it may pass, as a password is changed."""

    def __init__(self, refusal: ServerRefuses) -> None:
        ServerRefuses.__init__(self, refusal.problem, refusal.fix)


def _script(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


class Projection:
    """User states in Redis. Every method raises only `ProjectionUnavailable`."""

    def __init__(self, redis: "Redis", prefix: str = "") -> None:
        self._redis = redis
        self._prefix = prefix
        self._broken_until = 0.0
        self._missed: dict[str, None] = {}
        self._store_forward = redis.register_script(_script("store_forward.lua"))
        self._discard = redis.register_script(_script("discard.lua"))

    @classmethod
    def connect(
        cls, url: str, prefix: str = "", *, tls: RedisTls | None = None, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> "Projection":
        """A projection on the Redis at `url`. Connects at the first call. Raises `ServerRefuses` for TLS files of no use."""
        return cls(open_redis(url, tls or RedisTls(), timeout_seconds=timeout_seconds), prefix)

    async def require_access(self, url: str) -> None:
        """Raises `ProjectionRefused` when the Redis at `url` answers and does not let us in. A Redis that is away is no fault here."""
        try:
            await self._redis.ping()
            await self._redis.mget([self._key("-")])
            await self._store_forward(keys=[], args=[KEEP_SECONDS])
        except _FAILURES as error:
            refusal = await refusal_of(error, url)
            if refusal is not None:
                raise ProjectionRefused(refusal) from error

    @property
    def connection_pool(self) -> ConnectionPool:
        """The connections to Redis, for others who keep something there."""
        return self._redis.connection_pool

    async def load(self, user_ids: Sequence[str]) -> dict[str, UserState]:
        """States of the users that are in the projection, by one call. A value that can't be read is left out."""
        if not user_ids:
            return {}
        values = await self._call(self._redis.mget([self._key(user) for user in user_ids]))
        states = {}
        for user, value in zip(user_ids, cast("list[bytes | None]", values), strict=True):
            state = _decode(value) if value else None
            if state is not None and state.user_id == user:
                states[user] = state
        return states

    async def store(self, states: Iterable[UserState]) -> None:
        """Writes states that the ledger has committed; a version that is not above the stored one is passed over."""
        await self.store_encoded([(state.user_id, state.version, encode_state(state)) for state in states])

    async def store_encoded(self, states: Sequence[EncodedState]) -> None:
        """As `store`, for states that are encoded already."""
        for start in range(0, len(states), KEYS_PER_CALL):
            chunk = states[start : start + KEYS_PER_CALL]
            keys = [self._key(user_id) for user_id, _, _ in chunk]
            values = [b"%d|%b" % (version, encoded) for _, version, encoded in chunk]
            try:
                await self._call(self._store_forward(keys=keys, args=[KEEP_SECONDS, *values]))
            except ProjectionUnavailable:
                self.note_missed([user_id for user_id, _, _ in states[start:]])
                raise

    @property
    def has_missed(self) -> bool:
        """Whether states could not be stored and wait here to be stored again."""
        return bool(self._missed)

    def missed(self, limit: int) -> list[str]:
        """Takes up to `limit` users whose states could not be stored: the caller stores them again, from the ledger."""
        taken = list(islice(self._missed, limit))
        for user_id in taken:
            del self._missed[user_id]
        return taken

    def note_missed(self, user_ids: Iterable[str]) -> None:
        """Remembers users whose states must be stored again."""
        for user_id in user_ids:
            self._missed[user_id] = None
        while len(self._missed) > MISSED_MAX:
            del self._missed[next(iter(self._missed))]

    async def discard(self, versions: Sequence[tuple[str, int]]) -> None:
        """Removes (user, version) pairs that turned out to be no truth of the ledger, if they are still there."""
        if versions:
            keys = [self._key(user) for user, _ in versions]
            await self._call(self._discard(keys=keys, args=[version for _, version in versions]))

    async def ping(self) -> None:
        """Answers when Redis does."""
        await self._call(self._redis.ping(), even_if_broken=True)

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()

    async def _call(self, call: Any, *, even_if_broken: bool = False) -> Any:
        if monotonic() < self._broken_until and not even_if_broken:
            call.close()
            raise ProjectionUnavailable("Redis failed a moment ago and is not asked yet")
        try:
            return await call
        except _FAILURES as error:
            self._broken_until = monotonic() + BREAK_SECONDS
            raise ProjectionUnavailable(f"Redis can't answer: {error}") from error

    def _key(self, user_id: str) -> str:
        return f"{self._prefix}missions:{{{user_id}}}"


def _decode(value: bytes) -> UserState | None:
    try:
        return decode_state(value.partition(b"|")[2])
    except msgspec.MsgspecError:
        return None
