"""Sees a consumer that stands still: records wait, nothing works on them, and the position does not move.

It is Faust's best-known fault, and nothing in Faust notices it. What is not a stall: a server that is away (what waits for it
says so at each try), a stopped partition, a topic without new records, a rebalance, a batch that takes its time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Protocol

import structlog

from services.adapters.kafka.errors import KafkaProblem
from services.adapters.kafka.records import Mark, PartitionId
from services.adapters.watchdog import end_stalled

LOOK_SECONDS = 1.0

BUSY_SHARE = 8
"""A batch, a seek and a rebalance may last so many times longer before they count as stalled too: several times as long as a
statement may take before it is ended and tried again."""

ENDS_SECONDS = 10.0
"""A broker that does not say within this time where its logs end is away."""

logger = structlog.get_logger(__name__)


class Worker(Protocol):
    """What is asked of the Kafka worker."""

    def marks(self) -> Mapping[PartitionId, Mark]:
        """How far each partition is that is ours and not stopped."""

    def ready(self) -> bool:
        """Whether the worker is a member of its group and reads."""

    def thread_answers(self) -> bool:
        """Whether the consumer's thread has answered since this was last asked; asks it again."""


class StallWatch:
    """Looks every second; time in which the whole process stood still is not counted."""

    def __init__(
        self,
        worker: Worker,
        ends: Callable[[], Awaitable[Mapping[PartitionId, int]]],
        retried_at: Callable[[], float],
        seconds: float,
        end: Callable[[str], None] = end_stalled,
    ) -> None:
        """`ends` asks a broker, by another connection, where the logs end; `retried_at` is when something last waited for a server."""
        self._worker = worker
        self._ends = ends
        self._retried_at = retried_at
        self._seconds = seconds
        self._end = end
        self._applied: dict[PartitionId, int | None] = {}
        self._still: dict[PartitionId, float] = {}
        self._unsettled = self._silent = self._since_asked = 0.0
        self._retry_seen = 0.0
        self._was_ready = False
        self.trouble: str | None = None
        """What stands still, for the liveness probe."""

    async def run(self) -> None:
        """Looks for ever."""
        last = monotonic()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = monotonic()
            await self.look(min(now - last, 2 * LOOK_SECONDS))
            last = now

    async def look(self, passed: float) -> None:
        """One look, so many seconds after the one before; ends the process when something stands still for too long."""
        self._count(passed)
        longest = max(self._still.values(), default=0.0)
        self._since_asked += passed
        # Asked before it is too late, so that a topic without new records is never near the limit.
        if max(longest, self._unsettled) > self._seconds / 3 and self._since_asked > self._seconds / 6:
            self._since_asked = 0.0
            await self._ask_broker()
        self.trouble = self._verdict()
        if self.trouble is not None:
            self._end(self.trouble)

    def _count(self, passed: float) -> None:
        retried = self._retried_at()
        waits, self._retry_seen = retried > self._retry_seen, retried
        settled = self._worker.ready()
        self._unsettled = 0.0 if settled or waits else self._unsettled + passed / BUSY_SHARE
        self._was_ready = self._was_ready or settled
        answers = self._worker.thread_answers()
        self._silent = 0.0 if answers or not self._was_ready else self._silent + passed
        marks = self._worker.marks()
        for partition, mark in marks.items():
            moved = self._applied.get(partition, -1) != mark.applied_to
            counted = passed / BUSY_SHARE if mark.busy or not settled else passed
            self._still[partition] = 0.0 if moved or waits else self._still.get(partition, 0.0) + counted
        self._applied = {partition: mark.applied_to for partition, mark in marks.items()}
        self._still = {partition: still for partition, still in self._still.items() if partition in marks}

    async def _ask_broker(self) -> None:
        try:
            async with asyncio.timeout(ENDS_SECONDS):
                ends = await self._ends()
        except (KafkaProblem, TimeoutError) as error:
            logger.info("stall_not_judged", error=repr(error))
            self._unsettled = 0.0
            self._still.clear()
            return
        for partition in list(self._still):
            applied = self._applied.get(partition)
            if applied is not None and applied >= ends.get(partition, 0):
                self._still[partition] = 0.0

    def _verdict(self) -> str | None:
        if self._silent > self._seconds:
            return "the consumer's thread does not answer"
        if self._unsettled > self._seconds:
            return "the worker has not come back into its group"
        for partition, still in self._still.items():
            if still > self._seconds:
                return f"{partition} stands still at {self._applied[partition]} while records wait"
        return None
