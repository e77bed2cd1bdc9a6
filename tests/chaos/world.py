"""Everything that a chaos run breaks: servers, network, roles, learners, and the watch over them."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import httpx

from mission_events import TOPICS_IN
from services.adapters.tokens import TokenKind, TokenSettings, mint
from services.stack.paths import PROJECT
from services.stack.ports import Ports
from services.stack.roles import COMMAND
from services.stack.server import Servers
from services.stack.system import PREPARATIONS
from tests.support.stack import stopped_if_we_are_killed

from .fleet import Fleet, Member
from .learners import Learners
from .network import Network, network
from .publishing import Upstream
from .recovery import Observer, Outages
from .servers import SmallDisk, chaos_servers, small_disk
from .stream import Load

PREFIX = "chaos-"
TWO = ("processor", "claims", "relay")
"""Roles that run twice."""
SETTINGS = {"MISSIONS_TICK_SECONDS": "2", "MISSIONS_BATCH_SIZE_MAX": "500", "MISSIONS_TOPIC_PREFIX": PREFIX}
"""Often and little, so that a run has many ticks and batches to be interrupted in."""
DRAIN_SECONDS = 120.0
POLL_SECONDS = 0.1
CANCEL_SECONDS = 1.0
LAST_TICK = "mission_scheduler_last_tick_timestamp_seconds"
WALKS = 3
"""Ticks seen: the first one may be over already, after the second one a walk begins, which is over at the third."""


@dataclass
class World:
    """One run's system."""

    directory: Path
    servers: Servers
    network: Network
    fleet: Fleet
    observer: Observer
    learners: Learners
    upstream: Upstream
    load: Load
    chance: Random
    disks: Mapping[str, SmallDisk]
    """By server; none where this user may not mount any."""
    variables: Mapping[str, str]
    outages: Outages = field(default_factory=Outages)
    injected: int = 0
    """Faults of the present stage that are over."""
    extra: list[Member] = field(default_factory=list)
    watchers: list[asyncio.Task[None]] = field(default_factory=list)
    """What the run itself does beside the faults, from its beginning to its end."""

    def member(self, name: str, role: str, **more: str) -> Member:
        """A process beside the fleet, for faults that bring one; the keeper leaves it alone."""
        environment = {**self.variables, **self.network.environment(role, self.servers), **more}
        member = Member(name, role, self.directory, Ports.free(), environment)
        self.extra.append(member)
        return member

    async def drained(self, seconds: float = DRAIN_SECONDS) -> bool:
        """Waits until everything published is accounted for and nothing waits in the outbox; False if it takes longer."""
        since = monotonic()

        def holds(sample: object) -> bool:
            last = self.observer.samples[-1]
            return last.at >= since and last.lag == 0 and not last.waiting

        return await self.observer.until(holds, seconds) is not None

    async def reconciled(self, seconds: float = DRAIN_SECONDS) -> bool:
        """Waits until the scheduler has walked over the whole projection once more; False if it takes longer."""
        [scheduler] = self.fleet.of("scheduler")
        walked = 0
        last = 0.0
        deadline = monotonic() + seconds
        while walked < WALKS:
            if monotonic() > deadline:
                return False
            with suppress(httpx.HTTPError, ValueError):
                tick = await scheduler.metric(LAST_TICK)
                walked += tick != last
                last = tick
            await asyncio.sleep(POLL_SECONDS)
        return True


def ended(watchers: Iterable[asyncio.Task[None]]) -> list[str]:
    """Why each watcher that has ended did so, by its name: from then on the run has not seen what it was to watch."""
    return [
        f"the run's own {task.get_name()} ended: {'cancelled' if task.cancelled() else repr(task.exception())}"
        for task in watchers
        if task.done()
    ]


@asynccontextmanager
async def running_world(directory: Path, seed: int, events: int) -> AsyncIterator[World]:
    """A system that is up, with every learner's first session applied. Logs stay in the directory, which is there; data does not."""
    ports = Ports.free()
    servers, kafka = chaos_servers(directory, ports)
    async with AsyncExitStack() as stack:
        stack.enter_context(stopped_if_we_are_killed(directory, "-m", "tests.support.cleanup"))
        found = {name: stack.enter_context(small_disk(directory / name)) for name in ("kafka", "postgres", "redis")}
        disks = {name: disk for name, disk in found.items() if disk is not None}
        stack.callback(_stop, servers)
        await asyncio.to_thread(servers.start)
        ways = await stack.enter_async_context(network(servers, kafka))
        variables = {**SETTINGS, **_development(directory)}
        await asyncio.to_thread(_prepare, {**variables, **servers.addresses.environment()})
        fleet = _fleet(directory, ways, servers, variables)
        stack.push_async_callback(fleet.end)
        await fleet.start()
        tokens = TokenSettings.model_validate(
            {"environment": "development", "development_key_file": directory / "development-key.pem"}
        )
        load = Load(seed, events, datetime.now(UTC), PREFIX)
        upstream = Upstream(servers.kafka.address, Random(f"{seed}/upstream"))
        stack.push_async_callback(upstream.close)
        topics = [PREFIX + topic.name for topic in TOPICS_IN]
        observer = Observer(servers.kafka.address, servers.postgres.address, topics)
        watching = await stack.enter_async_context(_background("observer", observer.watch()))
        learners = Learners(
            load.users,
            lambda user: mint(tokens, user, TokenKind.USER, timedelta(hours=12)),
            fleet.of("api")[0].url,
            [member.url for member in fleet.of("claims")],
            seed,
        )
        world = World(
            directory, servers, ways, fleet, observer, learners, upstream, load, Random(seed), disks, variables
        )
        world.watchers.append(watching)
        stack.push_async_callback(_end_extra, world)
        await upstream.publish(iter(load.openings()))
        if not await world.drained():
            raise TimeoutError(f"the first sessions were not applied in {DRAIN_SECONDS:.0f} s, with nothing broken")
        world.watchers.append(await stack.enter_async_context(_background("keeper", fleet.keep())))
        yield world


def _fleet(directory: Path, ways: Network, servers: Servers, variables: Mapping[str, str]) -> Fleet:
    members: dict[str, Member] = {}
    claims_port = 0
    for role in ("claims", "processor", "relay", "scheduler", "api"):
        for name in [f"{role}-{n}" for n in (1, 2)] if role in TWO else [role]:
            ports = Ports.free()
            if role == "api":  # it passes claims on to the first of the services
                ports = Ports(**{**vars(ports), "claims": claims_port})
            environment = {**variables, **ways.environment(role, servers)}
            members[name] = Member(name, role, directory, ports, environment)
            claims_port = claims_port or ports.claims
    return Fleet(members)


def _development(directory: Path) -> dict[str, str]:
    return {
        "MISSIONS_ENVIRONMENT": "development",
        "MISSIONS_DEVELOPMENT_KEY_FILE": str(directory / "development-key.pem"),
    }


def _prepare(variables: Mapping[str, str]) -> None:
    """What `make up` does before it starts roles."""
    commands: list[Sequence[str]] = [arguments for chain in PREPARATIONS for _, arguments in chain]
    for arguments in commands:
        subprocess.run(
            [*COMMAND, *arguments], env={**os.environ, **variables}, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL
        )


def _stop(servers: Servers) -> None:
    for server in servers.all:
        server.kill_hard()
        server.forget()


async def _end_extra(world: World) -> None:
    await asyncio.gather(*(member.end() for member in world.extra))


@asynccontextmanager
async def _background(name: str, work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(work, name=name)
    try:
        yield task
    finally:
        # More than once: a client of a server can swallow a cancellation that meets it in a call, and then the work goes on.
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=CANCEL_SECONDS)
