"""A storm over two relays: both are killed and frozen, and so are their servers, while messages keep coming."""

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import asyncpg
from msgspec import structs

from services.adapters.kafka.producer import partition_for
from services.adapters.ledger.connection import is_passing
from services.adapters.ledger.outbox import OutboxMessage, insert_outbox
from services.stack.server import Servers
from tests.integration.relay.world import PARTITIONS, World, messages, until

USERS: Final = 50
BATCH: Final = 100
"""Messages that one transaction puts into the outbox: two of each user."""

PAUSE_SECONDS: Final = 0.1
IDLE_SECONDS: Final = 4.0
"""After which a frozen relay loses its locks. On a busy machine a live one may be silent for a second or two."""

NAMES: Final = ("one", "two")


@dataclass
class Stream:
    """Puts messages into the outbox as the processor does: its position moves in the same transaction, which does not wait for
    the disk. What a crash of Postgres takes back is put in again, with another payload."""

    world: World
    put: list[OutboxMessage] = field(default_factory=list)
    """What the ledger holds or has held, in order: the newest try of each."""
    tries: int = 0

    async def begin(self) -> None:
        """Makes the place of the position."""
        await self.world.pool.execute("create table stream_position (next integer not null)")
        await self.world.pool.execute("insert into stream_position values (0)")

    async def run(self, stopping: asyncio.Event) -> None:
        """Goes on until told to stop, through errors that pass."""
        while not stopping.is_set():
            try:
                async with self.world.pool.acquire() as connection, connection.transaction():
                    await self._put_more(connection)
            except Exception as error:
                if not is_passing(error):
                    raise
            await asyncio.sleep(PAUSE_SECONDS)

    async def settle(self) -> None:
        """Forgets what the last try may have put in and the ledger does not hold."""
        del self.put[await self.world.pool.fetchval("select next from stream_position") :]

    async def _put_more(self, connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]") -> None:
        await connection.execute("set local synchronous_commit = off")
        position: int = await connection.fetchval("select next from stream_position for update")
        self.tries += 1
        fresh = [
            structs.replace(m, payload=b'{"try":%d}' % self.tries)
            for m in messages(USERS, BATCH // USERS, start=position // USERS)
        ]
        # Written down before the commit, because its answer may be lost.
        self.put[position:] = fresh
        await insert_outbox(connection, fresh, lambda key: partition_for(key, PARTITIONS))
        await connection.execute("update stream_position set next = $1", position + BATCH)


@dataclass
class Storm:
    """Two relays as processes, and what befalls them and their servers."""

    world: World
    servers: Servers
    chance: random.Random
    relays: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    @property
    def faults(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """By name. Each ends when what was killed runs again."""
        return {
            "kill relay one": lambda: self._kill("one"),
            "kill relay two": lambda: self._kill("two"),
            "kill both relays": self._kill_both,
            "freeze the relay at work": self._freeze,
            "break the lanes' connections": self.world.break_locks,
            "kill the broker": self._kill_broker,
            "kill Postgres": self._kill_postgres,
        }

    @asynccontextmanager
    async def over(self) -> AsyncIterator[None]:
        """Both relays run while the block does."""
        try:
            for name in NAMES:
                await self._start(name)
            yield
        finally:
            for process in self.relays.values():
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    async def publishes(self) -> None:
        """Waits until more is published than now, from every partition."""
        before = await self._checkpoints()

        async def all_have_moved() -> bool:
            for name, relay in self.relays.items():
                assert relay.returncode is None, f"relay {name} has ended by itself: {relay.returncode}"
            try:
                now = await self._checkpoints()
            except Exception as error:
                if not is_passing(error):
                    raise
                return False
            return len(now) == PARTITIONS and all(now[each] > before.get(each, 0) for each in now)

        await until(all_have_moved)

    async def _checkpoints(self) -> dict[int, int]:
        rows = await self.world.pool.fetch("select partition, sum(next_offset) from relay_checkpoint group by 1")
        return {row[0]: row[1] for row in rows}

    async def _start(self, name: str) -> None:
        self.relays[name] = await self.world.start_process("--name", name, "--idle-seconds", str(IDLE_SECONDS))

    async def _kill(self, name: str) -> None:
        self.relays[name].kill()
        await self.relays[name].wait()
        # Sometimes the other one has taken over, sometimes not yet.
        await asyncio.sleep(self.chance.uniform(0, 1.5))
        await self._start(name)

    async def _kill_both(self) -> None:
        for name in NAMES:
            self.relays[name].kill()
        for name in NAMES:
            await self.relays[name].wait()
            await self._start(name)

    async def _freeze(self) -> None:
        holders = sorted(await self.world.holders() & self.relays.keys())
        name = self.chance.choice(holders or NAMES)
        self.relays[name].send_signal(signal.SIGSTOP)

        async def it_has_lost_its_locks() -> bool:
            return name not in await self.world.holders()

        await until(it_has_lost_its_locks)
        await self.publishes()
        self.relays[name].send_signal(signal.SIGCONT)

    async def _kill_broker(self) -> None:
        await asyncio.to_thread(self.servers.kafka.kill_hard)
        await asyncio.to_thread(self.servers.kafka.start)

    async def _kill_postgres(self) -> None:
        await asyncio.to_thread(self.servers.postgres.kill_hard)
        await asyncio.to_thread(self.servers.postgres.start)
