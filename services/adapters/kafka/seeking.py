"""Where each partition is read from: the ledger's position, checked against what the log still holds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, Protocol

from aiokafka.errors import IllegalStateError, KafkaError

from .records import PartitionId, Positions, Watch

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

    async def seek_from(self, positions: Mapping[Any, tuple[int, int]]) -> None:
        """Reads on from there: {partition: (ledger's position, offset)}."""


class Seeker:
    """Seeks partitions to the ledger's positions, one seek at a time."""

    def __init__(self, positions: Positions, watch: Watch, lookback: int = 0) -> None:
        """`lookback`: how many offsets before the ledger's position to begin, as far as the log still has them."""
        self._positions = positions
        self._watch = watch
        self._lookback = lookback
        self._lock = asyncio.Lock()

    async def seek(
        self, log: Log, partitions: AbstractSet[PartitionId]
    ) -> tuple[dict[PartitionId, int], set[PartitionId]]:
        """Seeks the partitions. Returns where they went, and those whose position lies beyond the end of their log.

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

    async def _seek(
        self, log: Log, partitions: AbstractSet[PartitionId]
    ) -> tuple[dict[PartitionId, int], set[PartitionId]]:
        known = await self._positions(partitions)
        starts = await log.earliest_offsets(*partitions)
        ends = await log.highwaters(*partitions)
        targets: dict[PartitionId, tuple[int, int]] = {}
        beyond: set[PartitionId] = set()
        for partition in partitions:
            log_start = starts[partition]
            position = known.get(partition, log_start)
            if position > ends[partition]:
                beyond.add(partition)
                continue
            start = max(position - self._lookback, log_start)
            if position < log_start:
                self._watch.on_below_log_start(partition, position, log_start)
            targets[partition] = (min(position, start), start)
        await log.seek_from(targets)
        return {partition: start for partition, (_, start) in targets.items()}, beyond
