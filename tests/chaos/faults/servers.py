"""Faults of the servers: killed, stopped at once, emptied, full, read-only, and sessions ended under their clients."""

import asyncio
import signal
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import asyncpg
from redis.asyncio import Redis
from typing_extensions import override

from services.stack.server import Server
from tests.chaos.network import REDIS
from tests.chaos.servers import SmallDisk
from tests.chaos.world import World

from .base import Fault

TERMINATE = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'missions-%'"


def server_of(world: World, name: str) -> Server:
    """Kafka, Postgres or Redis by its short name."""
    server: Server = getattr(world.servers, name)
    return server


async def up_again(server: Server) -> None:
    """Starts a server if it has ended, and waits until it serves."""
    await asyncio.to_thread(server.start)


class Down(Fault):
    """A server is killed, and started again after a while with the data it had."""

    def __init__(self, server: str, seconds: float = 1.0, how: signal.Signals = signal.SIGKILL) -> None:
        self._server = server
        self._how = how
        self.seconds = seconds
        self.name = f"{server}: " + ("killed" if how is signal.SIGKILL else "stopped at once")

    @override
    async def inject(self, world: World) -> None:
        server = server_of(world, self._server)
        if self._how is not signal.SIGKILL:
            server.send(self._how)  # SIGQUIT is Postgres' immediate shutdown
            await asyncio.sleep(0.5)
        await asyncio.to_thread(server.kill_hard)

    @override
    async def heal(self, world: World) -> None:
        await up_again(server_of(world, self._server))

    @override
    def recovery(self, world: World) -> Awaitable[float | None] | None:
        return None if self._server == REDIS else super().recovery(world)


class SessionsEnded(Fault):
    """Every session of ours is ended by Postgres, in whatever transaction it is, several times."""

    name = "postgres: sessions ended"

    @override
    async def inject(self, world: World) -> None:
        connection = await asyncpg.connect(world.servers.postgres.address)
        try:
            for _ in range(5):
                await connection.execute(TERMINATE)
                await asyncio.sleep(0.3 * world.chance.random())
        finally:
            await connection.close()


class _RedisFault(Fault):
    """Something that Redis is told. Nothing has to stop for it."""

    seconds = 4.0

    @override
    async def inject(self, world: World) -> None:
        async with _redis(world) as redis:
            await self.tell(redis)

    @override
    def recovery(self, world: World) -> None:
        return None

    @abstractmethod
    async def tell(self, redis: "Redis") -> None:
        """Breaks it."""


class Flushed(_RedisFault):
    """Everything in Redis is gone."""

    name = "redis: flushed"
    seconds = 0.0

    @override
    async def tell(self, redis: "Redis") -> None:
        await redis.flushall()


class OutOfMemory(_RedisFault):
    """Redis may take no more memory and evicts nothing: every write is refused."""

    name = "redis: out of memory"

    @override
    async def tell(self, redis: "Redis") -> None:
        await redis.config_set("maxmemory-policy", "noeviction")
        await redis.config_set("maxmemory", "1")

    @override
    async def heal(self, world: World) -> None:
        async with _redis(world) as redis:
            await redis.config_set("maxmemory", "0")


class ReadOnly(_RedisFault):
    """Redis has become a replica, as after a failover that its clients have not noticed."""

    name = "redis: read-only"

    @override
    async def tell(self, redis: "Redis") -> None:
        await redis.replicaof("127.0.0.1", "1")

    @override
    async def heal(self, world: World) -> None:
        async with _redis(world) as redis:
            await redis.replicaof("NO", "ONE")


class FullDisk(Fault):
    """A server's disk has not a byte left."""

    seconds = 4.0

    def __init__(self, server: str, disk: SmallDisk) -> None:
        self._server = server
        self._disk = disk
        self.name = f"{server}: disk full"

    @override
    async def inject(self, world: World) -> None:
        await asyncio.to_thread(self._disk.fill)

    @override
    async def heal(self, world: World) -> None:
        self._disk.free()
        await up_again(server_of(world, self._server))


@asynccontextmanager
async def _redis(world: World) -> AsyncIterator["Redis"]:
    redis = Redis.from_url(world.servers.redis.address)
    try:
        yield redis
    finally:
        await redis.aclose()
