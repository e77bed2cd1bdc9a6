"""Lanes: one queue and one task for each partition, so that batches of different partitions overlap and those of one never do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from typing import Protocol

from .records import Batch, Fenced, Halt, Handle, PartitionId
from .stretch import Fetched, Stretch

_log = logging.getLogger(__name__)

CANCEL_WAIT_S = 5.0
"""How long a cancelled handler may take to roll back before the lanes go on without it: the ledger fences what it still does."""


class Keeper(Protocol):
    """What the lanes tell their owner."""

    def applied(self, partition: PartitionId, stretch: Stretch, records: int) -> None:
        """The handler has returned for so many records, and they have been acknowledged."""

    def reseek(self, partition: PartitionId, reason: str) -> None:
        """The partition must go back to the ledger's position."""

    def halt(self, partition: PartitionId, reason: str) -> None:
        """The partition is stopped."""

    def gap(self, partition: PartitionId, expected: int, got: int) -> None:
        """The first record after a seek is later than the place sought."""

    def broken(self, error: BaseException) -> None:
        """An invariant is broken: the process must end."""


_Piece = tuple[Fetched, Callable[[], object]]
"""What was fetched, with what acknowledges it."""


class _Lane:
    """One partition's queue and the task that works it off, for one stretch."""

    def __init__(self, stretch: Stretch) -> None:
        self.stretch = stretch
        self.waiting: deque[_Piece] = deque()
        self.arrived = asyncio.Event()
        self.handling = False
        self.leaving = False
        self.dropped = False
        self.task: asyncio.Task[None] | None = None


class _Work:
    """What a lane has given its handler so far, for one batch."""

    def __init__(self, partition: PartitionId, lane: _Lane) -> None:
        self._partition = partition
        self._lane = lane
        self.pieces = [lane.waiting.popleft()]
        self.size = len(self.pieces[0][0].records)

    @property
    def end(self) -> int:
        """Up to which offset."""
        return self.pieces[-1][0].end

    def more(self, most: int) -> Batch:
        """All of it, with what waits in the lane, up to so many records."""
        lane, pieces = self._lane, self.pieces
        while not lane.stretch.stopped and lane.waiting and self.size + len(lane.waiting[0][0].records) <= most:
            pieces.append(lane.waiting.popleft())
            self.size += len(pieces[-1][0].records)
        first = pieces[0][0]
        records = first.records if len(pieces) == 1 else [record for piece, _ in pieces for record in piece.records]
        applied_to = lane.stretch.applied_to
        return Batch(self._partition, records, applied_to, self.end, first.generation, lambda: lane.leaving, self.more)


class Lanes:
    """All lanes of a worker. Every method runs on the event loop."""

    def __init__(self, handle: Handle, keeper: Keeper, batch_size_max: int) -> None:
        self._handle = handle
        self._keeper = keeper
        self._batch_size_max = batch_size_max
        self._lanes: dict[PartitionId, _Lane] = {}
        self._draining = False
        self.last_batch_at: dict[PartitionId, float] = {}
        """Unix time at which the last batch of each partition was applied."""
        self.stale = 0
        """Batches thrown away because their stretch had ended."""

    def offer(self, fetched: Fetched, acknowledge: Callable[[], object]) -> None:
        """Queues what was fetched, or throws it away when it is stale. Asks for a seek when something before it is missing.

        The queue needs no limit of its own: the consumer thread takes no more than the stretch's account allows.
        """
        stretch = fetched.stretch
        if stretch.stopped or self._draining:
            self.stale += 1
            return
        if fetched.start != stretch.due:
            _log.warning("%s: expected offset %d, was given %d", fetched.partition, stretch.due, fetched.start)
            stretch.stopped = True
            self._keeper.reseek(fetched.partition, "skipped")
            return
        if stretch.due == stretch.start and fetched.records[0].offset > stretch.start:
            self._keeper.gap(fetched.partition, stretch.start, fetched.records[0].offset)
        stretch.due = fetched.end
        lane = self._lanes.get(fetched.partition)
        if lane is None or lane.stretch is not stretch:
            lane = self._open(fetched.partition, stretch)
        lane.waiting.append((fetched, acknowledge))
        lane.arrived.set()

    def is_handling(self, partition: PartitionId) -> bool:
        """Whether a batch of the partition is being applied."""
        lane = self._lanes.get(partition)
        return lane is not None and lane.handling

    async def drop(self, partitions: AbstractSet[PartitionId] | None = None) -> None:
        """Throws away lanes (all when None): queued batches are forgotten, running handlers cancelled and waited for."""
        names = list(self._lanes) if partitions is None else [p for p in partitions if p in self._lanes]
        await self._cancel(self._lanes.pop(name) for name in names)

    async def drain(self, timeout_s: float) -> dict[PartitionId, int]:
        """Takes nothing new from now on, and lets all partitions go."""
        self._draining = True
        return await self.let_go(set(self._lanes), timeout_s)

    async def let_go(self, partitions: AbstractSet[PartitionId], timeout_s: float) -> dict[PartitionId, int]:
        """Takes nothing more of these partitions and lets running handlers finish; those that do not in time are cancelled.

        Returns up to which offset handlers have returned for everything, of the partitions where none was cancelled.
        """
        lanes = {partition: lane for partition, lane in self._lanes.items() if partition in partitions}
        tasks = [lane.task for lane in lanes.values() if lane.handling and lane.task is not None]
        for lane in lanes.values():
            lane.leaving = True
            lane.stretch.stopped = True
            lane.waiting.clear()
            lane.arrived.set()
        pending: set[asyncio.Task[None]] = set()
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=timeout_s)
        await self.drop(partitions)
        if pending:
            _log.warning("%d batches were abandoned; they will be delivered again", len(pending))
        return {partition: lane.stretch.applied_to for partition, lane in lanes.items() if lane.task not in pending}

    def _open(self, partition: PartitionId, stretch: Stretch) -> _Lane:
        lane = self._lanes[partition] = _Lane(stretch)
        lane.task = asyncio.create_task(self._work(partition, lane), name=f"lane {partition}")
        return lane

    async def _cancel(self, lanes: Iterable[_Lane]) -> None:
        tasks = []
        for lane in lanes:
            lane.dropped = True
            lane.stretch.stopped = True
            if lane.task is not None and not lane.task.done():
                lane.task.cancel()
                tasks.append(lane.task)
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=CANCEL_WAIT_S)
            for task in pending:
                _log.error("%s goes on %.0f s after it was cancelled", task.get_name(), CANCEL_WAIT_S)

    async def _work(self, partition: PartitionId, lane: _Lane) -> None:
        try:
            while not lane.stretch.stopped:
                await lane.arrived.wait()
                lane.arrived.clear()
                while lane.waiting:
                    await self._apply(partition, lane)
        except BaseException as error:  # noqa: BLE001 - whatever it is, somebody must hear of it
            self._ended(partition, lane, error)

    def _ended(self, partition: PartitionId, lane: _Lane, error: BaseException) -> None:
        """A handler did not return. What a dropped lane still raises is of no interest: its stretch is over. One that is let go is neither
        sought again nor halted here: whoever has the partition next will see to it."""
        if lane.dropped or (lane.leaving and isinstance(error, Fenced | Halt)):
            _log.debug("%s: dropped: %r", partition, error)
        elif isinstance(error, Fenced):
            lane.stretch.stopped = True
            _log.warning("%s: fenced: %s", partition, error)
            self._keeper.reseek(partition, "fenced")
        elif isinstance(error, Halt):
            lane.stretch.stopped = True
            self._keeper.halt(partition, error.reason)
        else:
            self._keeper.broken(error)

    async def _apply(self, partition: PartitionId, lane: _Lane) -> None:
        """Applies the next pieces together: what has gathered while the last batch was applied, up to one full batch, and what the handler
        asks for besides."""
        work, stretch = _Work(partition, lane), lane.stretch
        lane.handling = True
        try:
            await self._handle(work.more(self._batch_size_max))
        finally:
            lane.handling = False
        stretch.applied_to = work.end
        stretch.finished += work.size
        self.last_batch_at[partition] = time.time()
        for _, acknowledge in work.pieces:
            acknowledge()
        self._keeper.applied(partition, stretch, work.size)
