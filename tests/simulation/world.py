"""One life of the system: a safety phase full of faults, then everything is healed and must drain."""

import asyncio
import random
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import yaml

from services.adapters import deadline
from services.adapters.kafka.records import PartitionId
from services.adapters.projection import store
from services.missions.catalogue import Catalogue, parse_catalogue
from services.operations import expire
from services.processor import apply_batch
from tests.reference.missions import spelt_out
from tests.support.memory.kafka import MemoryKafka
from tests.support.memory.postgres import Postgres
from tests.support.memory.redis import MemoryRedis

from .checks import Checks
from .consumer import SESSION_SECONDS, Group, partitions_of
from .faults import Fault, Faults
from .load import INPUT, Claimants, Producers
from .loop import PROCESS, Process, StuckError, VirtualLoop
from .nemesis import Nemesis
from .roles import ROLES, ProcessorRole, Role

DRAIN_SECONDS = 60.0
"""Virtual. After the healing everything must be settled within this time: the longest wait of any retry is 5 s."""

BASE = datetime(2026, 11, 19, 1, 30, tzinfo=UTC)
"""A Thursday. Half past: no bound of lateness lies within a life's minutes, only between the hours that pass at once."""


@dataclass
class Life:
    """What one seed came to."""

    seed: int
    violations: list[str] = field(default_factory=list)
    injected: Counter[Fault] = field(default_factory=Counter)
    digest: int = 0
    steps: int = 0
    seconds: float = 0.0
    completed: int = 0
    granted: int = 0
    trace: list[str] = field(default_factory=list)


class World:
    """Servers, processes and everybody around them, under one seed."""

    def __init__(self, seed: int, trace: bool = False) -> None:
        self.life = Life(seed)
        self._traces = trace
        self.rng = rng = random.Random(seed)
        random.seed(seed)  # jitter and stamps of the code under test
        self.loop = VirtualLoop()
        self.is_healed = False
        self.catalogue, self.missions = _catalogue()
        self.faults = Faults(self, rng)
        self.hours_passed = 0
        self._start = BASE + timedelta(days=rng.randrange(7), hours=6 * rng.randrange(4))
        self._skews: dict[str, timedelta] = {}
        self.skips = rng.choice((0, 0, 0.02))
        self.claim_seconds = rng.choice((0.7, 1.5, 4.0))
        self.oddness = {
            name: rng.choice((0.0, rng.random() * 0.3)) for name in ("again", "bad", "unknown", "old", "hole")
        }
        self.togetherness = rng.choice((0.0, 0.8))
        """How often what is produced at once goes to partitions of one number, and a fetch brings records of several: the processor then
        applies partitions together."""
        self.output_partitions = rng.choice((1, 1, 2))
        self.home: dict[bytes, int] = {}
        self.postgres = Postgres(self.faults, self.now)
        self.redis = MemoryRedis(self.faults)
        self.kafka = MemoryKafka(self.faults)
        self.group = Group(self, partitions_of(INPUT))
        self.checks = Checks(self)
        self.postgres.on_commit, self.postgres.on_loss = self.checks.committed, self.checks.lost
        self.kafka.on_commit, self.redis.on_store = self.checks.published, self.checks.shown
        self.producers = Producers(self, rng.randrange(5, 15))
        self.claimants = Claimants(self)
        self.nemesis = Nemesis(self)
        self.roles: dict[str, Role] = {}
        self._lives: Counter[str] = Counter()

    # Time.

    def now(self) -> datetime:
        """The true time."""
        return self._start + timedelta(seconds=self.loop.now) + timedelta(hours=self.hours_passed)

    def wall(self, process: Process) -> datetime:
        """The time as a process's clock shows it."""
        return self.now() + self._skews.get(process.name, timedelta())

    def skew(self, name: str, by: timedelta) -> None:
        """A process's clock is wrong from now on."""
        self._skews[name] = by

    # Processes.

    def role(self, name: str) -> Role | None:
        """A process, if it lives."""
        return self.roles.get(name)

    def begin(self, name: str) -> None:
        """Starts a process."""
        if name in self.roles:
            return
        self._lives[name] += 1
        role = self.roles[name] = ROLES[name](self, name, self._lives[name])
        self.note(f"{role.owner} starts")
        role.start()

    def start(
        self, process: Process, work: Callable[..., Coroutine[Any, Any, Any]], *given: Any
    ) -> "asyncio.Task[Any]":
        """Runs a coroutine in a process; what it raises is a violation."""

        async def guarded() -> None:
            try:
                await work(*given)
            except Exception as error:  # noqa: BLE001 - whatever it is, it must be reported
                self.broke(process, error)

        return process.start(guarded(), self.loop)

    def kill(self, name: str) -> None:
        """Ends a process at once, also the one that asks for it; another life of it begins later."""
        self.loop.outside(0, self._kill, name, self.roles.get(name))

    def _kill(self, name: str, role: Role | None) -> None:
        if role is None or self.roles.get(name) is not role:
            return
        del self.roles[name]
        self.note(f"{role.owner} is killed")
        self.loop.kill(role.process)
        self.loop.outside(self.rng.choice((0, self.rng.random())), self.postgres.end_sessions, role.owner)
        if isinstance(role, ProcessorRole):
            self.loop.outside(SESSION_SECONDS * self.rng.random(), self.group.leave, role.process)
        self.loop.outside(self.rng.random() * 2, self.begin, name)

    def wake_consumers(self) -> None:
        """There are new records."""
        for member in self.group.members:
            member.wake()

    async def end_offsets(self) -> Mapping[PartitionId, int]:
        """Where the input's logs end, as the scheduler asks Kafka."""
        await asyncio.sleep(self.rng.random() * 0.05)
        return {partition: len(self.kafka.logs[partition]) for partition in self.group.partitions}

    # What is told of it.

    def note(self, text: str) -> None:
        """One line of the history. The digest tells whether two histories are the same."""
        life = self.life
        life.digest = crc32(text.encode(), life.digest)
        if self._traces:
            process = PROCESS.get()
            life.trace.append(f"{self.loop.now:9.4f}  {process.name if process else '-':12} {text}")

    def violated(self, what: str) -> None:
        """Something happened that must never happen."""
        self.note(f"VIOLATION {what}")
        if len(self.life.violations) < 10:
            self.life.violations.append(what)

    def broke(self, process: Process, error: BaseException) -> None:
        """A process would have ended by an error of its own."""
        if process.is_alive:
            if self._traces:
                self.note("".join(traceback.format_exception(error)))
            self.violated(f"{process.name} broke: {type(error).__name__}: {error}")

    # Its life.

    def run(self) -> Life:
        """Lives through both phases."""
        try:
            with _virtual_clocks(self):
                self.loop.run_until_complete(self.loop.start_outside(self._live()))
        except (StuckError, RuntimeError) as error:
            self.violated(f"the world came to an end: {self.loop.failure or error!r}")
        finally:
            for role in self.roles.values():
                self.loop.kill(role.process)
            self.loop.end()
            deadline._left_behind.clear()
        life = self.life
        life.injected, life.steps, life.seconds = self.faults.injected, self.loop.steps, self.loop.now
        life.completed = sum(
            row["status"] in ("COMPLETED", "CLAIMED") for row in self.postgres.tables["assignment"].values()
        )
        life.granted = len(self.postgres.tables["reward_grant"])
        if self.loop.failure is not None and not life.violations:
            self.violated(f"the world came to an end: {self.loop.failure!r}")
        return life

    async def _live(self) -> None:
        seconds = 1.5 + self.rng.random() * 2.5
        for name in ROLES:
            self.begin(name)
        others = [
            self.loop.start_outside(work)
            for work in (self.producers.run(seconds), self.claimants.run(seconds), self.nemesis.run(seconds))
        ]
        await asyncio.gather(*others)
        self._heal()
        until = self.loop.now + DRAIN_SECONDS
        while left := self.checks.unsettled():
            if self.loop.now > until:
                for each in left:
                    self.violated(f"not within {DRAIN_SECONDS:g} s after the healing: {each}")
                return
            await asyncio.sleep(0.25)
        self.checks.final()

    def _heal(self) -> None:
        self.note("HEALED")
        self.is_healed = True
        self.nemesis.heal()
        for name in ROLES:
            self.begin(name)
        self.group.rebalance()


@cache
def _catalogue() -> tuple[Catalogue, list[dict[str, Any]]]:
    path = Path(__file__).with_name("catalogue.yaml")
    data = yaml.safe_load(path.read_text("utf-8"))
    missions, problems = parse_catalogue(data, path.name)
    assert not problems, problems
    return Catalogue(missions, 1), [spelt_out(mission) for mission in data["missions"]]


@contextmanager
def _virtual_clocks(world: World) -> Iterator[None]:
    """The clocks that the code under test reads for itself show the world's time."""
    clocks = SimpleNamespace(now=lambda zone: world.now(), fromtimestamp=datetime.fromtimestamp)
    patches: list[tuple[Any, str, Any]] = [
        (store, "monotonic", world.loop.time),
        (expire, "perf_counter", world.loop.time),
        (apply_batch, "datetime", clocks),
    ]
    before = [getattr(module, name) for module, name, _ in patches]
    for module, name, value in patches:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), value in zip(patches, before, strict=True):
            setattr(module, name, value)
