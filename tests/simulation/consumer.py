"""A worker's consumer in memory: group, assignment, fetches. Lanes, seeks and stretches are the adapter's own."""

import asyncio
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from services.adapters.kafka.lanes import Lanes
from services.adapters.kafka.records import BatchStarts, Handle, PartitionId, Positions, Watch, review_positions
from services.adapters.kafka.seeking import Seeker
from services.adapters.kafka.stretch import Fetched, Stretch

from .faults import Fault
from .loop import Process

if TYPE_CHECKING:
    from .world import World

SESSION_SECONDS = 1.0
"""A member that is silent for so long has left its group: 12 s in the system, less here so that more happens in a life."""

BATCH_MAX = 6
"""Records in a batch."""


BY_NUMBER_SHARE = 0.75
"""How often partitions of one number go to one worker, as Faust gives them while all topics have as many."""


class Group:
    """The consumer group, as the brokers see it."""

    def __init__(self, world: "World", partitions: list[PartitionId]) -> None:
        self._world = world
        self.partitions = partitions
        self.members: list[SimulatedConsumer] = []
        self.generation = 0

    def join(self, consumer: "SimulatedConsumer") -> None:
        """A new member, or one that comes back."""
        if consumer not in self.members:
            self.members.append(consumer)
            self.rebalance()

    def leave(self, process: Process) -> None:
        """A member's session is over."""
        left = [member for member in self.members if member.process is not process]
        if len(left) < len(self.members):
            self.members = left
            self.rebalance()

    def rebalance(self) -> None:
        """Gives every partition to some member."""
        self.generation += 1
        order = self._world.rng.sample(self.members, len(self.members))
        by_number = self._world.rng.random() < BY_NUMBER_SHARE
        for place, member in enumerate(order):
            mine = {p for n, p in enumerate(self.partitions) if (p.partition if by_number else n) % len(order) == place}
            member.assign(mine, self.generation)


class SimulatedConsumer:
    """What a worker is to its lanes: their keeper, their log and their source."""

    def __init__(
        self, world: "World", process: Process, handle: Handle, positions: Positions, batch_starts: BatchStarts
    ) -> None:
        self.process = process
        self._world = world
        self._lanes = Lanes(handle, self, BATCH_MAX)
        self._seeker = Seeker(positions, review_positions, Watch(), batch_starts=batch_starts)
        self._stretches: dict[PartitionId, Stretch] = {}
        self._seeks: dict[PartitionId, asyncio.Task[None]] = {}
        self._assigned: tuple[set[PartitionId], int] | None = None
        self._mine: set[PartitionId] = set()
        self._generation = 0
        self._wake = asyncio.Event()
        self._highest: dict[PartitionId, int] = {}

    async def run(self) -> None:
        """Fetches what is there and hands it to the lanes; follows every rebalance that it hears of."""
        while True:
            if self._assigned is not None:
                (self._mine, self._generation), self._assigned = self._assigned, None
                await self._follow()
            elif not await self._fetch():
                await self._wake.wait()
                self._wake.clear()

    def assign(self, partitions: set[PartitionId], generation: int) -> None:
        """What the group says; heard when the process runs."""
        self._assigned = partitions, generation
        self._wake.set()

    def wake(self) -> None:
        """There is something new in the logs."""
        self._wake.set()

    async def _follow(self) -> None:
        for task in self._seeks.values():
            task.cancel()
        self._seeks.clear()
        self._hold(set(self._stretches))
        await self._lanes.drop()
        await self._seek(self._mine)

    def _hold(self, partitions: set[PartitionId]) -> None:
        for partition in partitions:
            if (stretch := self._stretches.get(partition)) is not None:
                stretch.stopped = True

    async def _seek(self, partitions: set[PartitionId]) -> None:
        _, halted = await self._seeker.seek(self, partitions)
        for partition, halt in halted.items():
            self.halt(partition, halt.reason)
        self._wake.set()

    async def _fetch(self) -> bool:
        """One fetch, of one partition or of several at once; False when there is nothing to fetch."""
        world = self._world
        ready = []
        for partition in sorted(self._mine):
            stretch = self._stretches.get(partition)
            if stretch is None or stretch.stopped or stretch.outstanding >= 2 * BATCH_MAX:
                continue
            if stretch.read_to < len(world.kafka.logs[partition]):
                ready.append((partition, stretch))
        if not ready:
            return False
        amount = world.rng.randint(1, len(ready)) if world.rng.random() < world.togetherness else 1
        await asyncio.sleep(world.rng.random() * 0.05)
        for partition, stretch in world.rng.sample(ready, amount):
            if self._assigned is None and not stretch.stopped and self._stretches.get(partition) is stretch:
                self._take(partition, stretch)
        return True

    def _take(self, partition: PartitionId, stretch: Stretch) -> None:
        """Hands some records of a partition to its lane, or skips them as a faulty client would."""
        world = self._world
        log = world.kafka.logs[partition]
        start, size = stretch.read_to, world.rng.randrange(1, BATCH_MAX + 1)
        records = [record for record in log[start:] if record is not None][:size]
        end = records[-1].offset + 1
        stretch.read_to = end
        stretch.taken += len(records)
        if start < self._highest.get(partition, 0):
            world.faults.count(Fault.REDELIVERED, f"{partition} from {start}")
        self._highest[partition] = max(self._highest.get(partition, 0), end)
        if not world.is_healed and world.rng.random() < world.skips:
            world.faults.count(Fault.SKIP, f"{partition} {start}-{end}")
            return
        world.note(f"{partition} fetched {start}-{end}")
        self._lanes.offer(Fetched(partition, records, start, end, self._generation, stretch), lambda: None)

    # For the lanes.

    def applied(self, partition: PartitionId, stretch: Stretch, records: int) -> None:
        """There is room for more."""
        self._wake.set()

    def gap(self, partition: PartitionId, expected: int, got: int) -> None:
        """The log has no record there."""
        self._world.note(f"{partition} has no record in {expected}-{got}")

    def halt(self, partition: PartitionId, reason: str) -> None:
        """Nothing that is done here should stop a partition."""
        self._world.violated(f"{self.process.name} stopped {partition}: {reason}")

    def reseek(self, partition: PartitionId, reason: str) -> None:
        """Back to the ledger's position."""
        self._world.note(f"{partition} is sought again: {reason}")
        if (task := self._seeks.pop(partition, None)) is not None:
            task.cancel()
        self._seeks[partition] = self._world.start(self.process, self._seek_again, partition)

    def broken(self, error: BaseException) -> None:
        """A handler raised what it must not."""
        self._world.broke(self.process, error)

    async def _seek_again(self, partition: PartitionId) -> None:
        self._hold({partition})
        await self._lanes.drop({partition})
        if partition in self._mine:
            await self._seek({partition})

    # For the seeker.

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, UUID]:
        """No topic is ever made anew."""
        return {}

    async def earliest_offsets(self, *partitions: Any) -> Mapping[Any, int]:
        """Nothing is ever deleted."""
        await asyncio.sleep(self._world.rng.random() * 0.01)
        return dict.fromkeys(partitions, 0)

    async def highwaters(self, *partitions: Any) -> Mapping[Any, int]:
        """Where the logs end."""
        return {partition: len(self._world.kafka.logs[partition]) for partition in partitions}

    async def seek_from(self, positions: Mapping[Any, tuple[int, int]]) -> None:
        """New stretches."""
        for partition, (position, start) in positions.items():
            self._stretches[partition] = Stretch(position, start)


def partitions_of(counts: Mapping[str, int]) -> list[PartitionId]:
    """All partitions of topics."""
    return [PartitionId(topic, number) for topic, count in counts.items() for number in range(count)]
