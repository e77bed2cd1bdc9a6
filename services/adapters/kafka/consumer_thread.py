"""The thread that owns the aiokafka consumer: fetches, seeks and commits there, and keeps the account of every stretch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final
from uuid import UUID

import aiokafka
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.threads import WorkerThread
from typing_extensions import override

from .clients import pace
from .lean_records import AS_READ
from .records import PartitionId
from .settings import (
    FETCH_BYTES_MAX,
    FETCH_WAIT_MAX_MS,
    HEARTBEAT_S,
    NO_TIMEOUT_S,
    REBALANCE_TIMEOUT_S,
    REQUEST_TIMEOUT_S,
    SESSION_TIMEOUT_S,
    WorkerSettings,
)
from .shares import Held, Shares
from .stretch import Fetched, Stretch
from .topic_ids import topic_ids

_log = logging.getLogger(__name__)

COMMIT_TIMEOUT_S: Final = 5.0
"""Kafka's committed offset is for lag tools only: no commit may hold up a rebalance or the end of the process."""

WORTH_A_LOOK: Final = 1 / 8
"""Of a partition's share of the memory: with less room than this it is not asked for more."""


class ByNumber(RangePartitionAssignor):  # type: ignore[misc] # aiokafka's classes are untyped here
    """A user's events lie in partitions of one number: by ranges, one worker has that number of all topics, however many workers there are.

    It goes by the name of the one that workers had before, so that old and new ones are one group: whoever leads it divides. Two assignors
    beside each other are no way, as aiokafka 0.14 sends a JoinGroup for each, and members then wait for each other for ever.
    """

    name = RoundRobinPartitionAssignor.name


class _Room:
    """The partitions that may be taken from now. Always true: aiokafka takes an empty set for "all"."""

    def __init__(self, thread: BatchConsumerThread) -> None:
        self._thread = thread

    def __contains__(self, partition: object) -> bool:
        return self._thread.has_room(partition)


class _Only(_Room):
    """One partition, while it has room."""

    def __init__(self, thread: BatchConsumerThread, partition: Any) -> None:
        super().__init__(thread)
        self._partition = partition

    @override
    def __contains__(self, partition: object) -> bool:
        return partition == self._partition and super().__contains__(partition)


class _DaemonThread(WorkerThread):  # type: ignore[misc] # mode's classes are untyped here
    """A thread that does not keep a process alive whose worker has failed."""

    def __init__(self, service: Any, **options: Any) -> None:
        super().__init__(service, **options)
        self.daemon = True


class BatchConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc] # Faust's classes are untyped here
    """The thread that owns the aiokafka consumer. It keeps the account of every stretch and takes no more than it allows."""

    Worker = _DaemonThread

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stretches: dict[Any, Stretch] = {}
        self._sought_assignment: object = None
        self._settings: WorkerSettings = self.app.batches.settings
        self._outstanding_max = 2 * self._settings.batch_size_max
        self._left = self._settings.records_in_memory_max
        self._crowded = False
        self._shares: dict[Any, int] = {}
        self._sharing = Shares(self._settings.records_in_memory_max, self._settings.batch_size_max)
        self._room = _Room(self)

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        settings = self._settings
        self._assignor = ByNumber
        consumer = aiokafka.AIOKafkaConsumer(
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            client_id=settings.client_id,
            group_id=settings.group,
            partition_assignment_strategy=[ByNumber],
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            value_deserializer=AS_READ,
            max_poll_records=settings.batch_size_max,
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
            fetch_max_wait_ms=FETCH_WAIT_MAX_MS,
            session_timeout_ms=SESSION_TIMEOUT_S * 1000,
            heartbeat_interval_ms=HEARTBEAT_S * 1000,
            rebalance_timeout_ms=REBALANCE_TIMEOUT_S * 1000,
            request_timeout_ms=REQUEST_TIMEOUT_S * 1000,
            max_poll_interval_ms=NO_TIMEOUT_S * 1000,
            metadata_max_age_ms=settings.metadata_age_s * 1000,
            **settings.security,
        )
        pace(consumer._client)
        return consumer

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Ends every stretch before anything of the next assignment can be fetched."""
        self._end_stretches(list(self.stretches))
        await super().on_partitions_revoked(revoked)

    async def seek_from(self, positions: Mapping[Any, tuple[int, int]]) -> None:
        """Seeks each partition: {partition: (ledger's position, offset to read from)}. Raises when one is not ours."""
        await self.call_thread(self._seek_from, positions)

    async def _seek_from(self, positions: Mapping[Any, tuple[int, int]]) -> None:
        # A seek of Faust's may come while a rebalance is under way: it is worth nothing in the next assignment.
        same = self._assignment() is self._sought_assignment
        self._end_stretches(positions if same else list(self.stretches))
        self._sought_assignment = self._assignment()
        # No await until every seek is made: nothing fetched before it can be counted to the new stretch.
        self.stretches.update({tp: Stretch(position, start) for tp, (position, start) in positions.items()})
        await self._seek_wait(self._ensure_consumer(), {tp: start for tp, (_, start) in positions.items()})

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, UUID]:
        """The ids of the topics, where the broker knows them. Raises KafkaError."""
        found: Mapping[str, UUID] = await self.call_thread(self._topic_ids, topics)
        return found

    async def _topic_ids(self, topics: Collection[str]) -> Mapping[str, UUID]:
        client = self._ensure_consumer()._client
        return await topic_ids(lambda request: client.send(client.get_random_node(), request), topics)

    def _end_stretches(self, partitions: Iterable[Any]) -> None:
        for tp in partitions:
            ended = self.stretches.pop(tp, None)
            if ended is not None:
                ended.stopped = True

    def _assignment(self) -> Any:
        """aiokafka's object for the current assignment: each rebalance makes a new one."""
        return self._ensure_consumer()._subscription.subscription.assignment

    def _state_of(self, tp: Any) -> Any:
        """aiokafka's account of a partition, None when it is not ours."""
        assignment = self._assignment()
        return assignment.state_value(tp) if assignment is not None else None

    def position_of(self, tp: Any) -> int | None:
        """Where the consumer reads next, None when it has no position."""
        state = self._state_of(tp)
        return int(state.position) if state is not None and state.has_valid_position else None

    def has_room(self, partition: Any) -> bool:
        """Whether records of this partition may be taken now."""
        stretch = self.stretches.get(partition)
        return (
            stretch is not None
            and not stretch.stopped
            and self._left > 0
            and stretch.outstanding < self._limit_of(partition)
            and self._assignment() is self._sought_assignment
        )

    def _limit_of(self, partition: Any) -> int:
        most: int = self._outstanding_max
        return self._shares.get(partition, most) if self._crowded else most

    def _room_of(self, partition: Any) -> int:
        """How many records of this partition may be taken now, as far as its share goes."""
        return max(0, self._limit_of(partition) - int(self.stretches[partition].outstanding))

    def _with_room(self) -> list[Any]:
        """The partitions whose share is worth a look, those that have least of it first. What is handed over costs as much for one record
        as for hundreds, so a partition with nearly all of its share is left until some of it is applied."""
        room = {tp: self._room_of(tp) / self._limit_of(tp) for tp in self._shares if self.has_room(tp)}
        return sorted((tp for tp in room if room[tp] >= WORTH_A_LOOK), key=room.__getitem__, reverse=True)

    def is_held_back(self, partition: Any) -> bool:
        """Whether nothing is taken from this partition because records of the others fill the memory."""
        stretch = self.stretches.get(partition)
        return stretch is not None and not stretch.stopped and self._crowded and not self.has_room(partition)

    def _count(self) -> None:
        """Once half of the memory is in use, or more waits than it holds, each partition may have its share of it and no more: aiokafka
        takes from the first partition that has room, again and again, and the others would stand still until that one had nothing left."""
        held = {
            tp: Held(stretch.outstanding, self._behind(tp, stretch), stretch.taken)
            for tp, stretch in list(self.stretches.items())
            if not stretch.stopped
        }
        outstanding, limit = sum(each.outstanding for each in held.values()), self._settings.records_in_memory_max
        self._left = limit - outstanding
        self._crowded = 2 * outstanding >= limit or sum(each.waiting for each in held.values()) > limit
        if self._crowded:
            self._shares = self._sharing.of(held)

    def _behind(self, tp: Any, stretch: Stretch) -> int:
        """Offsets that have not been taken yet, as far as the last fetch has told."""
        state = self._state_of(tp)
        return max(0, int(state.highwater or 0) - stretch.read_to) if state is not None else 0

    async def _fetch_records(
        self, consumer: Any, _active: Any, *, max_records: int, **limits: Any
    ) -> dict[Any, Fetched]:
        self._count()
        if not self._crowded:
            return await self._take(consumer, self._room, max_records, **limits)
        found: dict[Any, Fetched] = {}
        for tp in self._with_room():
            if self.has_room(tp):  # a rebalance may have come meanwhile, or the memory be full by now
                most = min(max_records, self._left, self._room_of(tp))
                taken = await self._take(consumer, _Only(self, tp), most, timeout=0)
                self._left -= sum(len(fetched.records) for fetched in taken.values())
                found |= taken
        # What comes while this waits is a piece that leaves nobody much more than its share.
        small = max(1, self._settings.records_in_memory_max // (8 * max(1, len(self.stretches))))
        return found or await self._take(consumer, self._room, min(max_records, small), **limits)

    async def _take(self, consumer: Any, room: Any, max_records: int, **limits: Any) -> dict[Any, Fetched]:
        """Takes of the partitions that are in `room`, and counts it to their stretches."""
        try:
            taken = await super()._fetch_records(consumer, room, max_records=max_records, **limits)
        except OffsetOutOfRangeError as error:
            for tp in error.args[0]:
                self._end_stretches([tp])
                self.parent_loop.call_soon_threadsafe(self.consumer.out_of_range, tp)
            return {}
        return {tp: await self._account(consumer, tp, records) for tp, records in taken.items()}

    async def _account(self, consumer: Any, tp: Any, records: list[Any]) -> Fetched:
        stretch = self.stretches[tp]
        start = stretch.read_to
        stretch.read_to = await consumer.position(tp)  # does not wait: the position has just been moved
        stretch.taken += len(records)
        generation = self.app.consumer_generation_id
        return Fetched(PartitionId(*tp), records, start, stretch.read_to, generation, stretch)

    def freed(self, stretch: Stretch, records: int) -> None:
        """Called from the event loop when records of a stretch have been applied: looks again for partitions with room."""
        if self._crowded or stretch.outstanding + records >= self._outstanding_max:
            self.thread_loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._count()
        fetcher = self._ensure_consumer()._fetcher
        for waiter in list(fetcher._fetch_waiters):
            fetcher._notify(waiter)

    def _is_settled(self) -> bool:
        """Whether we are a member of a group that does not change now, as far as we know.

        While a JoinGroup waits at the broker, an OffsetCommit waits behind it and is refused when the new generation begins; to that
        aiokafka joins again, and so on for ever where the group takes as long to gather as the next commit takes to come.
        """
        coordinator = self._ensure_consumer()._coordinator
        return coordinator.generation >= 0 and not (
            coordinator._performed_join_prepare or coordinator._rejoin_needed_fut.done()
        )

    async def _commit(self, offsets: Mapping[Any, int]) -> bool:
        if not self._is_settled():
            return False
        assignment = self.assignment()
        mine = {aiokafka.TopicPartition(*tp): offset for tp, offset in offsets.items() if TP(*tp) in assignment}
        try:
            await asyncio.wait_for(self._ensure_consumer().commit(mine), COMMIT_TIMEOUT_S)
        except (KafkaError, TimeoutError) as error:
            _log.info("offsets for lag tools were not committed: %r", error)
            return False
        return True
