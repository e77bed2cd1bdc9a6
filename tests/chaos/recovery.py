"""Watches the ledger from outside: how long after a fault each thing goes on again, by what the ledger says of it."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

import asyncpg

from services.adapters.kafka.admin import end_offsets
from services.adapters.kafka.errors import KafkaProblem
from services.adapters.ledger.connection import is_passing

SAMPLE_SECONDS = 0.4
RECOVERY_SECONDS_MAX = 90.0
"""After this it counts as not recovered. The promise is `BOUND_SECONDS`; this only ends the wait."""
BOUND_SECONDS = 25.0
"""From a kill -9, or from the healing of the server that was broken meanwhile, until lag falls again (DESIGN: session 12 s + rejoin)."""

Key = tuple[str, int]

POSITIONS = "select topic, partition, next_offset from input_position"
CHECKPOINTS = "select topic, partition, next_offset from relay_checkpoint"
WAITING = "select partition, count(*) from outbox where created_at < now() - interval '1 s' group by partition"


@dataclass(frozen=True)
class Sample:
    """What the ledger and the logs said at one moment: `at` is when it began to be taken."""

    at: float
    positions: Mapping[Key, int]
    ends: Mapping[Key, int]
    checkpoints: Mapping[Key, int]
    waiting: Mapping[int, int]
    """Messages that have waited in the outbox for more than a moment, by output partition."""

    @property
    def lag(self) -> int:
        """Records not accounted for."""
        return sum(max(0, end - self.positions.get(key, 0)) for key, end in self.ends.items())


@dataclass
class Outages:
    """When a server or its network was broken, and when it was whole again (monotonic)."""

    lasts: bool = False
    """Whether one is broken now."""
    ends: list[float] = field(default_factory=list)

    def any_after(self, at: float) -> bool:
        """Whether something was broken after that moment."""
        return self.lasts or any(end > at for end in self.ends)

    def counts_from(self, fault_at: float, went_on: float) -> float:
        """A server that was broken meanwhile keeps everybody waiting: then its healing is what a recovery counts from.

        One that was broken only after everything had gone on changes nothing.
        """
        return max((fault_at, *(end for end in self.ends if end <= went_on)))


@dataclass
class Observer:
    """Takes samples until cancelled; misses some while servers are away."""

    bootstrap: str
    dsn: str
    topics: list[str]
    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=40))
    taken: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def watch(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                async with asyncio.timeout(5):
                    sample = await self.sample()
            except Exception as error:
                if not (isinstance(error, KafkaProblem | asyncpg.PostgresError) or is_passing(error)):
                    raise
                await asyncio.sleep(SAMPLE_SECONDS)
                continue
            self.samples.append(sample)
            async with self.taken:
                self.taken.notify_all()
            await asyncio.sleep(SAMPLE_SECONDS)

    async def sample(self) -> Sample:
        """One sample. Raises what the servers' clients raise."""
        at = monotonic()
        connection = await asyncpg.connect(self.dsn, timeout=2)
        try:
            positions = {(r[0], r[1]): r[2] for r in await connection.fetch(POSITIONS)}
            checkpoints = {(r[0], r[1]): r[2] for r in await connection.fetch(CHECKPOINTS)}
            waiting = {r[0]: r[1] for r in await connection.fetch(WAITING)}
        finally:
            connection.terminate()
        ends = {(p.topic, p.partition): end for p, end in (await end_offsets(self.bootstrap, self.topics)).items()}
        return Sample(at, positions, ends, checkpoints, waiting)

    async def until(self, holds: Callable[[Sample], bool], seconds: float = RECOVERY_SECONDS_MAX) -> float | None:
        """Waits for a sample for which it holds; returns when that was taken, None if there was none in time."""
        try:
            async with asyncio.timeout(seconds), self.taken:
                while True:
                    await self.taken.wait()
                    if holds(self.samples[-1]):
                        return self.samples[-1].at
        except TimeoutError:
            return None

    def processing_goes_on(self) -> Callable[[Sample], bool]:
        """Holds once each input partition has moved on from where it is now, or has nothing to move to."""
        since = monotonic()
        before: dict[Key, int] = {}
        moved: set[Key] = set()

        def holds(sample: Sample) -> bool:
            if sample.at < since:
                return False
            if not before:
                before.update(sample.positions)
            for key, end in sample.ends.items():
                at = sample.positions.get(key, 0)
                if at > before.get(key, 0) or at >= end:
                    moved.add(key)
            return len(moved) == len(sample.ends)

        return holds

    def publishing_goes_on(self) -> Callable[[Sample], bool]:
        """Holds once each output partition has published more than until now, or has nothing that waits."""
        since = monotonic()
        before: dict[int, int] = {}
        moved: set[int] = set()

        def holds(sample: Sample) -> bool:
            if sample.at < since:
                return False
            now = _by_partition(sample.checkpoints)
            if not before:
                before.update(now)
            for partition, at in now.items():
                if at > before.get(partition, 0) or not sample.waiting.get(partition):
                    moved.add(partition)
            return len(moved) == len(now)

        return holds


def _by_partition(checkpoints: Mapping[Key, int]) -> dict[int, int]:
    sums: dict[int, int] = {}
    for (_, partition), at in checkpoints.items():
        sums[partition] = sums.get(partition, 0) + at
    return sums
