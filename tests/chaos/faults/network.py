"""Faults of the network: cut, slow, silent, and an answer to COMMIT that never comes."""

import asyncio
from collections.abc import Awaitable

from typing_extensions import override

from tests.chaos.network import POSTGRES, REDIS
from tests.chaos.world import World

from .base import Fault

SLOW_SECONDS = {"kafka": 0.1, "postgres": 0.03, "redis": 0.5}
"""Added to each piece that goes through: for Redis the table's 500 ms, for the others what a far away region costs."""


class _Way(Fault):
    """The way between a server and one role, or all of them."""

    what: str

    def __init__(self, server: str, role: str | None = None, seconds: float = 4.0) -> None:
        self._server = server
        self._role = role
        self.seconds = seconds
        self.name = f"{self.what}: {role or 'all roles'} - {server}"

    @override
    def recovery(self, world: World) -> Awaitable[float | None] | None:
        return None if self._server == REDIS else super().recovery(world)


class Cut(_Way):
    """Connections are closed, and new ones too."""

    what = "cut"

    @override
    async def inject(self, world: World) -> None:
        for proxy in world.network.ways(self._server, self._role):
            proxy.cut()

    @override
    async def heal(self, world: World) -> None:
        for proxy in world.network.ways(self._server, self._role):
            proxy.mend()


class Silent(_Way):
    """Connections stay open and nothing comes through."""

    what = "silent"

    @override
    async def inject(self, world: World) -> None:
        for proxy in world.network.ways(self._server, self._role):
            proxy.flows.clear()

    @override
    async def heal(self, world: World) -> None:
        for proxy in world.network.ways(self._server, self._role):
            proxy.flows.set()


class Slow(_Way):
    """Everything takes longer."""

    what = "slow"

    @override
    async def inject(self, world: World) -> None:
        for proxy in world.network.ways(self._server, self._role):
            proxy.delay_seconds = SLOW_SECONDS[self._server]

    @override
    async def heal(self, world: World) -> None:
        for proxy in world.network.ways(self._server, self._role):
            proxy.delay_seconds = 0.0


class LostCommit(Fault):
    """Postgres commits, and the answer is lost with the connection, several times."""

    TIMES = 4

    def __init__(self, role: str) -> None:
        self._role = role
        self.name = f"answer to COMMIT lost: {role}"

    @override
    async def inject(self, world: World) -> None:
        [proxy] = world.network.ways(POSTGRES, self._role)
        before = proxy.swallowed
        for _ in range(self.TIMES):
            proxy.swallow_after = b"COMMIT"
            await asyncio.sleep(0.7)
        proxy.swallow_after = None
        self.name += f" ({proxy.swallowed - before}x)"
