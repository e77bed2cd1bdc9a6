"""Servers of the benchmark's own, and on them a deployment for each side: its database, topics, key prefix and catalogue."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import uvloop
from rich.console import Console

from mission_events import TOPICS_IN, TOPICS_OUT
from services.adapters.catalogue_files import default_missions
from services.adapters.kafka.admin import ensure_topics
from services.adapters.ledger.catalogue import CatalogueStore
from services.adapters.ledger.connection import Pool, open_pool
from services.adapters.ledger.migrate import migrate
from services.adapters.logs import configure_logs
from services.cli.console import board
from services.missions.definition import Mission
from services.stack.ports import Ports
from services.stack.providers import embedded_servers
from services.stack.roles import ROLE_PLANS, Role
from services.stack.server import Addresses, Progress, Servers

from .sql import queries

OUTPUT_PARTITIONS = 4
"""As the roles' settings have it."""

PROJECTION_TIMEOUT_SECONDS = 10.0
"""The benchmark's own calls may wait; those of the processor keep its limits."""

_SQL = queries("measure")

Result = TypeVar("Result")


@asynccontextmanager
async def processes(
    roles: Sequence[Role], environment: Mapping[str, str], others: Mapping[str, str] | None = None
) -> AsyncIterator[None]:
    """Starts these roles and does not wait for them; at the end a graceful stop finishes what follows the last commit.

    All but the first get `others` too: what of two processes side by side is different in one of them."""
    try:
        for number, role in enumerate(roles):
            role.start({**environment, **(others or {})} if number else environment)
        yield
    finally:
        await asyncio.gather(*(asyncio.to_thread(role.stop) for role in roles))


@dataclass(frozen=True, slots=True)
class World:
    """Running servers; everything that the run leaves behind is below `directory`."""

    servers: Servers
    directory: Path
    ports: Ports

    def role(self, name: str) -> Role:
        """One of the five roles, not started yet."""
        return self.roles(name, 1)[0]

    def roles(self, name: str, amount: int) -> list[Role]:
        """So many processes of one role, not started yet, each with ports and a log of its own."""
        places = [
            (self.directory, self.ports),
            *((self.directory / f"{name}-{n}", Ports.free()) for n in range(2, amount + 1)),
        ]
        plan = next(plan for plan in ROLE_PLANS if plan.name == name)
        return [Role(plan, directory, ports) for directory, ports in places]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared, in a deployment of its own on the same servers."""

    name: str
    addresses: Addresses
    """With a database of its own."""

    @property
    def prefix(self) -> str:
        """Of its topics and its Redis keys."""
        return f"{self.name}."

    def environment(self) -> dict[str, str]:
        """Tells a role which deployment it belongs to."""
        return {**self.addresses.environment(), "MISSIONS_TOPIC_PREFIX": self.prefix}


@contextmanager
def running(progress: Progress) -> Iterator[World]:
    """Fresh servers with the settings of the local stack, fsync on for both sides; stopped and forgotten at the end."""
    with tempfile.TemporaryDirectory(prefix="missions-bench-", ignore_cleanup_errors=True) as name:
        directory, ports = Path(name), Ports.free()
        servers = embedded_servers(directory, ports, durable=True)
        servers.start(progress)
        try:
            yield World(servers, directory, ports)
        finally:
            servers.stop()


def begin(log_level: str = "WARNING") -> None:
    """What every benchmark does first: SIGTERM ends it as Ctrl-C does, with the servers stopped."""
    configure_logs("benchmark", log_level)
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def on_fresh_servers(measure: Callable[[World], Coroutine[Any, Any, Result]], console: Console) -> Result:
    """Runs `measure` on servers of its own, which are shown while they start, and stopped at the end."""
    with ExitStack() as stack:
        with board(console) as shown:
            world = stack.enter_context(running(shown.tell))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(measure(world))


async def create_side(
    name: str, world: World, missions: Sequence[Mission] | None = None, partitions: int | None = None
) -> Side:
    """Makes a deployment: an empty migrated database with a catalogue, and the topics of the contract.

    Without `missions` it is the default catalogue; without `partitions` each topic has those of the contract.
    """
    addresses = world.servers.addresses
    async with connected(addresses.postgres_dsn) as pool:
        await pool.execute(_SQL["create_database"].format(name=name))
    dsn = urlsplit(addresses.postgres_dsn)._replace(path=f"/{name}").geturl()
    side = Side(name, Addresses(addresses.kafka_bootstrap, dsn, addresses.redis_url))
    await migrate(dsn, datetime.now(UTC).date())
    async with connected(dsn) as pool:
        await CatalogueStore(pool).publish(list(missions) if missions is not None else default_missions())
    wanted = [_Wanted(side.prefix + t.name, partitions or t.partitions, t.config()) for t in TOPICS_IN]
    wanted += [_Wanted(side.prefix + t.name, t.partitions, t.config()) for t in TOPICS_OUT]
    await ensure_topics(addresses.kafka_bootstrap, wanted)
    return side


async def copy_ledger(side: Side, name: str, world: World) -> Side:
    """A deployment without topics, whose ledger is what `side`'s is now. Nobody may be connected to that one."""
    async with connected(world.servers.addresses.postgres_dsn) as pool:
        await pool.execute(_SQL["copy_database"].format(name=name, template=side.name))
    dsn = urlsplit(side.addresses.postgres_dsn)._replace(path=f"/{name}").geturl()
    return Side(name, Addresses(side.addresses.kafka_bootstrap, dsn, side.addresses.redis_url))


async def create_topics(world: World, names: Sequence[str], partitions: int) -> None:
    """Topics beside those of a deployment, for peers."""
    await ensure_topics(world.servers.addresses.kafka_bootstrap, [_Wanted(name, partitions) for name in names])


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Pool]:
    """A small pool for looking from outside."""
    pool = await open_pool(dsn, size=2, application="benchmark")
    try:
        yield pool
    finally:
        await pool.close()


@dataclass(frozen=True)
class _Wanted:
    name: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)
