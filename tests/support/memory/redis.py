"""A Redis in memory, as far as the projection uses it: values by key, and its two scripts."""

from collections.abc import Awaitable, Callable, Sequence
from importlib import resources
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from services.adapters.projection import Projection

from .weather import Calm, Fate, Weather

Script = Callable[[dict[str, bytes], Sequence[str], Sequence[Any]], int]


class MemoryRedis:
    """The server. `values` is what it holds."""

    def __init__(self, weather: Weather | None = None) -> None:
        self.weather = weather or Calm()
        self.values: dict[str, bytes] = {}
        self.is_up = True
        self.on_store: Callable[[Sequence[bytes]], None] = lambda values: None

    async def run(self, call: str, effect: Callable[[], Any]) -> Any:
        """One call: its effect happens at one instant."""
        fate = await self.weather.befall("redis", call)
        if fate is Fate.FAILS or not self.is_up:
            raise RedisConnectionError("connection refused")
        answer = effect()
        if fate is Fate.ANSWER_LOST:
            raise RedisTimeoutError("timeout reading from the server")
        return answer

    def projection(self, prefix: str = "") -> Projection:
        """The adapter, on this server."""
        return Projection(cast("Redis", MemoryClient(self)), prefix)


class MemoryClient:
    """redis-py's client, as far as the projection uses it."""

    def __init__(self, server: MemoryRedis) -> None:
        self._server = server

    async def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """Values of keys, None for those that are not there."""
        values: list[bytes | None] = await self._server.run(
            "mget", lambda: [self._server.values.get(key) for key in keys]
        )
        return values

    async def ping(self) -> bool:
        """Answers when the server does."""
        return bool(await self._server.run("ping", lambda: True))

    def register_script(self, text: str) -> Callable[..., Awaitable[int]]:
        """A script, known by its text."""
        name, script = _SCRIPTS[text]

        def effect(keys: Sequence[str], args: Sequence[Any]) -> int:
            if script is _store_forward:
                self._server.on_store(args[1:])
            return script(self._server.values, keys, args)

        async def run(keys: Sequence[str], args: Sequence[Any]) -> int:
            done: int = await self._server.run(name, lambda: effect(keys, args))
            return done

        return run

    async def aclose(self) -> None:
        """Nothing to close."""


def _store_forward(values: dict[str, bytes], keys: Sequence[str], args: Sequence[Any]) -> int:
    stored = 0
    for key, value in zip(keys, args[1:], strict=True):
        if key not in values or _version(values[key]) < _version(value):
            values[key] = value
            stored += 1
    return stored


def _discard(values: dict[str, bytes], keys: Sequence[str], args: Sequence[Any]) -> int:
    removed = 0
    for key, version in zip(keys, args, strict=True):
        if key in values and _version(values[key]) == version:
            del values[key]
            removed += 1
    return removed


def _version(value: bytes) -> int:
    return int(value.partition(b"|")[0])


def _text(name: str) -> str:
    return resources.files("services.adapters.projection").joinpath(f"{name}.lua").read_text("utf-8")


_SCRIPTS: dict[str, tuple[str, Script]] = {
    _text("store_forward"): ("store_forward", _store_forward),
    _text("discard"): ("discard", _discard),
}
