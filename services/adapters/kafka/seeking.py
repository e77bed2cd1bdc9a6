"""Where each partition is read from: the ledger's position, checked against what the log still holds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, Protocol
from uuid import UUID

from aiokafka.errors import IllegalStateError, KafkaError

from .records import BatchStarts, Halt, LogState, PartitionId, Positions, Review, Watch, no_batch_starts

_log = logging.getLogger(__name__)

RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 5.0
"""A broker that does not answer is asked again, less and less often."""


class Log(Protocol):
    """What a seek asks of the consumer."""

    async def earliest_offsets(self, *partitions: Any) -> Mapping[Any, int]:
        """Where each log begins."""

    async def highwaters(self, *partitions: Any) -> Mapping[Any, int]:
        """Where each log ends for a `read_committed` reader."""

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, UUID]:
        """The ids of the topics, where the broker knows them."""

    async def seek_from(self, positions: Mapping[Any, tuple[int, int]]) -> None:
        """Reads on from there: {partition: (ledger's position, offset)}."""


class Seeker:
    """Seeks partitions to the ledger's positions, one seek at a time."""

    def __init__(
        self,
        positions: Positions,
        review: Review,
        watch: Watch,
        lookback: int = 0,
        batch_starts: BatchStarts = no_batch_starts,
    ) -> None:
        """`lookback`: how many offsets before the ledger's position to begin at least, or with the last batch if that began earlier; both
        as far as the log still has them."""
        self._positions = positions
        self._review = review
        self._watch = watch
        self._lookback = lookback
        self._batch_starts = batch_starts
        self._lock = asyncio.Lock()

    async def seek(
        self, log: Log, partitions: AbstractSet[PartitionId]
    ) -> tuple[dict[PartitionId, int], dict[PartitionId, Halt]]:
        """Seeks the partitions. Returns where they went, and why those are stopped that went nowhere.

        Waits for as long as ledger or broker do not answer. Raises aiokafka's IllegalStateError when a partition is no longer ours.
        """
        async with self._lock:
            delay = RETRY_FIRST_S
            while True:
                try:
                    return await self._seek(log, partitions)
                except IllegalStateError:
                    raise
                except (KafkaError, TimeoutError) as error:
                    _log.warning("seek: %r, again in %.1f s", error, delay)
                await asyncio.sleep(delay)
                delay = min(2 * delay, RETRY_MAX_S)

    async def behind(self, confirmed: Mapping[PartitionId, int]) -> set[PartitionId]:
        """The partitions whose position in the ledger is before the offset up to which it had confirmed."""
        known = await self._positions(confirmed.keys())
        return {partition for partition, offset in confirmed.items() if known.get(partition, offset) < offset}

    async def _seek(
        self, log: Log, partitions: AbstractSet[PartitionId]
    ) -> tuple[dict[PartitionId, int], dict[PartitionId, Halt]]:
        # Batches and positions first: what another worker still applies moves position and end, and must not look like a lost log.
        batches = await self._batch_starts(partitions)
        known = await self._positions(partitions)
        ids = await log.topic_ids({partition.topic for partition in partitions})
        starts = await log.earliest_offsets(*partitions)
        ends = await log.highwaters(*partitions)
        states = {p: LogState(known.get(p), starts[p], ends[p], ids.get(p.topic)) for p in partitions}
        targets: dict[PartitionId, tuple[int, int]] = {}
        halted: dict[PartitionId, Halt] = {}
        for partition, verdict in (await self._review(states)).items():
            if isinstance(verdict, Halt):
                halted[partition] = verdict
                continue
            start = max(min(verdict - self._lookback, batches.get(partition, verdict)), starts[partition])
            if verdict < starts[partition]:
                self._watch.on_below_log_start(partition, verdict, starts[partition])
            targets[partition] = (min(verdict, start), start)
        await log.seek_from(targets)
        return {partition: start for partition, (_, start) in targets.items()}, halted
